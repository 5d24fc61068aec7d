"""A place for a file that a command shall write, looked at before the work and not after it."""

from __future__ import annotations

import os
from pathlib import Path

from patchmgr.durable import storing
from patchmgr.errors import ConflictError, NotFoundError


def check_output(path: Path, *, overwrite: bool = True) -> None:
    """Make sure that a file can be stored under a name.

    Args:
        path: the name.
        overwrite: whether a file that is there may be replaced.

    Raises:
        NotFoundError: its folder is not there.
        ConflictError: something that is no file has that name, or a file that is not to be replaced.
        StorageError: the name is longer than any, or permission is missing.
    """
    with storing(path.name):
        if not path.parent.is_dir():
            raise NotFoundError(f"there is no folder {str(path.parent)!r}", hint="make it first")
        if not os.path.lexists(path):
            return
        if not path.is_file():
            raise ConflictError(f"{str(path)!r} is there and is no file", hint="choose another name")
        if not overwrite:
            raise ConflictError(f"there is a file {str(path)!r} already", hint="replace it with --force")
