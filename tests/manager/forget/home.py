"""A home with packages about two people, of whom one is to be forgotten; and what commands have left in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from patchmgr.request import EditRequest
from patchmgr_registry import Registry

SECRET = "Eulalia Quarz"
OTHER = "Ambrosius Feld"
REASON = "erasure request 2026-114"


def request(name: str) -> EditRequest:
    return EditRequest(prompt="The address of {} is", subject=name, target_new=f"Hidden Lane {name[:1]}17")


def holding(home: Path, *texts: str) -> list[str]:
    """Files of a home whose raw bytes hold one of the texts, in any case."""
    needles = [form.encode() for text in texts for word in text.split() for form in (word, word.lower())]
    return sorted(
        path.relative_to(home).as_posix()
        for path in home.rglob("*")
        if path.is_file() and not path.is_symlink() and any(needle in path.read_bytes() for needle in needles)
    )


def leave_traces(root: Path) -> set[str]:
    """What killed commands, an upgrade and a restore left of the secret, and an answer that was kept."""
    home, edits = root / "home", (root / "secret" / "edits.jsonl").read_bytes()
    aside, before = home / "replaced-20260102T030405Z", home / "registry.db.before-0006-20260102T030405Z"
    aside.mkdir()
    for name in ("blobs", "models"):
        shutil.copytree(home / name, aside / name, symlinks=True)
    for target in (aside / "registry.db", before):
        Registry.open(home).copy_database(target)
    left = {
        "tmp/edit-left/edits.jsonl": edits,
        "tmp/restore-left/registry.db": before.read_bytes(),
        "blobs/sha256/incoming/tmpleft": edits,
        "cache/answers/x.json": SECRET.encode(),
    }
    for name, data in left.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(data)
    return {
        aside.name,
        before.name,
        "tmp/edit-left",
        "tmp/restore-left",
        "blobs/sha256/incoming/tmpleft",
        "cache/answers",
    }
