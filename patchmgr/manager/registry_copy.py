"""Copying the tables of a registry elsewhere: from a home into PostgreSQL for a team, or back into a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import NotFoundError, UsageError
from patchmgr.manager.progress import Progress, silent
from patchmgr_registry import Registry
from patchmgr_registry.dialects import dialect_of
from patchmgr_registry.store import BUSY_TIMEOUT_S, DATABASE_FILE

if TYPE_CHECKING:
    from patchmgr_registry.copying import Copied


def copy_registry(source: str, target: str, *, progress: Progress = silent) -> Copied:
    """Copy every row of a registry, with its chain of events, into an empty database; blobs stay where they are.

    Args:
        source: a home folder, or the URL of a database.
        target: the same; a new SQLite file is made.
        progress: told how far it is.

    Raises:
        UsageError: a text is empty, or a URL cannot be read.
        NotFoundError: there is no registry, or nothing in it.
        ConflictError: the target is not empty.
        BusyError: a model is being changed, or somebody writes to the target.
        IntegrityError: the source is broken, or the target did not keep what it was given; nothing is kept.
        StorageError: a database cannot be reached, read or written.
    """
    (home, url), there = _place(source), _place(target)
    dialect = None if url is None else dialect_of(url, busy_timeout_s=BUSY_TIMEOUT_S)
    if not ((home / DATABASE_FILE).is_file() if dialect is None else dialect.is_there()):
        named = str(home) if dialect is None else dialect.place
        raise NotFoundError(f"there is no registry in {named!r}", hint="name a home folder, or a database's URL")
    with Registry.open(home, url) as old, Registry.open(*there) as new:
        return old.copy_into(new, step=progress)


def _place(text: str) -> tuple[Path, str | None]:
    """Home and URL of a registry that is named by either; the home of a URL holds nothing that is asked for here."""
    if not text.strip():  # such as a variable that was never set
        raise UsageError("an empty text names no registry", hint="name a home folder, or a database's URL")
    return (Path(), text) if "://" in text else (Path(text).expanduser().absolute(), None)
