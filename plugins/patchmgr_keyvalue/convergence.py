"""Whether a sample is large enough: what its two halves agree on, and what follows for all of it.

Methods use C by the directions C⁻¹k. Both halves C₁, C₂ of a sample see such a direction with an error of their own;
with r = cos(C₁⁻¹k, C₂⁻¹k), the whole sample (twice as large) stands at √(2r/(1 + r)) to the direction that endless text
would give, as the Spearman–Brown formula has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.methods.architecture import Projection
from patchmgr.methods.contract import LoadedModel
from patchmgr_keyvalue.forwards import inputs_of
from patchmgr_keyvalue.rows import Batch
from patchmgr_keyvalue.sampling import sample_rows

_HELD_OUT_SEED = 6_173
_HELD_OUT_ROWS, _HELD_OUT_TOKENS = 16, 8


@dataclass(frozen=True)
class Convergence:
    """How far the halves of a sample agree."""

    difference: float
    """‖C₁ − C₂‖_F / ‖C‖_F."""
    cosine: float
    """r, the mean over keys that are not in the sample."""
    agreement: float
    """√(2r/(1 + r)): the cosine to be expected between C⁻¹k of the sample and of endless text; 1 is perfect."""


def measured(
    total: Float[Tensor, "d_in d_in"],
    first: Float[Tensor, "d_in d_in"],
    n_tokens: int,
    n_first: int,
    keys: Float[Tensor, "keys d_in"],
    damping: float,
) -> Convergence | None:
    """The figures from Σ k kᵀ over all tokens and over those of the first half; None where a half is empty.

    Args:
        total: over ``n_tokens``, float64.
        first: over ``n_first`` of them, float64.
        n_tokens: of all.
        n_first: of the first half.
        keys: to solve for, not in the sample.
        damping: added to the diagonals, as a share of their mean.
    """
    n_second = n_tokens - n_first
    if not n_first or not n_second:
        return None
    C1, C2 = first / n_first, (total - first) / n_second
    difference = float(torch.linalg.matrix_norm(C1 - C2) / torch.linalg.matrix_norm(total / n_tokens))
    directions = [_solved(C, keys.double(), damping) for C in (C1, C2)]
    if directions[0] is None or directions[1] is None:
        return Convergence(difference, 0.0, 0.0)
    cosine = float(torch.nn.functional.cosine_similarity(directions[0], directions[1], dim=0).mean())
    return Convergence(difference, cosine, expected_agreement(cosine))


def expected_agreement(cosine: float) -> float:
    """√(2r/(1 + r)), 0 where the halves do not agree at all.

    >>> expected_agreement(1.0), round(expected_agreement(0.5), 3), expected_agreement(-0.1)
    (1.0, 0.816, 0.0)
    """
    return math.sqrt(2 * cosine / (1 + cosine)) if cosine > 0 else 0.0


def held_out_keys(loaded: LoadedModel, projections: Sequence[Projection]) -> list[Float[Tensor, "keys _"]]:
    """Keys of text that the model makes from a seed of its own, for each projection."""
    generator = torch.Generator().manual_seed(_HELD_OUT_SEED)
    rows = sample_rows(loaded.model, loaded.tokenizer, _HELD_OUT_ROWS, _HELD_OUT_TOKENS, generator)
    ids = rows.ids.to(next(loaded.model.parameters()).device)
    inputs = inputs_of(loaded.model, [each.module for each in projections], Batch(ids, torch.ones_like(ids)))
    return [keys[:, rows.n_start :].flatten(0, 1) for keys in inputs]


def _solved(
    C: Float[Tensor, "d_in d_in"], keys: Float[Tensor, "keys d_in"], damping: float
) -> Float[Tensor, "d_in keys"] | None:
    """C⁻¹k of every key; None where C cannot be inverted."""
    share = damping * C.diagonal().mean()
    factor, failed = torch.linalg.cholesky_ex(C + share * torch.eye(len(C), dtype=C.dtype, device=C.device))
    return None if int(failed) else torch.cholesky_solve(keys.T, factor)
