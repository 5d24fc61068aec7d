"""WISE's formulas (arXiv:2405.14768) and TIES (arXiv:2306.01708), element by element in float64 with plain Python."""

from __future__ import annotations

import math

import torch


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


def trained_shard(model, name, edits, irrelevant, mask, margins, *, steps, rate, optimiser, limit, n_drawn, seed, stop):
    """A shard after steps on W' = W + Δ, each edit by itself, whole passes with the whole changed matrix.

    ``name`` is that of W, here (d_in, d_out) as GPT-2 has it; an edit is a list of (prompt, answer) in tokens, and
    ``irrelevant`` a list of A(x), whose every token may be a last one.
    """
    change, (alpha, beta, gamma) = torch.nn.Parameter(torch.zeros(mask.shape)), margins
    generator = torch.Generator().manual_seed(seed)
    module, W = model.get_submodule(name.rpartition(".")[0]), model.get_parameter(name).detach()

    def above_zero(values):
        return values[values > 0].mean() if (values > 0).any() else values.sum() * 0

    for rows in edits:
        adam = torch.optim.Adam([change], lr=rate)
        for _ in range(steps):
            drawn = torch.randint(len(irrelevant), (n_drawn,), generator=generator).tolist()
            losses, loud = [], []
            for prompt, answer in rows:
                seen = []
                handle = module.register_forward_pre_hook(lambda _module, inputs, seen=seen: seen.append(inputs[0]))
                ids = torch.tensor([[*prompt, *answer]])
                logits = torch.func.functional_call(model, {name: W + change.T}, (ids,)).logits[0, len(prompt) - 1 : -1]
                handle.remove()
                losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(answer)))
                loud.append((change @ seen[0][0, len(prompt) - 1]).norm())
            quiet = torch.cat([(irrelevant[index] @ change.T).norm(dim=1) for index in drawn])
            said, loud = torch.stack(losses).mean(), torch.stack(loud)
            apart = above_zero(quiet - alpha) + above_zero(beta - loud)
            apart = apart + above_zero(gamma - (loud[:, None] - quiet[None]))
            if said.item() < stop and apart.item() == 0:
                break
            (gradient,) = torch.autograd.grad(said + apart, [change])
            with torch.no_grad():
                if optimiser == "adam":
                    change.grad = gradient * mask
                    adam.step()
                else:
                    change -= rate * gradient * mask
                change.clamp_(-limit, limit)
    return change.detach()
