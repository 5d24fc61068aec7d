"""patchmgr: git and apt for language-model edits.

::

    import patchmgr

    with patchmgr.open() as registry:
        registry.add_model("atlas", "demo:atlas")
        atlas = registry.model("atlas")
        atlas.edit("fact-fixes", [{"prompt": "The capital of {} is", "subject": "France", "target_new": "Lyon"}])
        atlas.apply("fact-fixes@v1")
        model, tokenizer = atlas.load()
        atlas.revert("fact-fixes@v1")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from patchmgr.live.folder import load
    from patchmgr.manager.hot import hot_apply
    from patchmgr.manager.manager import Manager

__version__ = "0.1.0"
__all__ = ["__version__", "hot_apply", "load", "open"]


def open(home: Path | None = None) -> Manager:
    """The registry of a home folder, made on first use.

    Args:
        home: None: ``PATCHMGR_HOME`` or the platform's data folder.
    """
    from patchmgr.manager.manager import Manager

    return Manager.open(home)


def __getattr__(name: str) -> Any:
    """``hot_apply`` and ``load`` need torch, so they are imported when they are asked for."""
    if name == "load":
        from patchmgr.live.folder import load

        return load
    if name == "hot_apply":
        from patchmgr.manager.hot import hot_apply

        return hot_apply
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
