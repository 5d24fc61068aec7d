"""A small home with a backup of it, and backups that were changed so that every digest is right all the same."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from checkpoints import EDITABLE, make_checkpoint, make_package
from patchmgr.canonical import sha256_hex
from patchmgr.manager.backup.contract import DATABASE, MANIFEST, parse_backup
from patchmgr.manager.manager import Manager
from patchmgr.package.fields import FileRecord


def make_home(root: Path) -> Path:
    """``root/home`` with ``tiny``, which has two packages, beside its base; ``root/backup`` is a backup of it."""
    base = make_checkpoint(root / "base")
    make_package(root / "one", base, name="one", seed=1)
    make_package(root / "two", base, name="two", seed=2, tensors=EDITABLE[:1])
    with Manager.open(root / "home") as manager:
        manager.add_model("tiny", str(base))
        manager.apply("tiny", [str(root / "one")])
        manager.apply("tiny", [str(root / "two")])
        manager.backup(root / "backup")
    return root


def execute(database: Path, *statements: str) -> None:
    """Change a database as no patchmgr would; its log is taken in."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def forged(backup: Path, place: Path, *statements: str) -> Path:
    """A copy of a backup whose database was changed, with the digest of what it is now."""
    shutil.copytree(backup, place)
    execute(place / DATABASE, "PRAGMA journal_mode = DELETE", *statements)
    relist(place)
    return place


def relist(place: Path, *, files: Mapping[str, FileRecord] | None = None) -> None:
    """Write the manifest of a backup in a folder anew, for the database, or also for other files, that are there."""
    manifest = parse_backup((place / MANIFEST).read_bytes())
    data = (place / DATABASE).read_bytes()
    record = FileRecord(sha256=sha256_hex(data), size_bytes=len(data))
    listed = {**(manifest.files if files is None else files), DATABASE: record}
    (place / MANIFEST).write_bytes(manifest.model_copy(update={"files": listed}).to_bytes())
