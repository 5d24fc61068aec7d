"""Backups as somebody else may have made them: their lists, names and databases changed, and every digest right."""

from __future__ import annotations

import io
import random
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from backups import make_home
from fuzz.mutations import HOSTILE, mutate, mutate_database
from patchmgr.canonical import sha256_hex
from patchmgr.errors import FormatError
from patchmgr.manager.backup.contract import DATABASE, MANIFEST, parse_backup
from patchmgr.manager.backup.restore import restore
from patchmgr.manager.manager import Manager
from patchmgr.manager.settings import Settings
from patchmgr.package.fields import FileRecord

_TYPES = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, b"x", b"L", b"?")
_IN_A_HOME = {"registry.db", "blobs", "models", "trust", "withheld", "artefacts", "cache", "tmp"}


def backup_seeds(folder: Path) -> Sequence[bytes]:
    """A tar of a home with a model, two packages and three generations; the base stays beside it."""
    place = folder / "backed-up" / "seed.tar"
    if not place.exists():
        make_home(place.parent)
        with Manager.open(place.parent / "home") as manager:
            manager.backup(place)
    return [place.read_bytes()]


def list_seeds(folder: Path) -> Sequence[bytes]:
    """Its ``backup.json``."""
    return [_members(backup_seeds(folder)[0])[MANIFEST]]


def read_list(data: bytes, folder: Path) -> object:
    """A list of files, by itself."""
    manifest = parse_backup(data)
    return manifest.digest, manifest.size_bytes


def read_backup(data: bytes, folder: Path) -> object:
    """Restore it into an empty home, beside which nothing may be afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "fuzzed.tar").write_bytes(data)
    try:
        return restore(Settings(folder / "home", None, "fuzz"), folder / "fuzzed.tar")
    finally:
        assert {path.name for path in folder.iterdir()} <= {"home", "fuzzed.tar"}
        if (folder / "home").is_dir():
            assert {path.name for path in (folder / "home").iterdir()} <= _IN_A_HOME


def mutate_backup(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Another database, list, name or kind of file in it; or the bytes of the tar."""
    data, what = rng.choice(seeds), rng.random()
    if what < 0.1:
        return mutate(rng, [data])
    try:
        members = _members(data)
        if what < 0.65:
            members[DATABASE] = mutate_database(rng, [members[DATABASE]])
            return _tar(_listed(members))
        if what < 0.8:
            return _tar({**members, MANIFEST: mutate(rng, [members[MANIFEST]])})
        name = rng.choice(sorted(members))
        if what < 0.9:
            odd = rng.choice([text for text in HOSTILE if isinstance(text, str) and "\ud800" not in text])
            members[rng.choice((odd, f"trust/{odd}", f"blobs/{odd}"))] = members.pop(name)
            return _tar(_listed(members))
        return _tar(members, {name: rng.choice(_TYPES)})
    except (LookupError, tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError, FormatError):
        # what a guided fuzzer brings need be no tar
        return mutate(rng, [data])


def _members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        found = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name: file.read() for name, file in found.items() if file is not None}


def _listed(members: dict[str, bytes]) -> dict[str, bytes]:
    """The same with a list that tells of exactly these, whether it would be read or not."""
    manifest = parse_backup(members[MANIFEST])
    files = {
        name: FileRecord(sha256=sha256_hex(data), size_bytes=len(data))
        for name, data in members.items()
        if name != MANIFEST
    }
    return {**members, MANIFEST: manifest.model_copy(update={"files": files}).to_bytes()}


def _tar(members: dict[str, bytes], types: dict[str, bytes] | None = None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), (types or {}).get(name, tarfile.REGTYPE)
            info.linkname = "../../escaped" if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()
