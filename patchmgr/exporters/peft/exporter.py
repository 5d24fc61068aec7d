"""``peft``: the changes of a whole stack as one LoRA adapter, exact wherever they are of low rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from patchmgr.base.checkpoint import EDITABLE_DTYPES
from patchmgr.errors import ConflictError, UsageError
from patchmgr.exporters.contract import ExportOptions, ExportSource, Prepared, Progress, Written
from patchmgr.exporters.refusals import refuse_memories, refuse_nothing, refuse_options

if TYPE_CHECKING:
    from patchmgr.exporters.peft.factors import LowRankChange
    from patchmgr.exporters.peft.modules import LinearModule, Skeleton
    from patchmgr.package.encodings.contract import Delta

_FACTOR_BYTES = 4
"""Of a float32."""
_OTHERWISE = "--to checkpoint or --to xor carries it"


@dataclass(frozen=True)
class Adapter:
    """A stack as one adapter."""

    config: bytes
    weights: bytes
    rank: int
    encoder_decoder: bool
    """Whether the model is one, as T5 is."""
    errors: Mapping[str, float]
    """Relative error of each module's change, by its dotted path; 0 where it is exact."""


class PeftExporter:
    """For PEFT, vLLM, SGLang and others that load LoRA adapters."""

    name: ClassVar[str] = "peft"
    description: ClassVar[str] = "one LoRA adapter for PEFT, vLLM and others"

    def prepare(self, source: ExportSource, options: ExportOptions) -> Prepared:
        """Compute the adapter.

        Raises:
            ConflictError: a memory, a change that is not of low rank, or one of what is no linear map.
            UsageError: a rank that is too small, or what would be lossy without ``--lossy``.
            NotFoundError: transformers does not know the model.
        """
        from patchmgr.exporters.peft.card import CARD, render_card
        from patchmgr.exporters.peft.files import CONFIG, WEIGHTS
        from patchmgr.exporters.peft.serving import max_lora_rank, remarks

        refuse_options(options, self.name, known=("--rank", "--lossy", "--dtype"))
        adapter = make_adapter(source, options)
        card = render_card(
            source.name,
            source.origin,
            source.stack,
            adapter.errors,
            rank=adapter.rank,
            dtype=options.dtype,
            encoder_decoder=adapter.encoder_decoder,
        )

        def write(folder: Path, progress: Progress) -> Written:
            for number, (file, data) in enumerate(files.items(), start=1):
                (folder / file).write_bytes(data)
                progress(number, len(files), "writing")
            return Written()

        files = {CONFIG: adapter.config, WEIGHTS: adapter.weights, CARD: card.encode()}
        lossy = any(adapter.errors.values())
        return Prepared(
            files=tuple(files),
            facts={
                "rank": adapter.rank,
                "lossy": lossy,
                "dtype": options.dtype,
                "errors": dict(adapter.errors),
                "vllm_max_lora_rank": max_lora_rank(adapter.rank),
            },
            remarks=(*_remarks(adapter), *remarks(source.base.architecture, adapter.rank)),
            write=write,
        )


def make_adapter(source: ExportSource, options: ExportOptions, *, limit_bytes: int | None = None) -> Adapter:
    """A stack as one adapter; one whose factors take more than ``limit_bytes`` as float32 is not built.

    Raises:
        ConflictError: it would take more; and as for :meth:`PeftExporter.prepare`.
        PatchmgrError: as for :meth:`PeftExporter.prepare`.
    """
    from patchmgr.exporters.peft.factors import lora_factors
    from patchmgr.exporters.peft.files import LoraPair, config_bytes, weights_bytes
    from patchmgr.exporters.peft.modules import parameters_of, read_skeleton

    refuse_memories(source, "a LoRA adapter", hint="export the packages of weights one by one")
    refuse_nothing(source, "an adapter")
    _check_options(options)
    changes = {name: _change(source, name, options) for name in source.sums}
    rank = _rank(changes, options)
    if limit_bytes is not None:
        _check_size(changes, rank, limit_bytes)
    skeleton = read_skeleton(source.base.folder)
    modules = {name: _module(source, skeleton, name) for name in changes}
    pairs = [
        LoraPair(modules[name].path, *lora_factors(change, rank, stored_in_out=modules[name].stored_in_out))
        for name, change in changes.items()
    ]
    config = config_bytes(
        source.origin,
        rank,
        parameters_of(modules),
        fan_in_fan_out=any(module.stored_in_out for module in modules.values()),
        encoder_decoder=skeleton.encoder_decoder,
    )
    errors = {modules[name].path: change.error for name, change in sorted(changes.items())}
    weights = weights_bytes(pairs, options.dtype)
    return Adapter(config, weights, rank, skeleton.encoder_decoder, errors)


def _check_options(options: ExportOptions) -> None:
    if options.dtype != "float32" and not options.lossy:
        raise UsageError(f"factors in {options.dtype} are rounded", hint="add --lossy, or leave --dtype out")
    if options.lossy and options.rank is None and options.dtype == "float32":
        raise UsageError("--lossy does not say how much may be lost", hint="add --rank R, such as --rank 16")


def _change(source: ExportSource, name: str, options: ExportOptions) -> LowRankChange:
    """The change of one tensor, as the options allow it."""
    import numpy as np

    from patchmgr.exporters.peft.factors import exact_change, nearest_change, rounded_change
    from patchmgr.exporters.peft.files import SAFETENSORS_NAMES
    from patchmgr.package.encodings.contract import matrix_shape

    found: list[Delta] = list(source.sums[name])
    _, entry = source.base.entry(name)
    if len(entry.shape) != 2 or entry.dtype not in EDITABLE_DTYPES:
        raise ConflictError(
            f"a LoRA adapter cannot carry the change of {name!r}, which is {entry.dtype} {list(entry.shape)}",
            hint=_OTHERWISE,
        )
    shape = matrix_shape(entry.shape)
    change = exact_change(found, shape)
    if isinstance(change, str):
        if not options.lossy or options.rank is None:
            raise ConflictError(
                f"a LoRA adapter cannot carry the change of {name!r} exactly: {change}",
                hint=f"{_OTHERWISE}; --lossy --rank R comes near it",
            )
    elif options.rank is not None and change.factors.rank > options.rank and not options.lossy:
        raise UsageError(
            f"the change of {name!r} is of rank {change.factors.rank}, over {options.rank}",
            hint=f"take --rank {change.factors.rank} or more, or add --lossy",
        )
    stored = np.frombuffer(source.base.read_bytes(name), np.uint8) if options.lossy else np.zeros(0, np.uint8)
    if isinstance(change, str) or (options.rank is not None and change.factors.rank > options.rank):
        change = nearest_change(found, shape, options.rank or 0, stored=stored, dtype=entry.dtype)
    if options.dtype == "float32":
        return change
    narrow = SAFETENSORS_NAMES[options.dtype]
    return rounded_change(change, found, narrow, shape=shape, stored=stored, tensor_dtype=entry.dtype)


def _module(source: ExportSource, skeleton: Skeleton, name: str) -> LinearModule:
    """The linear map of a tensor, under the name that a package of the stack says."""
    named = {tensor.module for manifest in source.stack for tensor in manifest.tensors if tensor.name == name}
    return skeleton.linear(name, min(named), source.base.entry(name)[1].shape)


def _rank(changes: Mapping[str, LowRankChange], options: ExportOptions) -> int:
    """The uniform rank: what was asked for where all fits into it, else the largest."""
    largest = max(change.factors.rank for change in changes.values())
    return max(1, largest, options.rank or 0)


def _check_size(changes: Mapping[str, LowRankChange], rank: int, limit_bytes: int) -> None:
    """Every module is filled up to the uniform rank, so one change of high rank makes many small ones large."""
    sizes = [change.factors.u.shape[0] + change.factors.v.shape[1] for change in changes.values()]
    size_bytes = sum(rank * size * _FACTOR_BYTES for size in sizes)
    if size_bytes > limit_bytes:
        raise ConflictError(
            f"the adapter of rank {rank} would take {size_bytes} bytes, over {limit_bytes}", hint=_OTHERWISE
        )


def _remarks(adapter: Adapter) -> tuple[str, ...]:
    worst = max(adapter.errors.values())
    return (f"lossy: at worst {worst:.2e} of a module's change is missing",) if worst else ()
