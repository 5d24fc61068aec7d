"""Bytes that are on the disk when the call returns, and errors of the disk in words.

A file is written under a temporary name, synced, and renamed; a folder is synced after a name in it changed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from patchmgr.errors import ConflictError, StorageError

_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space and run the command again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run the command again"),
    errno.EFBIG: ("the file would pass the limit on file sizes", "raise `ulimit -f`, or use another disk"),
    errno.EROFS: ("the file system is read-only", "choose another folder, for instance by PATCHMGR_HOME"),
    errno.EACCES: ("permission is missing", "choose another folder, for instance by PATCHMGR_HOME"),
    errno.EPERM: ("permission is missing", "choose another folder, for instance by PATCHMGR_HOME"),
    errno.EISDIR: ("a folder stands where a file must be", "move it away"),
    errno.EIO: ("the disk failed", "check the disk"),
    errno.ENAMETOOLONG: ("its name is too long", "choose a shorter one"),
    errno.EEXIST: ("something stands in its place", "move it away, or choose another place"),
    errno.ENOTEMPTY: ("something stands in its place", "move it away, or choose another place"),
    errno.ENOTDIR: ("a file stands where a folder must be", "choose another folder, for instance by PATCHMGR_HOME"),
}


@contextlib.contextmanager
def storing(what: str) -> Iterator[None]:
    """Turn an expected failure of the disk into a :class:`StorageError` that says what was being stored."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = _REASONS.get(_number(error))
        if reason is None:
            raise
        raise StorageError(f"cannot write {what}: {reason[0]}", hint=reason[1]) from error


def _number(error: OSError | SafetensorError) -> int:
    """The errno of an error, 0 where it has none; safetensors keeps it in its words only: ``… (os error 28)``."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else 0


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn a failure to read into a :class:`StorageError` that says what was being read."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"cannot read {what}: {reason}", hint="check the disk, the path and its permissions"
        ) from error


@contextlib.contextmanager
def placing(what: str, parent: Path) -> Iterator[None]:
    """Make the folder that something is put into, and say it when nothing can be made there."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        yield
    except FileNotFoundError as error:
        raise StorageError(
            f"cannot write {what}: nothing can be made in {parent}", hint="choose another place"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make the bytes of a file durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_tree(folder: Path) -> None:
    """Make everything in a folder durable: the bytes of its files and the names in its folders. Links are left out."""
    for place, _, files in os.walk(folder):
        for name in files:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                sync_file(path)
        sync_folder(Path(place))


def store_file(data: bytes, destination: Path, *, what: str, mode: int = 0o644) -> None:
    """Write a file in one step: it is there as a whole afterwards, or as it was before.

    Raises:
        StorageError: the disk is full, read-only or failing.
    """
    with storing(what):
        handle, name = tempfile.mkstemp(prefix=".new-", dir=destination.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(mode)
            temporary.replace(destination)
            sync_folder(destination.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def scratch_folder(parent: Path, prefix: str, *, what: str) -> Iterator[Path]:
    """A temporary folder that is gone when the block ends.

    Raises:
        StorageError: it cannot be made.
    """
    with storing(what):
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_vacant(folder: Path) -> None:
    """Make sure that a folder can be made at a place, or lies there empty.

    Raises:
        ConflictError: something else is there.
    """
    with reading(str(folder)):
        vacant = not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir()))
    if not vacant:
        raise ConflictError(f"there is something at {str(folder)!r} already", hint="choose a new folder")


@contextlib.contextmanager
def new_folder(destination: Path, *, what: str, mode: int = 0o777) -> Iterator[Path]:
    """A temporary folder that becomes ``destination`` when the block ends, and vanishes when it raises.

    Args:
        destination: its place.
        what: it is, for messages.
        mode: who may use it, as far as the umask lets them.

    Raises:
        StorageError: the disk is full, read-only or failing.
    """
    with storing(what):
        temporary = destination.parent / f".new-{destination.name}-{secrets.token_hex(4)}"
        with placing(what, destination.parent):
            temporary.mkdir(mode=mode)
        try:
            yield temporary
            sync_tree(temporary)
            temporary.replace(destination)
            sync_folder(destination.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def repoint(link: Path, target: str) -> None:
    """Make ``link`` a symbolic link to ``target`` in one step.

    Raises:
        StorageError: the disk is full, read-only or failing.
    """
    with storing(f"the link {link.name}"):
        link.parent.mkdir(parents=True, exist_ok=True)
        temporary = link.parent / f".new-{link.name}-{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(link)
        sync_folder(link.parent)
