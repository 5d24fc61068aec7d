"""What everything takes on the disk; bytes that two folders share are counted where they come first."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from patchmgr_registry import BaseRecord, GenerationRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

_BLOCK_BYTES = 512
"""What ``st_blocks`` counts in."""

Kind = Literal["base", "generation", "package", "editor", "trainings", "unused blobs", "artefacts", "cache", "registry"]


@dataclass(frozen=True)
class Usage:
    """One thing that lies on the disk."""

    kind: Kind
    name: str
    n_files: int
    apparent_bytes: int
    """Sizes of the files, as any program sees them."""
    own_bytes: int
    """Blocks on the disk of those files that belong to nothing listed before."""
    note: str = ""


@dataclass(frozen=True)
class DiskUsage:
    """All of it, and what the disk still has."""

    rows: tuple[Usage, ...]
    home_bytes: int
    """Disk space that the home takes: everything but the bases."""
    base_bytes: int
    disk_bytes: int
    free_bytes: int


@dataclass
class _Counter:
    """Which files were seen; a file is known by device and inode, whatever it is called."""

    seen: set[tuple[int, int]] = field(default_factory=set)

    def count(self, kind: Kind, name: str, files: Iterable[Path], note: str = "") -> Usage:
        """The usage of files; links are followed, and one that leads nowhere counts nothing."""
        n_files = apparent_bytes = own_bytes = 0
        for file in files:
            with contextlib.suppress(OSError):  # cleared away meanwhile
                found = file.stat()
                n_files, apparent_bytes = n_files + 1, apparent_bytes + found.st_size
                if (found.st_dev, found.st_ino) not in self.seen:
                    self.seen.add((found.st_dev, found.st_ino))
                    own_bytes += found.st_blocks * _BLOCK_BYTES
        return Usage(kind, name, n_files, apparent_bytes, own_bytes, note)


def du(manager: Manager, model: str | None = None) -> DiskUsage:
    """What bases, generations, packages, artefacts, cache and registry take.

    Args:
        manager: the registry.
        model: only this one, its base, and the packages that it ever had; None: everything.

    Raises:
        NotFoundError: there is no such model.
    """
    counter = _Counter()
    models = (manager.registry.model(model),) if model is not None else manager.registry.models()
    bases = manager.registry.bases() if model is None else tuple(record.base for record in models)
    rows = [_base(manager, counter, base) for base in bases]
    applied: set[str] = set()
    for record in models:
        for generation in manager.registry.generations(record.name):
            applied.update(generation.packages)
            current = generation.number == record.generation
            rows += _generation(manager, counter, record.base, generation, current=current)
    rows += _packages(manager, counter, None if model is None else applied)
    if model is None:
        rows += _editors(manager, counter)
        rows += _others(manager, counter)
    disk = shutil.disk_usage(manager.settings.home)
    base_bytes = sum(row.own_bytes for row in rows if row.kind == "base")
    home_bytes = sum(row.own_bytes for row in rows) - base_bytes
    return DiskUsage(tuple(rows), home_bytes, base_bytes, disk.total, disk.free)


def _base(manager: Manager, counter: _Counter, base: BaseRecord) -> Usage:
    """Its weight files; what else lies in its folder is not known here."""
    files = sorted({tensor.file for tensor in manager.registry.tensors(base.key)})
    users = [record.name for record in manager.registry.models() if record.base.key == base.key]
    note = f"of {', '.join(users)}" if users else "of no model"
    return _or_gone(counter.count("base", base.source, [Path(base.folder) / file for file in files], note))


def _generation(
    manager: Manager, counter: _Counter, base: BaseRecord, generation: GenerationRecord, *, current: bool
) -> Iterator[Usage]:
    """One row for a folder of its own, or for one that is being written; none for the base and for what is gone."""
    name, own = f"{generation.model}/{generation.number}", manager.settings.generations(generation.model)
    if generation.status == "pending":
        writing = [own / str(generation.number), *own.glob(f".new-{generation.number}-*")]
        yield counter.count(
            "generation", name, (file for folder in writing for file in _files(folder)), "in the making"
        )
    elif generation.status == "ready" and generation.folder and generation.action != "add":
        note = "current" if current else ""
        yield _or_gone(counter.count("generation", name, _files(Path(generation.folder)), note))


def _or_gone(usage: Usage) -> Usage:
    """What has not one file left is gone."""
    return usage if usage.n_files else replace(usage, note=f"{usage.note}; no longer there".removeprefix("; "))


def _packages(manager: Manager, counter: _Counter, applied: set[str] | None) -> Iterator[Usage]:
    blobs, signatures = manager.registry.blobs, manager.registry.signatures()
    for package in manager.registry.packages():
        for version in manager.registry.versions(package.name):
            if applied is None or version.digest in applied:
                digests = [file.sha256 for file in version.files]
                if version.digest in signatures:
                    digests.append(signatures[version.digest].sha256)
                files = map(blobs.local, digests)
                yield counter.count("package", version.reference, files)


def _editors(manager: Manager, counter: _Counter) -> Iterator[Usage]:
    blobs = manager.registry.blobs
    for editor in manager.registry.editors():
        files = (blobs.local(file.sha256) for file in editor.files)
        yield counter.count("editor", editor.reference, files)


def _others(manager: Manager, counter: _Counter) -> Iterator[Usage]:
    home, needed = manager.settings.home, manager.registry.blob_digests()
    blobs = manager.registry.blobs
    unused = [blob for blob in blobs.listing() if blob.sha256 not in needed]
    local = counter.count("unused blobs", "", (*(blobs.local(blob.sha256) for blob in unused), *blobs.leftovers()))
    if blobs.elsewhere:
        size_bytes = sum(blob.size_bytes for blob in unused)
        local = replace(local, n_files=len(unused), apparent_bytes=size_bytes, note=f"in {blobs.elsewhere}")
    yield local
    yield counter.count("artefacts", "", _files(manager.settings.artefacts))
    yield counter.count("trainings", "", _files(manager.settings.trainings))
    yield counter.count("cache", "", (file for name in ("cache", "tmp") for file in _files(home / name)))
    database = sorted(home.glob("registry.db*"))
    yield counter.count("registry", "", database, "" if database else "kept elsewhere")


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, by name; nothing where there is none."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(place) / name
