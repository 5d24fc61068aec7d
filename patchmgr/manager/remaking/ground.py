"""The state that a package made from others is computed on: the present one, without what the new one stands for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from patchmgr.manager.order import Below
from patchmgr.manager.states import ModelState
from patchmgr.ops import stack as stacks
from patchmgr.ops.stack import Stack


def ground(state: ModelState, on: Literal["current", "base"] | None, without: Collection[str]) -> dict[str, Any]:
    """The fields of an order that say what it is computed on.

    Args:
        state: of the model.
        on: the pristine base, or the present state; None: the present state.
        without: names of packages that are thought away, whichever versions of them are applied, and with them what
            was computed on them: those that the edits come from, and the one that will be made.
    """
    if on == "base":
        return {"on": "base"}
    leaving = [package for package in state.stack if package.name in without]
    return on_stack(state, stacks.remove(state.stack, leaving, cascade=True).stack) if leaving else {"on": "current"}


def on_stack(state: ModelState, stack: Stack) -> dict[str, Any]:
    """The fields of an order that is computed on some packages of a model, whether or not it has them now."""
    below = stacks.digests(package for package in stack if package.kind == "weights")
    now = stacks.digests(package for package in state.stack if package.kind == "weights")
    return {"on": "current"} if below == now else {"below": Below(below)}
