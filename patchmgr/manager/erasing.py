"""Taking away what the home has of a forgotten version; every call does all of it, so a second one finishes a first.

What can be told only while the version is known is noted in ``forgetting/<digest>.json`` before the registry forgets:
digests of blobs and names of files, no texts. When it has forgotten they go, with all that can be found at any time;
then the database is written anew, and the note goes last. So nothing is lost when the registry does not forget after
all, and nothing stays when a process is killed at any moment and the command is given again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from patchmgr.canonical import canonical_json
from patchmgr.durable import store_file, storing
from patchmgr.errors import StorageError
from patchmgr.manager.aftermath import clear_leftovers
from patchmgr.package.fields import InnerPath, Section, Sha256
from patchmgr.package.parsing import parse_canonical

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

_FORMAT_VERSION: Final = 1
_BLOCK_BYTES = 4 * 1024 * 1024


class Doomed(Section):
    """What goes when a version is forgotten, beside what can be found at any time."""

    format_version: Literal[1] = _FORMAT_VERSION
    blobs: tuple[Sha256, ...] = Field(default=(), strict=False)
    """Unless something else is made of them then."""
    paths: tuple[InnerPath, ...] = Field(default=(), strict=False)
    """Files and folders of the home; a folder that is half gone shows no more why it is to go."""

    def to_bytes(self) -> bytes:
        """The bytes of the note."""
        return canonical_json(self.model_dump(mode="json"))


def note(manager: Manager, digest: str, doomed: Doomed) -> None:
    """Note what is to go; it is on the disk afterwards.

    Raises:
        StorageError: the disk is full, read-only or failing.
    """
    place = _note(manager, digest)
    with storing(f"{place}"):
        place.parent.mkdir(exist_ok=True)
    store_file(doomed.to_bytes(), place, what=f"{place}", mode=0o600)


def noted(manager: Manager, digest: str) -> Doomed:
    """What was noted and has not gone for certain; nothing where no call was interrupted.

    Raises:
        FormatError: the note was changed.
    """
    place = _note(manager, digest)
    if not place.exists():
        return Doomed()
    hint = "delete it; blobs and scratch files that it named then stay until `patchmgr gc`"
    return parse_canonical(Doomed, place.read_bytes(), str(place), version=_FORMAT_VERSION, hint=hint)


def take_away(manager: Manager, reference: str, digest: str) -> None:
    """Delete what there is of a version that the registry has forgotten, and write the database anew.

    Raises:
        StorageError: some of it cannot be deleted, or the disk is failing; all else is gone.
        BusyError: another process uses the database, which therefore could not be written anew.
    """
    clear_leftovers(manager)
    doomed, home = noted(manager, digest), manager.settings.home
    left = list(_without_blobs(manager, doomed))
    places = (*(home / path for path in doomed.paths), *findable(manager, digest), *folders(manager, digest).values())
    left += _without(dict.fromkeys(places))
    manager.registry.scrub()
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise StorageError(
            f"{reference} is forgotten, but this cannot be deleted: {', '.join(left[:3])}{more}",
            hint="mend the permissions, and run the same command again",
        )
    _note(manager, digest).unlink(missing_ok=True)


def findable(manager: Manager, digest: str) -> tuple[Path, ...]:
    """Files and folders of the home that can hold texts of a version, known by its digest alone.

    They are answers that were kept, copies of the database from before an upgrade, and the homes that `restore` moved
    aside and in which the version is.
    """
    home = manager.settings.home
    answers = [home / "cache" / "answers"]
    aside = [
        folder
        for folder in sorted(home.glob("replaced-*"))
        if any(mentions(path, [digest.encode()]) for path in folder.glob("registry.db*"))
    ]
    return (*(path for path in answers if path.exists()), *sorted(home.glob("registry.db.before-*")), *aside)


def folders(manager: Manager, digest: str) -> Mapping[tuple[str, int], Path]:
    """Folders of cleared generations that were made with a version, where this home has them and no row says it."""
    return {
        (model.name, generation.number): folder
        for model in manager.registry.models()
        for generation in manager.registry.generations(model.name)
        if digest in generation.packages and generation.status not in ("ready", "pending")
        if (folder := manager.settings.generations(model.name) / str(generation.number)).exists()
    }


def mentions(path: Path, needles: Iterable[bytes]) -> bool:
    """Whether the raw bytes of a file hold one of the needles; it may be of any size.

    Raises:
        StorageError: it cannot be read.
    """
    needles = tuple(needles)
    overlap, end = max(map(len, needles), default=1) - 1, b""
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                data = end + block
                if any(needle in data for needle in needles):
                    return True
                end = data[-overlap:] if overlap else b""
    except FileNotFoundError:  # cleared away meanwhile
        return False
    except OSError as error:
        raise StorageError(
            f"cannot read {path}: {error.strerror}", hint="mend its permissions, or delete it"
        ) from error
    return False


def _note(manager: Manager, digest: str) -> Path:
    return manager.settings.home / "forgetting" / f"{digest}.json"


def _without_blobs(manager: Manager, doomed: Doomed) -> Iterator[str]:
    """Delete blobs, under the registry's lock, so that nothing can come to need one meanwhile; those that stay."""
    with manager.registry.begin() as tx:
        for sha256 in sorted(set(doomed.blobs) - tx.blob_digests()):
            try:
                manager.registry.blobs.remove(sha256)
            except (OSError, StorageError):
                yield f"the blob {sha256}"


def _without(paths: Iterable[Path]) -> Iterator[str]:
    """Delete files and folders, as much of them as can be; those of which something stays."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
        if os.path.lexists(path):
            yield str(path)
