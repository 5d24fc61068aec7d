"""Loading a checkpoint folder that patchmgr wrote, with the memories that lie in it, wherever it was taken."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.live.load import ComputeDtype, load_model
from patchmgr.live.memories import open_router
from patchmgr.live.routed import RoutedModel
from patchmgr.methods.loader import load_plugins
from patchmgr.ops.memories import read_memories

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load(
    folder: Path | str, *, dtype: ComputeDtype = "auto", device: str = "cpu"
) -> tuple[PreTrainedModel | RoutedModel, PreTrainedTokenizerBase]:
    """A model and its tokenizer from a checkpoint folder, memory packages at work.

    Args:
        folder: of a generation, of what ``patchmgr apply -o`` wrote, or any checkpoint.
        dtype: ``auto`` as stored; others convert.
        device: a torch device.

    Returns:
        The transformers model itself where the folder has no memories; else one that stands in for it.

    Raises:
        NotFoundError: transformers cannot load it, or no plugin brings the runtime of a memory.
        FormatError: a memory is malformed.
        IntegrityError: a file of a memory is not what its digest says.
    """
    packages = read_memories(Path(folder))
    loaded = load_model(Path(folder), "", dtype=dtype, device=device)
    router = open_router(packages, load_plugins(), device=device)
    return (loaded.model if router is None else RoutedModel(loaded, router)), loaded.tokenizer
