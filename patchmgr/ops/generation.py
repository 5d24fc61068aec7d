"""Generations on disk: an ordinary checkpoint folder in which only the touched shards are new files.

Nothing is patched in place: programs map checkpoints into memory, so bytes changed underneath would change a running
model. A touched shard is streamed into a new file, block by block, several shards side by side; every other weight file
is a link, and the small files beside them are copies, so that editing one by hand does not reach the base.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.base.blocks import reading
from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.digests import FileIdentity, file_identity
from patchmgr.durable import new_folder
from patchmgr.errors import IntegrityError, StorageError
from patchmgr.ops.expected import check_digest
from patchmgr.ops.links import link
from patchmgr.ops.memories import write_memories

if TYPE_CHECKING:
    from patchmgr.ops.sums import Sums
    from patchmgr.package.reader import EditPackage

_SPARE_BYTES = 16 * 1024 * 1024
"""Left free beside the weights, for headers and companions."""

Progress = Callable[[int, int], None]
"""Called with (bytes written, bytes to write), some times a second, from the calling thread."""


@dataclass(frozen=True)
class KeptFile:
    """A weight file that an earlier generation has as it shall be, with its touched tensors' digests."""

    path: Path
    tensors: Mapping[str, str]


class KeptFileError(Exception):
    """A kept file cannot be linked (any more); the generation must be written without it. Never seen by users."""


@dataclass(frozen=True)
class Recipe:
    """What a generation is made of, and the digests that the writing must meet."""

    base: Checkpoint
    sums: Sums
    """What becomes of the tensors whose files are written; none of a kept file."""
    before: Mapping[str, str]
    """SHA-256 of those tensors in the base."""
    after: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of results that are known beforehand."""
    kept: Mapping[str, KeptFile] = field(default_factory=dict)
    memories: Sequence[EditPackage] = ()
    """Memory packages of the stack, in order."""
    links: bool = True
    """Link what need not be written; otherwise the folder shares nothing with any other."""

    @property
    def touched_files(self) -> frozenset[str]:
        """Weight files that hold a tensor to be summed."""
        return frozenset(self.base.entry(name)[0] for name in self.sums)

    @property
    def written_files(self) -> tuple[str, ...]:
        """Weight files that are streamed, the touched ones, or all where nothing may be linked."""
        return tuple(file for file in self.base.headers if not self.links or file in self.touched_files)

    @property
    def written_bytes(self) -> int:
        """Bytes of the files that are streamed."""
        return sum(self.base.headers[file].size_bytes for file in self.written_files)


def write_generation(recipe: Recipe, destination: Path, progress: Progress | None = None) -> Mapping[str, str]:
    """Write the checkpoint of a state; either the whole folder is there afterwards or nothing of it.

    Args:
        recipe: what goes in.
        destination: the folder to make.
        progress: called with bytes.

    Returns:
        SHA-256 of each touched tensor after the sum.

    Raises:
        NotFoundError: a file of the base is gone.
        IntegrityError: the base is not what it was, or a result is not what it must be; names both digests.
        IntegrityError: a file of the base changed while it was read; names it.
        MethodError: a sum is not finite.
        StorageError: the disk has not the room, or is read-only or failing.
        KeptFileError: a kept file cannot be linked.
    """
    check_room(recipe, destination)
    with new_folder(destination, what=f"generation {destination.name}") as folder:
        sources = _sources(recipe)
        for name in recipe.base.companions:
            _copy_companion(recipe.base.folder / name, folder / name)
        for file in recipe.base.headers:
            if file not in recipe.written_files:
                _link(recipe, file, folder / file)
        write_memories(recipe.memories, folder)
        results = dict(_stream(recipe, folder, progress or (lambda _done, _total: None)))
        for kept in recipe.kept.values():
            results |= kept.tensors
        for name, sha256 in results.items():
            check_digest(name, sha256, recipe.after.get(name, sha256))
        _check_unchanged(recipe, sources, folder)
    return results


def check_room(recipe: Recipe, destination: Path) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        StorageError: naming what is needed and what is free.
    """
    standing = next(folder for folder in destination.absolute().parents if folder.is_dir())
    needed, free = recipe.written_bytes + _SPARE_BYTES * bool(recipe.written_files), shutil.disk_usage(standing).free
    if needed > free:
        raise StorageError(
            f"{destination.name} needs {needed / 1e9:.2f} GB and the disk has {free / 1e9:.2f} GB free",
            hint="free some space, for instance by `patchmgr gc`; `patchmgr du` shows what takes it",
        )


def _sources(recipe: Recipe) -> Mapping[str, FileIdentity]:
    """What each weight file is read or linked from, by its name."""
    found = {}
    for file in recipe.base.headers:
        if file in recipe.kept:
            try:
                found[file] = file_identity(recipe.kept[file].path)
            except OSError as error:
                raise KeptFileError(file) from error
        else:
            with reading(recipe.base.folder / file):
                found[file] = file_identity(recipe.base.folder / file)
    return found


def _check_unchanged(recipe: Recipe, sources: Mapping[str, FileIdentity], folder: Path) -> None:
    """Refuse what was made of files that changed meanwhile: only touched tensors are digested on the way."""
    for file, identity in sources.items():
        if file in recipe.kept:
            if file_identity(folder / file) != identity:
                raise KeptFileError(file)
            continue
        with reading(recipe.base.folder / file):
            unchanged = file_identity(recipe.base.folder / file) == identity
        if not unchanged:
            raise IntegrityError(
                f"{file} of the base changed while it was read",
                hint="bases must stay as they are; fetch it again, and let what writes it finish",
            )


def _copy_companion(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        raise IntegrityError(
            f"{source.name} of the base has vanished", hint="bring it back as it was, or fetch the base again"
        ) from None


def _link(recipe: Recipe, file: str, target: Path) -> None:
    """Link a file that need not be written; a kept one never by a symbolic link, for its folder may be cleared away."""
    if file in recipe.kept:
        try:
            os.link(recipe.kept[file].path, target)
        except OSError as error:
            raise KeptFileError(file) from error
    else:
        link((recipe.base.folder / file).resolve(), target)


def _stream(recipe: Recipe, folder: Path, progress: Progress) -> Mapping[str, str]:
    """Write what must be written; digests of the tensors that were summed."""
    if not recipe.written_files:
        return {}
    from patchmgr.ops.shard import Shard  # numpy, which is of no use where everything is linked
    from patchmgr.ops.stream import write_shards

    shards: list[Shard] = []
    try:
        for file in recipe.written_files:
            header = recipe.base.headers[file] if file in recipe.touched_files else None
            shards.append(Shard(recipe.base.folder / file, header, recipe.sums, recipe.before, folder / file))
    except BaseException:
        for shard in shards:
            shard.close(keep=False)
        raise
    return write_shards(shards, lambda done: progress(min(done, recipe.written_bytes), recipe.written_bytes))
