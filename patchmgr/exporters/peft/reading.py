"""A LoRA adapter as PEFT writes it, read strictly: what is no plain LoRA is refused by name.

No part of it is run or unpickled: the config is JSON and the factors are safetensors. What each field does is as in
PEFT: a module's rank and α come from ``rank_pattern`` and ``alpha_pattern`` where one of their keys fits the end of its
path, and its change is α/r · B A, or α/√r · B A with ``use_rslora`` (arXiv:2312.03732). To PEFT those keys are regular
expressions; here they are names of modules, since an expression of a stranger's can run for as long as he likes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from patchmgr.base.checkpoint import EDITABLE_DTYPES
from patchmgr.base.header import read_header
from patchmgr.canonical import sha256_file, sha256_hex
from patchmgr.errors import FormatError, NotFoundError
from patchmgr.exporters.peft.files import CONFIG, PREFIX, WEIGHTS
from patchmgr.ops.rounding import STORAGE, decode
from patchmgr.package.encodings.contract import Array

_FACTOR = re.compile(rf"{re.escape(PREFIX)}(?P<path>.+)\.lora_(?P<part>[AB])\.weight")
_READ = frozenset(
    {"alpha_pattern", "base_model_name_or_path", "fan_in_fan_out", "lora_alpha", "peft_type", "r", "rank_pattern",
     "revision", "target_modules", "use_rslora"}
)  # fmt: skip
_OF_NO_MATTER = frozenset(
    {"auto_mapping", "exclude_modules", "inference_mode", "layers_pattern", "layers_to_transform", "lora_dropout",
     "megatron_core", "peft_version", "qalora_group_size", "runtime_config", "task_type"}
)  # fmt: skip
"""They decide how an adapter is trained or found, or nothing without a field that is refused."""
_PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Of ``init_lora_weights``; the others also change the base's weights, so the adapter fits no base that is here."""
_NAME = re.compile(r"\^?(?:[\w-]|\\?\.)+")
"""A key that is the name of a module, its dots escaped or not; after ``^`` the whole of it."""
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class AdapterModule:
    """What an adapter adds to one module: ``scale`` · B A."""

    path: str
    """Dotted, in the loaded model."""
    a: Array
    """(r, d_in) float32"""
    b: Array
    """(d_out, r) float32"""
    scale: float


@dataclass(frozen=True)
class LoraAdapter:
    """An adapter that was read and checked."""

    modules: tuple[AdapterModule, ...]
    base: str | None
    """What its config says that it goes on; nothing vouches for it."""
    fan_in_fan_out: bool
    digests: Mapping[str, str]
    """SHA-256 of its files."""


def is_adapter(folder: Path) -> bool:
    """Whether a folder claims to be an adapter."""
    return (folder / CONFIG).is_file()


def read_adapter(folder: Path) -> LoraAdapter:
    """A LoRA adapter from its folder.

    Raises:
        NotFoundError: it has no safetensors, for pickled factors are not read; or a file of it cannot be read.
        FormatError: a file is damaged, or says what no plain LoRA does; names it.
    """
    try:
        return _read(folder)
    except OSError as error:
        raise NotFoundError(
            f"the adapter in {str(folder)!r} cannot be read: {error.strerror}", hint=f"it needs {CONFIG} and {WEIGHTS}"
        ) from None


def _read(folder: Path) -> LoraAdapter:
    raw = (folder / CONFIG).read_bytes()
    config = _config(raw)
    if not (folder / WEIGHTS).is_file():
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".pkl"})
        what = f"only {pickled[0]}, a pickle, which can run code when read" if pickled else "no factors"
        raise NotFoundError(
            f"{folder.name} has {what}", hint=f"load it with PEFT where it is trusted, and save it as {WEIGHTS}"
        )
    factors = _factors(folder / WEIGHTS)
    rslora = bool(config.get("use_rslora"))
    modules = tuple(_module(path, factors[path], config, rslora=rslora) for path in sorted(factors))
    if not modules:
        raise _refused("it holds no factors")
    base = config.get("base_model_name_or_path")
    digests = {CONFIG: sha256_hex(raw), WEIGHTS: sha256_file(folder / WEIGHTS)}
    return LoraAdapter(modules, base if isinstance(base, str) else None, bool(config.get("fan_in_fan_out")), digests)


def _config(raw: bytes) -> dict[str, Any]:
    try:
        config = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _refused(f"{CONFIG} is not JSON ({error})") from None
    if not isinstance(config, dict):
        raise _refused(f"{CONFIG} is not an object")
    if config.get("peft_type") != "LORA":
        raise _refused(f"peft_type is {config.get('peft_type')!r}, and only LORA is a change of weights")
    if config.get("init_lora_weights", True) not in _PLAIN_STARTS:
        raise _refused(f"init_lora_weights is {config['init_lora_weights']!r}, which changes the base's weights too")
    if config.get("bias", "none") != "none":
        raise _refused(f"bias is {config['bias']!r}: its biases are changed too")
    known = _READ | _OF_NO_MATTER | {"init_lora_weights", "bias"}
    for field, value in config.items():
        if field not in known and value not in (None, False, [], {}):
            raise _refused(f"{field} is {str(value)[:60]!r}, which is no plain LoRA")
    for field in ("rank_pattern", "alpha_pattern"):
        patterns = config.get(field) or {}
        if not isinstance(patterns, dict):
            raise _refused(f"{field} is not an object")
        other = [pattern for pattern in patterns if _NAME.fullmatch(pattern) is None]
        if other:
            raise _refused(f"{field} has the key {other[0][:60]!r}, which is not the name of a module")
    return config


def _factors(path: Path) -> dict[str, dict[str, Array]]:
    """A and B of each module, float32."""
    found: dict[str, dict[str, Array]] = {}
    with path.open("rb") as file:
        for entry in read_header(path).tensors:
            named = _FACTOR.fullmatch(entry.name)
            if named is None:
                raise _refused(f"{entry.name!r} is no factor of a linear map")
            if entry.dtype not in EDITABLE_DTYPES or len(entry.shape) != 2:
                raise _refused(f"{entry.name!r} is {entry.dtype} {list(entry.shape)}, not a matrix of floats")
            file.seek(entry.start)
            bits = np.frombuffer(file.read(entry.size_bytes), STORAGE[entry.dtype])
            values = decode(bits, entry.dtype).astype(np.float32).reshape(entry.shape)
            if not np.isfinite(values).all():
                raise _refused(f"{entry.name!r} holds a NaN or an infinity")
            found.setdefault(named["path"], {})[named["part"]] = values
    return found


def _module(path: str, parts: Mapping[str, Array], config: Mapping[str, Any], *, rslora: bool) -> AdapterModule:
    if set(parts) != {"A", "B"}:
        raise _refused(f"{path} has only lora_{min(parts)}")
    a, b = parts["A"], parts["B"]
    rank = _number(_patterned(config.get("rank_pattern"), path, config.get("r")), path, "rank")
    alpha = _number(_patterned(config.get("alpha_pattern"), path, config.get("lora_alpha")), path, "alpha")
    if not a.shape[0] == b.shape[1] == rank or rank < 1:
        raise _refused(f"{path} is of rank {a.shape[0]} and {b.shape[1]}, and {CONFIG} says {rank:g}")
    scale = alpha / (math.sqrt(rank) if rslora else rank)
    if float(np.abs(b).max(initial=0.0)) * abs(scale) > _LARGEST:
        raise _refused(f"{path} is scaled by {scale:g}, beyond what float32 holds")
    return AdapterModule(path, a, b, scale)


def _patterned(patterns: Any, path: str, otherwise: Any) -> Any:
    """The value of the first name that is the path, or the end of it."""
    for pattern, value in (patterns or {}).items():
        name = pattern.removeprefix("^").replace("\\.", ".")
        if path == name or (not pattern.startswith("^") and path.endswith(f".{name}")):
            return value
    return otherwise


def _number(value: Any, path: str, what: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:  # an integer beyond every float
        number = math.inf
    if not math.isfinite(number):
        raise _refused(f"the {what} of {path} is {repr(value)[:60]}")
    return number


def _refused(why: str) -> FormatError:
    return FormatError(
        f"the adapter cannot be taken in: {why}",
        hint="plain LoRA of linear maps can; merge others into their model with PEFT",
    )
