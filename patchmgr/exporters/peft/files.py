"""The two files of a LoRA adapter, always the same bytes for the same change.

One uniform rank r with α = r, so that the scale is 1 for every module and for every program: some read neither
``rank_pattern`` nor ``alpha_pattern``. Every module is named in full, so ``target_modules`` means these and no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from patchmgr.base.header import TensorEntry, encode_header
from patchmgr.ops.rounding import encode
from patchmgr.package.encodings.contract import Array
from patchmgr.package.manifest import BaseRecord

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
SAFETENSORS_NAMES: Mapping[str, str] = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


@dataclass(frozen=True)
class LoraPair:
    """The factors of one module, float32."""

    path: str
    """Dotted, in the loaded model."""
    a: Array
    """(r, d_in)"""
    b: Array
    """(d_out, r)"""


def config_bytes(
    base: BaseRecord, rank: int, paths: Sequence[str], *, fan_in_fan_out: bool, encoder_decoder: bool
) -> bytes:
    """``adapter_config.json``.

    Args:
        base: what the adapter goes on.
        rank: r, and α.
        paths: of the modules, dotted.
        fan_in_fan_out: whether weights lie (d_in, d_out).
        encoder_decoder: whether the model is one.
    """
    config: dict[str, Any] = {
        "base_model_name_or_path": base.source,
        "bias": "none",
        "fan_in_fan_out": fan_in_fan_out,
        "inference_mode": True,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": rank,
        "revision": base.revision,
        "target_modules": sorted(paths),
        "task_type": "SEQ_2_SEQ_LM" if encoder_decoder else "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    }
    return (json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def weights_bytes(pairs: Sequence[LoraPair], dtype: str) -> bytes:
    """``adapter_model.safetensors``, by module and then A before B.

    Args:
        pairs: of all modules, of one rank.
        dtype: float32, bfloat16 or float16; the last two round.
    """
    stored = SAFETENSORS_NAMES[dtype]
    arrays = {
        f"{PREFIX}{pair.path}.lora_{part}.weight": encode(np.asarray(factor, np.float64), stored)
        for pair in sorted(pairs, key=lambda pair: pair.path)
        for part, factor in (("A", pair.a), ("B", pair.b))
    }
    entries = [TensorEntry(name, stored, bits.shape, 0, bits.nbytes) for name, bits in arrays.items()]
    return encode_header(entries, {"format": "pt"}) + b"".join(
        np.ascontiguousarray(bits).tobytes() for bits in arrays.values()
    )
