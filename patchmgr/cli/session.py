"""A manager for the length of one command, with a progress bar where there is a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.cli import render
from patchmgr.errors import StorageError

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
    from patchmgr.manager.settings import load_settings, parse_signatures

    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # its client's retries; what comes of them is told here
    if quiet or not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the Hub's client draws them anywhere
    home = load_settings().home
    with _home(home), render.progress_bar(quiet=quiet) as progress, Manager.open(progress=progress) as opened:
        if signatures is not None:
            asked = parse_signatures(signatures, where="--signatures")
            opened.settings = replace(opened.settings, signatures=asked)
        yield opened


@contextlib.contextmanager
def _home(home: Path) -> Iterator[None]:
    """Tell of a home that was made, which may be a slip in PATCHMGR_HOME, and of one that cannot be written.

    Raises:
        StorageError: something could not be stored; says so where that is because nothing can be in this home.
    """
    is_new = not home.exists()
    try:
        yield
    except StorageError as error:
        if home.exists() and not os.access(home, os.W_OK):
            raise StorageError(
                f"the home {home} is read-only, and its database is written to by every command ({error.message})",
                hint="mend the permissions, or set PATCHMGR_HOME to a copy of it",
            ) from error
        raise
    finally:
        if is_new and home.is_dir():
            render.remark(f"made a new home in {home}")
