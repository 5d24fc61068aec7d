"""Where a state is loaded to be edited, and in which precision it computes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchmgr.manager.bench import checked, find_device
from patchmgr.methods.contract import LoadedModel, MethodParameters

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.order import EditDtype, EditOrder
    from patchmgr.manager.parent import Parent


def load_to_edit(manager: Manager, parent: Parent, order: EditOrder) -> LoadedModel:
    """The state that an order is computed on, in memory.

    Raises:
        UsageError: there is no such device.
        NotFoundError: transformers cannot load it.
        MethodError: memory ran out.
    """
    from patchmgr.live.load import load_model
    from patchmgr.live.shortage import within_memory

    manager.progress(0, 1, "loading the model")
    device = checked(find_device(order.device))
    with within_memory("loading the model", hint=takes_less(order)):
        return load_model(
            parent.folder,
            parent.root,
            dtype=_dtype(order, device),
            device=device,
            device_map=order.device_map,
        )


def takes_less(order: EditOrder, parameters: MethodParameters | None = None) -> str:
    """What takes less memory than an order does, as a hint.

    Args:
        order: what was asked for.
        parameters: those of the method, where it is the method that ran out.
    """
    ways = []
    batch = getattr(parameters, "batch", None)
    if isinstance(batch, int) and batch > 1:
        ways.append(f"--set batch={max(1, batch // 4)}")
    if order.dtype not in ("bfloat16", "float16"):
        ways.append("--dtype bfloat16")
    if order.device != "cpu" and order.device_map is None:
        ways.append("--device cpu")
    if parameters is not None and len(order.requests) > 1:
        ways.append("fewer edits at a time")
    return f"try {', or '.join(ways)}" if ways else "use a machine with more memory"


def _dtype(order: EditOrder, device: str) -> EditDtype:
    """Processors are slow and coarse in narrow numbers; on other devices the model stays as it is stored."""
    on_processor = device == "cpu" and order.device_map is None
    return "float32" if order.dtype == "auto" and on_processor else order.dtype
