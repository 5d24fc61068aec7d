"""``patchmgr demo``: the whole story on the built-in base, in a home of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchmgr.cli.options import QuietOpt


def demo(
    home: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the registry here; without it, it is thrown away.")
    ] = None,
    quiet: QuietOpt = False,
) -> None:
    """Show the whole story offline: edit a fact, apply, ask, revert bit for bit, audit. Every command is real."""
    from patchmgr.cli.story import tell

    tell(home, quiet=quiet)
