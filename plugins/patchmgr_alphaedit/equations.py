"""AlphaEdit's update of a layer (arXiv:2410.02355, closed form for edits in sequence) as pure functions, in float64.

Glossary: K keys of n edits (d_in, n), K_past keys of earlier edits (d_in, p), R what the values lack (d_out, n), C
second moment of keys, P projector on directions that C hardly has, λ₂ what keeps the change small:
W' = W + R KᵀP (K_past K_pastᵀP + K KᵀP + λ₂I)⁻¹.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class NullSpace:
    """P as an orthonormal basis of its range, or of what is left out, whichever is smaller."""

    basis: Float[Tensor, "d_in columns"]
    inside: bool
    """The basis spans the range of P: P = UUᵀ; else P = I − UUᵀ."""

    @property
    def n_directions(self) -> int:
        """The rank of P."""
        n_rows, n_columns = self.basis.shape
        return n_columns if self.inside else n_rows - n_columns


def null_space(C: Float[Tensor, "d_in d_in"], threshold: float | None, share: float) -> NullSpace:
    """Eigenvectors of C with the smallest eigenvalues.

    Args:
        C: symmetric.
        threshold: those below it; None: as many as together hold at most ``share`` of tr C.
        share: from 0 to 1.

    >>> space = null_space(torch.diag(torch.tensor([1.0, 97.0, 2.0])).double(), None, 0.03)
    >>> space.inside, space.basis.abs().tolist()
    (False, [[0.0], [1.0], [0.0]])
    """
    values, vectors = torch.linalg.eigh(C)
    held = values.clamp(min=0).cumsum(0) <= share * values.sum() if threshold is None else values < threshold
    n_held = int(held.sum())
    inside = 2 * n_held <= len(C)
    return NullSpace(vectors[:, :n_held] if inside else vectors[:, n_held:], inside)


def projected(space: NullSpace, K: Float[Tensor, "d_in keys"]) -> Float[Tensor, "d_in keys"]:
    """P K. Returns (d_in, keys)."""
    along = space.basis @ (space.basis.T @ K)
    return along if space.inside else K - along


def update_keys(
    space: NullSpace, K: Float[Tensor, "d_in edits"], past: Float[Tensor, "d_in past"], weight: float
) -> Float[Tensor, "edits d_in"]:
    """The right factor of the change, {[P(KKᵀ + K_past K_pastᵀ) + λ₂I]⁻¹PK}ᵀ, without a matrix of d_in. (n, d_in).

    With A = [K_past, K] and Y = PA it is the last n rows of (λ₂I + AᵀY)⁻¹Yᵀ.
    """
    A = torch.cat([past, K], dim=1)
    Y = projected(space, A)
    system = A.T @ Y + weight * torch.eye(A.shape[1], dtype=A.dtype, device=A.device)
    solved: Tensor = torch.linalg.solve(system, Y.T)
    return solved[past.shape[1] :]


def weight_of_share(space: NullSpace, K: Float[Tensor, "d_in edits"], share: float) -> float:
    """λ₂ = share · mean_j kⱼᵀPkⱼ: a lone first edit gets 1/(1 + share) of what it lacks, whatever the units of k."""
    return share * float((K * projected(space, K)).sum(0).mean())
