"""Loading a state that no folder holds: the base's files mapped into memory, its touched tensors replaced by sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import AutoConfig, GenerationConfig, PreTrainedModel

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.fingerprint import Fingerprint
from patchmgr.canonical import sha256_hex
from patchmgr.errors import IntegrityError
from patchmgr.live.load import auto_class, load_tokenizer, loading
from patchmgr.methods.contract import LoadedModel
from patchmgr.ops.kernel import summed_blocks
from patchmgr.ops.stack import state_root
from patchmgr.ops.sums import Sums
from patchmgr.package.encodings.contract import Delta


def load_state(
    base: Checkpoint,
    known: Fingerprint,
    sums: Sums,
    *,
    after: Mapping[str, str],
    memories: Sequence[str] = (),
    dtype: Literal["auto", "float32"] = "auto",
    device: str = "cpu",
) -> LoadedModel:
    """The model that the written folder of a state would give, without the folder.

    transformers gets the tensors themselves instead of files, under the checkpoint's names, so that it renames, fuses
    and ties them as it always does. What is kept as stored stays mapped; memory is needed for the touched tensors only.

    Args:
        base: the checkpoint below the state; no byte of it is changed.
        known: its fingerprint.
        sums: what becomes of the touched tensors.
        after: SHA-256 of results that are known beforehand.
        memories: roots of the state's memory bundles, in order.
        dtype: as for :func:`patchmgr.live.load.load_model`.
        device: a torch device.

    Returns:
        The model and its tokenizer, with the state root.

    Raises:
        NotFoundError: transformers cannot load it as a language model with a tokenizer.
        IntegrityError: a tensor of the base is not what it was, or a result is not what it must be.
        MethodError: a sum is not finite.
    """
    with loading(base.folder):
        tensors = _mapped(base)
    digests = {}
    for name, deltas in sums.items():
        tensors[name], digests[name] = _summed(name, base, tensors[name], deltas, known.tensors[name].sha256)
        _check(name, "becomes", digests[name], after.get(name, digests[name]))
    with loading(base.folder):
        model, tokenizer = _model(base.folder, tensors, dtype), load_tokenizer(base.folder)
    root = state_root(known.with_tensors(digests), memories)
    return LoadedModel(model.eval().to(torch.device(device)), tokenizer, root)


def _mapped(base: Checkpoint) -> dict[str, Tensor]:
    """Every tensor of a checkpoint; its bytes are read when they are used, and writing to it changes no file."""
    tensors: dict[str, Tensor] = {}
    for file in base.headers:
        try:
            with safe_open(base.folder / file, framework="pt") as opened:
                tensors.update({name: opened.get_tensor(name) for name in opened.keys()})  # noqa: SIM118 (no mapping)
        except SafetensorError as error:
            raise IntegrityError(f"{file} cannot be read ({error})", hint="run `patchmgr model verify`") from None
    return tensors


def _summed(name: str, base: Checkpoint, stored: Tensor, deltas: Sequence[Delta], before: str) -> tuple[Tensor, str]:
    """The exact sum of one tensor and its SHA-256, block by block."""
    _, entry = base.entry(name)
    data = stored.reshape(-1).view(torch.uint8).numpy()
    _check(name, "of the base is", sha256_hex(data.data), before)
    result = torch.empty_like(stored)
    out, done = result.reshape(-1).view(torch.uint8).numpy(), 0
    for block in summed_blocks(data, entry.dtype, entry.shape, deltas, name=name):
        out[done : done + len(block)] = memoryview(block)
        done += len(block)
    return result, sha256_hex(out.data)


def _check(name: str, what: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise IntegrityError(
            f"{name!r} {what} {found[:12]}…, and must be {wanted[:12]}…", hint="run `patchmgr fsck`, then `verify`"
        )


def _model(folder: Path, tensors: dict[str, Tensor], dtype: str) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):  # only to learn its class
        kind = type(auto_class(config).from_config(config, trust_remote_code=False))
    model: PreTrainedModel = kind.from_pretrained(None, config=config, state_dict=tensors, dtype=dtype)
    if model.can_generate():
        model.generation_config = _generation_config(folder)
    model.name_or_path = model.config.name_or_path = ""  # no folder holds it; the base's path would give the base
    return model


def _generation_config(folder: Path) -> GenerationConfig:
    """As transformers finds it: its own file, or what the model's configuration says of it."""
    try:
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:
        return GenerationConfig.from_pretrained(
            folder, config_file_name="config.json", local_files_only=True, _from_model_config=True
        )
