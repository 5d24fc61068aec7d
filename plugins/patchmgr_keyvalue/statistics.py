"""C = E[k kᵀ]: where keys usually lie, so that an edit can keep out of their way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from patchmgr.canonical import sha256_file
from patchmgr.errors import MethodError, NotFoundError
from patchmgr.methods.architecture import Projection
from patchmgr.methods.artefacts import Artefact
from patchmgr.methods.contract import EditContext, LoadedModel
from patchmgr_keyvalue.forwards import inputs_of
from patchmgr_keyvalue.rows import Batch
from patchmgr_keyvalue.sampling import sample_rows, start_token

KIND = "covariance"
_BATCH_ROWS = 64
_ROW_TOKENS = 64
_RECIPE = 1
"""Counts up when the same key would give another matrix."""

_Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class SecondMoment:
    """C of one projection's inputs."""

    matrix: Float[Tensor, "d_in d_in"]
    """Float64, on the CPU."""
    n_tokens: int
    sha256: str
    """Digest of the artefact's file."""
    key: Mapping[str, Any]
    """All that decided the matrix."""


@dataclass(frozen=True, eq=False)
class _Tokens:
    ids: Int[Tensor, "rows width"]
    n_start: int


def second_moments(
    loaded: LoadedModel, projections: Sequence[Projection], context: EditContext, *, n_tokens: int, seed: int
) -> tuple[SecondMoment, ...]:
    """C of every projection (listed from the bottom up), from the artefact store or in one pass over the text.

    Args:
        loaded: the model, in evaluation mode.
        projections: whose inputs to read.
        context: the artefact store, and the text file to read; without one the model writes its own text.
        n_tokens: tokens to read, rounded up to whole rows; a shorter file is read to its end.
        seed: of the sampled text, when there is no file.

    Raises:
        NotFoundError: there is no such text file.
        MethodError: the text is empty, or a moment is not finite.
    """
    source = _source(context.corpus, seed)
    fresh: dict[str, _Arrays] = {}

    def compute(first: int) -> _Arrays:
        name = projections[first].weight_name
        if name not in fresh:
            fresh.update(_accumulate(loaded, projections[first:], _texts(loaded, context, n_tokens, seed)))
        return fresh[name]

    found = []
    for index, projection in enumerate(projections):
        key = {
            "recipe": _RECIPE,
            "state_root": loaded.state_root,
            "tensor": projection.weight_name,
            "source": source,
            "tokens": n_tokens,
            "row_tokens": _row_tokens(loaded),
            "dtype": str(projection.matrix().dtype).removeprefix("torch."),
        }
        found.append(_moment(context.artefacts.get_or_compute(KIND, key, partial(compute, index))))
    return tuple(found)


def _moment(artefact: Artefact) -> SecondMoment:
    matrix = torch.from_numpy(np.array(artefact.arrays["moment"])).double()
    return SecondMoment(matrix, int(artefact.arrays["tokens"][0]), artefact.sha256, artefact.key)


def _accumulate(
    loaded: LoadedModel, projections: Sequence[Projection], batches: Iterator[_Tokens]
) -> dict[str, _Arrays]:
    """Σ k kᵀ / n of every projection: float32 products of a block, summed in float64, kept as float32."""
    device = next(loaded.model.parameters()).device
    sums = [torch.zeros(each.d_in, each.d_in, dtype=torch.float64, device=device) for each in projections]
    n_read = 0
    for batch in batches:
        ids = batch.ids.to(device)
        inputs = inputs_of(loaded.model, [each.module for each in projections], Batch(ids, torch.ones_like(ids)))
        for total, keys in zip(sums, inputs, strict=True):
            block = keys[:, batch.n_start :].reshape(-1, keys.shape[-1]).float()
            total.add_(block.T @ block)
        n_read += batch.ids[:, batch.n_start :].numel()
    if not n_read:
        raise MethodError("the corpus for statistics holds no text", hint="give a text file, or none at all")
    for projection, total in zip(projections, sums, strict=True):
        if not bool(total.isfinite().all()):
            raise MethodError(f"inputs of {projection.name} are not finite", hint="load the model as float32")
    count = np.array([n_read])
    return {
        each.weight_name: {"moment": (total / n_read).float().cpu().numpy(), "tokens": count}
        for each, total in zip(projections, sums, strict=True)
    }


def _row_tokens(loaded: LoadedModel) -> int:
    """Tokens a row; the model may not be able to read long ones."""
    limit = getattr(loaded.model.config.get_text_config(decoder=True), "max_position_embeddings", _ROW_TOKENS + 1)
    return min(_ROW_TOKENS, int(limit) - 1)


def _source(corpus: Path | None, seed: int) -> dict[str, Any]:
    """What the text is, as a part of the key."""
    if corpus is None:
        return {"samples": seed}
    if not corpus.is_file():
        raise NotFoundError(f"there is no corpus file {str(corpus)!r}", hint="give a text file, or none at all")
    return {"corpus": sha256_file(corpus)}


def _texts(loaded: LoadedModel, context: EditContext, n_tokens: int, seed: int) -> Iterator[_Tokens]:
    if context.corpus is None:
        return _samples(loaded, n_tokens, seed, context)
    return _corpus(loaded, context.corpus, n_tokens)


def _samples(loaded: LoadedModel, n_tokens: int, seed: int, context: EditContext) -> Iterator[_Tokens]:
    """The model's own text; the start token, which every row shares, is not counted."""
    generator = torch.Generator().manual_seed(seed)
    width = _row_tokens(loaded)
    done, left = 0, -(-n_tokens // width)
    while left > 0:
        context.progress(done * width, (done + left) * width, "sampling text for statistics")
        n_rows = min(left, _BATCH_ROWS)
        rows = sample_rows(loaded.model, loaded.tokenizer, n_rows, width, generator)
        yield _Tokens(rows.ids, rows.n_start)
        done, left = done + n_rows, left - n_rows


def _corpus(loaded: LoadedModel, path: Path, n_tokens: int) -> Iterator[_Tokens]:
    """The text file's lines as one stream of tokens, cut into rows; a last short row comes by itself."""
    width = _row_tokens(loaded)
    start = start_token(loaded.tokenizer)
    head = [] if start is None else [start]
    rows: list[list[int]] = []
    pending: list[int] = []
    n_read = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            pending += loaded.tokenizer(line, add_special_tokens=False)["input_ids"]
            while len(pending) >= width and n_read < n_tokens:
                rows.append(head + pending[:width])
                pending, n_read = pending[width:], n_read + width
            if len(rows) >= _BATCH_ROWS:
                yield _Tokens(torch.tensor(rows), len(head))
                rows = []
            if n_read >= n_tokens:
                break
    if rows:
        yield _Tokens(torch.tensor(rows), len(head))
    if pending and n_read < n_tokens:
        yield _Tokens(torch.tensor([head + pending]), len(head))
