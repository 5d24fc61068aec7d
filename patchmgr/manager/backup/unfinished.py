"""A restore that has begun and not ended: its home is refused meanwhile, since half of one looks like a new one.

The file ``restoring`` is there before the first thing in the home is moved, and goes after the last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from patchmgr.durable import store_file, sync_folder
from patchmgr.errors import IntegrityError

MARKER = "restoring"
_ASIDE = re.compile(r"replaced-[0-9A-Za-z-]+")


@dataclass(frozen=True)
class Unfinished:
    """How far it came."""

    aside: str
    """The folder in the home that what was there goes to; empty: nothing was there."""
    moved: bool
    """Whether all of that has gone; what lies in the home since then is the backup's."""


def read_unfinished(home: Path) -> Unfinished | None:
    """What a restore noted in this home that has not ended; None: there is none."""
    try:
        words = (home / MARKER).read_bytes()[:200].decode("ascii", "replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    aside = words[0] if words and _ASIDE.fullmatch(words[0]) else ""
    return Unfinished(aside, moved="moved" in words)


def note_unfinished(home: Path, unfinished: Unfinished) -> None:
    """Note it; StorageError when the disk does not let it."""
    text = f"{unfinished.aside}\n{'moved' if unfinished.moved else 'moving'}\n"
    store_file(text.encode(), home / MARKER, what="the note of the restore")


def end_unfinished(home: Path) -> None:
    """Everything is in place."""
    (home / MARKER).unlink()
    sync_folder(home)


def refuse_unfinished(home: Path) -> None:
    """Make sure that a home is whole.

    Raises:
        IntegrityError: a restore was begun there and has not ended; says where what was there lies.
    """
    unfinished = read_unfinished(home)
    if unfinished is None:
        return
    where = f"; what was there before lies in {home / unfinished.aside}" if unfinished.aside else ""
    raise IntegrityError(
        f"a restore into {home} was begun and has not ended{where}",
        hint="if none is running any more, `patchmgr restore BACKUP --replace` begins it anew, and nothing is lost",
    )
