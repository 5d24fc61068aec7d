"""Where a base comes from: ``demo:atlas``, a folder, or a Hub id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from patchmgr.errors import NotFoundError, UsageError

DEMO_PREFIX = "demo:"


@dataclass(frozen=True)
class Source:
    """A base as the user named it, and the folder that it is on this machine."""

    name: str
    """Informative: a Hub id, ``demo:…``, or the name of a folder without its path."""
    revision: str | None
    folder: Path


def find_source(text: str, revision: str | None) -> Source:
    """The folder behind what a user typed; a Hub id is fetched.

    Raises:
        NotFoundError: nothing of that name, or it cannot be had.
        UsageError: a revision was given for something that has none.
    """
    if text.startswith(DEMO_PREFIX):
        _refuse_revision(revision, text)
        return Source(text, None, _demo(text.removeprefix(DEMO_PREFIX)))
    folder = Path(text).expanduser()
    if folder.is_dir():
        _refuse_revision(revision, text)
        return Source(folder.resolve().name, None, folder.resolve())
    if text.startswith((".", "/", "~")) or text.count("/") > 1:
        raise NotFoundError(f"there is no folder {text!r}", hint="give a checkpoint folder, org/name, or demo:atlas")
    from patchmgr.hub.bases import fetch_base

    fetched = fetch_base(text, revision)
    return Source(text, fetched.revision, fetched.folder)


def _demo(name: str) -> Path:
    from patchmgr.demo.bases import DEMOS, demo_folder

    if name not in DEMOS:
        raise NotFoundError(f"there is no demo base {name!r}", hint=f"known: {', '.join(DEMOS)}")
    return demo_folder(name)


def _refuse_revision(revision: str | None, text: str) -> None:
    if revision is not None:
        raise UsageError(f"{text!r} has no revisions", hint="--revision goes with a Hub id")
