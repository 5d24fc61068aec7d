"""Loading a checkpoint folder that patchmgr wrote, with the memories that lie in it, wherever it was taken."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.canonical import sha256_hex
from patchmgr.live.load import ComputeDtype, load_model
from patchmgr.live.memories import DigestOf, open_router
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
        BaseMismatchError: a memory within the model was made on other weights.
    """
    packages = read_memories(Path(folder))
    loaded = load_model(Path(folder), "", dtype=dtype, device=device)
    router = open_router(packages, load_plugins(), loaded, _digests(Path(folder))) if packages else None
    return (loaded.model if router is None else RoutedModel(loaded, router)), loaded.tokenizer


def _digests(folder: Path) -> DigestOf:
    """What the tensors in a folder are; only those that are asked for are read."""
    checkpoint = Checkpoint.read(folder)
    return lambda name: sha256_hex(checkpoint.read_bytes(name)) if name in checkpoint.tensors else None
