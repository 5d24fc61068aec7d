"""UltraEdit (arXiv:2505.14679) as pure functions, in float64.

Glossary: at one edited linear map W (d_out, d_in), K holds what goes in at each token (tokens, d_in), G the loss's
gradient by what comes out (tokens, d_out); K̂, Ĝ are both normalised by mean and spread of all tokens of all edits so
far; D (tokens, d_out) is how far each output shall move.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = torch.finfo(torch.float32).eps


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and summed squares of deviation of rows [k; g], so that more can be added (Welford; Chan et al.)."""

    count: int
    mean: Float[Tensor, " d"]
    squares: Float[Tensor, " d"]
    """Σ (z − mean)², by coordinate."""

    @classmethod
    def of(cls, Z: Float[Tensor, "tokens d"]) -> Moments:
        """Of these rows, at least one."""
        mean = Z.mean(0)
        return cls(len(Z), mean, (Z - mean).square().sum(0))

    def merged(self, other: Moments) -> Moments:
        """Of both sets of rows together, whatever the order they came in."""
        count = self.count + other.count
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        squares = self.squares + other.squares + apart.square() * (self.count * other.count / count)
        return Moments(count, mean, squares)

    def normalised(self, Z: Float[Tensor, "tokens d"]) -> Float[Tensor, "tokens d"]:
        """(z − mean) / (σ + ε), σ² = squares / (count − 1). Returns (tokens, d)."""
        sigma = (self.squares / (self.count - 1 + EPSILON)).sqrt()
        return (Z - self.mean) / (sigma + EPSILON)


def directions(
    K_hat: Float[Tensor, "tokens d_in"], G_hat: Float[Tensor, "tokens d_out"]
) -> Float[Tensor, "tokens d_out"]:
    """−‖k̂‖² ĝ: how far each token's output shall move at η = 1. Returns (tokens, d_out)."""
    return -K_hat.square().sum(1, keepdim=True) * G_hat


def ridge_change(
    K: Float[Tensor, "tokens d_in"], D: Float[Tensor, "tokens d_out"], ridge: float
) -> Float[Tensor, "d_out d_in"]:
    """ΔW = [(KᵀK + λI)⁻¹KᵀD]ᵀ, which moves W k by about d for each token, at the least cost. Returns (d_out, d_in)."""
    change: Tensor = torch.linalg.solve(_damped(K.T @ K, ridge), K.T @ D).T
    return change


def ridge_factors(
    K: Float[Tensor, "tokens d_in"], D: Float[Tensor, "tokens d_out"], ridge: float
) -> tuple[Float[Tensor, "d_out tokens"], Float[Tensor, "tokens d_in"]]:
    """The same ΔW as Dᵀ times (KKᵀ + λI)⁻¹K, whose system is as large as there are tokens."""
    return D.T, torch.linalg.solve(_damped(K @ K.T, ridge), K)


def worth_factors(K: Float[Tensor, "tokens d_in"], D: Float[Tensor, "tokens d_out"]) -> bool:
    """Whether the two factors are no larger than ΔW."""
    (tokens, d_in), d_out = K.shape, D.shape[1]
    return tokens * (d_in + d_out) <= d_in * d_out


def _damped(gram: Float[Tensor, "n n"], ridge: float) -> Float[Tensor, "n n"]:
    return gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
