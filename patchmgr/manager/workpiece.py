"""Running a method on a state: what it gives becomes a package of weights or of memory, written and measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.manager import memory_package, weights_package
from patchmgr.manager.making import Making, Workpiece
from patchmgr.manager.order import EditOrder
from patchmgr.manager.parent import opened_parent
from patchmgr.manager.placing import load_to_edit
from patchmgr.manager.states import ModelState
from patchmgr.methods.contract import LoadedModel, Method, MethodParameters

if TYPE_CHECKING:
    from patchmgr.evaluate.engine import Engine
    from patchmgr.manager.manager import Manager


def make(
    manager: Manager,
    state: ModelState,
    method: Method,
    parameters: MethodParameters,
    order: EditOrder,
    folder: Path,
    *,
    loaded: LoadedModel | None = None,
    engine: Engine | None = None,
) -> Workpiece:
    """Run a method on a state and write the payload of the package into ``folder``.

    Args:
        manager: the registry.
        state: of the model.
        method: what computes.
        parameters: parsed.
        order: the rest of what was asked for.
        folder: an empty one.
        loaded: the state to edit, where it is in memory already.
        engine: what measures; None: one that keeps its answers in the manager's home.

    Raises:
        RequestError: a request that the method cannot use.
        MethodError: the method cannot run on this model, or gave something unusable.
    """
    from patchmgr.manager.measuring import engine_of

    remembers = method.kind == "memory"
    # what a memory of texts says does not hang on the weights, so that it may be put on any of them
    on = order if is_bound(method) else replace(order, on="base", below=None)
    with opened_parent(manager, state, on) as parent:
        loaded = loaded or load_to_edit(manager, parent, order)
        engine = engine or engine_of(manager, device=loaded.model.device.type)
        making = Making(manager, state, parent, loaded, method, parameters, order, folder, engine)
        return memory_package.make(making) if remembers else weights_package.make(making)


def is_bound(method: Method) -> bool:
    """Whether what a method makes belongs to the state that it was made on: all but memories of texts."""
    return method.kind == "weights" or getattr(method, "level", "text") == "hidden"
