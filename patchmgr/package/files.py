"""The files beside a manifest: plain ones only, exactly those that it lists, and every byte as it says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from patchmgr.canonical import sha256_file
from patchmgr.errors import FormatError, IntegrityError, NotFoundError
from patchmgr.package.fields import FileRecord

LEFT_ALONE = frozenset({".gitattributes", ".gitignore", "LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE", "NOTICE.txt"})
"""What belongs to the repository that a package lies in, and not to a version of it."""
COMPANIONS = LEFT_ALONE | {"README.md", "model.sig", "adapter_config.json", "adapter_model.safetensors"}
"""What may lie beside a package without being part of it: a card, a signature, an adapter for PEFT, and the above."""

_AGAIN = "fetch it again"


def check_is_folder(folder: Path) -> None:
    """Make sure that a folder is there before anything is said of what is in it.

    Raises:
        NotFoundError: there is none, or it is a file.
    """
    try:
        there, is_folder = folder.exists(), folder.is_dir()
    except OSError:  # a name that no file can have
        there = is_folder = False
    if not there:
        raise NotFoundError(f"there is no folder {str(folder)!r}", hint="check the path")
    if not is_folder:
        raise NotFoundError(f"{str(folder)!r} is a file and not a folder", hint="give the folder that it lies in")


def holds(folder: Path, name: str) -> bool:
    """Whether a file is to be seen in a folder: not in one that may not be read."""
    try:
        return (folder / name).is_file()
    except OSError:
        return False


def plain_files(folder: Path) -> dict[str, Path]:
    """Every file of a folder by its POSIX path in it, in order.

    Raises:
        FormatError: there is a link among them.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise FormatError(f"{name} is a link; only plain files belong in {folder.name}", hint="do not use it")
        if path.is_file():
            files[name] = path
    return files


def check_files(reference: str, manifest: str, listed: Mapping[str, FileRecord], files: Mapping[str, Path]) -> None:
    """Make sure that files are those that a manifest lists.

    Args:
        reference: whose, for messages.
        manifest: its name, for messages.
        listed: what it lists, by path.
        files: where they lie, by path.

    Raises:
        FormatError: there is one that it does not list and that is no companion.
        IntegrityError: one is missing, or is not what its size and digest say; names the first.
    """
    surplus = set(files) - set(listed) - COMPANIONS
    if surplus:
        raise FormatError(f"{reference} holds {min(surplus)!r}, which {manifest} does not list")
    for name, record in listed.items():
        _check_file(f"{reference}: {name}", manifest, files.get(name), record)


def _check_file(what: str, manifest: str, path: Path | None, record: FileRecord) -> None:
    if path is None or not path.is_file():
        raise IntegrityError(f"{what} is missing", hint=_AGAIN)
    size_bytes = path.stat().st_size
    if size_bytes != record.size_bytes:
        raise IntegrityError(f"{what} is {size_bytes} bytes, {manifest} says {record.size_bytes}", hint=_AGAIN)
    sha256 = sha256_file(path)
    if sha256 != record.sha256:
        raise IntegrityError(
            f"{what} has digest {sha256[:12]}…, {manifest} says {record.sha256[:12]}…",
            hint=f"its bytes were changed; {_AGAIN}",
        )
