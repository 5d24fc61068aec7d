"""WISE's formulas (arXiv:2405.14768) and TIES (arXiv:2306.01708), element by element in float64 with plain Python."""

from __future__ import annotations

import math


def stirs(A, change):
    """‖A(x)(W' − W)‖₂ of each token; A is (tokens, d_in), change (d_out, d_in), both nested lists."""
    return [math.sqrt(sum(sum(a * c for a, c in zip(token, row, strict=True)) ** 2 for row in change)) for token in A]


def margin_loss(inside, outside, alpha, beta, gamma):
    """Eq. 5; each of its terms is the mean of those that are above zero."""

    def mean_above_zero(values):
        missed = [value for value in values if value > 0]
        return sum(missed) / len(missed) if missed else 0.0

    return (
        mean_above_zero([quiet - alpha for quiet in outside])
        + mean_above_zero([beta - loud for loud in inside])
        + mean_above_zero([gamma - (loud - quiet) for loud in inside for quiet in outside])
    )


def ties(changes, density):
    """Trim by magnitude, elect signs by mass, then the mean of those that agree; changes are flat lists."""
    n_kept = max(int(density * len(changes[0])), 1)
    kept = []
    for change in changes:
        order = sorted(range(len(change)), key=lambda place: -abs(change[place]))[:n_kept]
        kept.append([value if place in order else 0.0 for place, value in enumerate(change)])
    found = []
    for values in zip(*kept, strict=True):
        sign = 1 if sum(values) >= 0 else -1
        agreeing = [value for value in values if value * sign > 0]
        found.append(sum(agreeing) / len(agreeing) if agreeing else 0.0)
    return found


def descended(change, gradient, mask, rate, limit):
    """Δ ← clamp(Δ − η M ⊙ ∇), flat lists."""
    stepped = [c - rate * g * m for c, g, m in zip(change, gradient, mask, strict=True)]
    return [max(-limit, min(limit, value)) for value in stepped]
