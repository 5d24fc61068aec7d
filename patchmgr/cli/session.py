"""A manager for the length of one command, with a progress bar where there is a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from patchmgr.cli import render

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@contextlib.contextmanager
def manager(*, quiet: bool = True) -> Iterator[Manager]:
    """The registry of this user; imported here, so that ``--help`` stays quick."""
    from patchmgr.manager.manager import Manager

    with render.progress_bar(quiet=quiet) as progress, Manager.open(progress=progress) as opened:
        yield opened
