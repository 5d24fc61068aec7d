"""A manager for the length of one command, with a progress bar where there is a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from patchmgr.cli import render

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@contextlib.contextmanager
def manager(*, quiet: bool = True, signatures: str | None = None) -> Iterator[Manager]:
    """The registry of this user; imported here, so that ``--help`` stays quick.

    Args:
        quiet: no progress.
        signatures: what is asked of signatures this once; None: what the settings say.
    """
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.settings import parse_signatures

    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # its client's retries; what comes of them is told here
    if quiet or not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the Hub's client draws them anywhere
    with render.progress_bar(quiet=quiet) as progress, Manager.open(progress=progress) as opened:
        if signatures is not None:
            asked = parse_signatures(signatures, where="--signatures")
            opened.settings = replace(opened.settings, signatures=asked)
        yield opened
