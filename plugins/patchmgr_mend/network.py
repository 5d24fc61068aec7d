"""The networks of an editor: for the maps of each shape one of residual layers of low rank, and rates for each map.

Glossary: a network's *mode* is which of the maps that share it is meant; every mode has its own scale and shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from patchmgr.methods.architecture import Projection
from patchmgr_mend.equations import normalised, residual_layer, ridged, summed
from patchmgr_mend.parameters import Aggregation
from patchmgr_mend.traces import Trace
from patchmgr_ultraedit.equations import Moments

_LAYERS = 2
"""Residual layers, as published."""


@dataclass(frozen=True, eq=False)
class Factors:
    """A change of one map for each group of edits: ΔW = Σ_t d_t a_tᵀ over the tokens t of the group."""

    D: Float[Tensor, "groups tokens d_out"]
    A: Float[Tensor, "groups tokens d_in"]


def derived_rank(width: int) -> int:
    """A quarter of a network's width, at most the published 1920.

    >>> [derived_rank(d_in + d_out) for d_in, d_out in ((128, 512), (768, 3072), (4096, 16384))]
    [160, 960, 1920]
    """
    return max(1, min(1920, width // 4))


class Network(nn.Module):
    """Makes ũ and δ̃ of u and δ; at the start they are those two, normalised."""

    n_tokens: Int[Tensor, ""]
    mean: Float[Tensor, " d"]
    squares: Float[Tensor, " d"]

    def __init__(self, d_in: int, d_out: int, n_modes: int, rank: int | None) -> None:
        """Draws V from torch's generator; a rank that is not given is derived from the width."""
        super().__init__()
        self.d_in, self.d_out = d_in, d_out
        d = d_in + d_out
        rank = derived_rank(d) if rank is None else min(rank, d)
        self.V = nn.ParameterList(torch.randn(rank, d) for _ in range(_LAYERS))
        self.U = nn.ParameterList(torch.zeros(d, rank) for _ in range(_LAYERS))
        self.b = nn.ParameterList(torch.zeros(d) for _ in range(_LAYERS))
        self.scale = nn.ParameterList(torch.ones(n_modes, d) for _ in range(_LAYERS))
        self.shift = nn.ParameterList(torch.zeros(n_modes, d) for _ in range(_LAYERS))
        self.register_buffer("n_tokens", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("squares", torch.zeros(d))

    @torch.no_grad()
    def count(self, Z: Float[Tensor, "tokens d"]) -> None:
        """Take tokens [u; δ] into the running statistics."""
        if len(Z):
            so_far = Moments(int(self.n_tokens), self.mean, self.squares).merged(Moments.of(Z))
            self.n_tokens.fill_(so_far.count)
            self.mean.copy_(so_far.mean)
            self.squares.copy_(so_far.squares)

    def forward(
        self, Z: Float[Tensor, "tokens d"], mode: int
    ) -> tuple[Float[Tensor, "tokens d_in"], Float[Tensor, "tokens d_out"]]:
        """(ũ, δ̃) of tokens [u; δ] at a map."""
        spread = (self.squares / (self.n_tokens - 1).clamp(min=1)).sqrt()
        h = normalised(Z, self.mean, spread)
        for U, V, b, scale, shift in zip(self.U, self.V, self.b, self.scale, self.shift, strict=True):
            h = residual_layer(h, U, V, b, scale[mode], shift[mode])
        u_tilde, delta_tilde = h.split([self.d_in, self.d_out], dim=-1)
        return u_tilde, delta_tilde


@dataclass(frozen=True)
class Site:
    """An edited map, as an editor has it on record."""

    name: str
    orientation: str
    d_in: int
    d_out: int

    @property
    def shape(self) -> str:
        """What maps that share a network have in common."""
        return f"{self.d_in}x{self.d_out}"

    @classmethod
    def of(cls, projection: Projection) -> Site:
        """That of a model's map."""
        return cls(projection.name, projection.orientation, projection.d_in, projection.d_out)


class Networks(nn.Module):
    """All networks of an editor."""

    def __init__(self, sites: Sequence[Site], *, rank: int | None, edit_rate: float, ridge: float) -> None:
        """Begin; call it with torch's generator seeded."""
        super().__init__()
        self.sites, self.rank = tuple(sites), rank
        self.by_shape = nn.ModuleDict(
            {
                shape: Network(own[0].d_in, own[0].d_out, len(own), rank)
                for shape, own in ((shape, self._of(shape)) for shape in dict.fromkeys(site.shape for site in sites))
            }
        )
        self.rates = nn.Parameter(torch.full((len(sites),), edit_rate))
        self.log_ridges = nn.Parameter(torch.full((len(sites),), ridge).log())

    def _of(self, shape: str) -> list[Site]:
        return [site for site in self.sites if site.shape == shape]

    @cached_property
    def modes(self) -> tuple[int, ...]:
        """Of each site, which of the maps of its network it is."""
        return tuple(self._of(site.shape).index(site) for site in self.sites)

    def tensors(self) -> dict[str, Tensor]:
        """All that is learned or counted, by name."""
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}

    def optimiser(self, learning_rate: float, rate_learning_rate: float) -> torch.optim.Adam:
        """Adam, with one rate for the networks and one for the edit rates and ridges."""
        groups: list[dict[str, Any]] = [
            {"params": list(self.by_shape.parameters()), "lr": learning_rate},
            {"params": [self.rates, self.log_ridges], "lr": rate_learning_rate},
        ]
        return torch.optim.Adam(groups, foreach=False)

    def count(self, traces: Sequence[Trace]) -> None:
        """Take the tokens of some edits into the running statistics of all networks."""
        for shape, network in self.by_shape.items():
            rows = [_rows(trace) for site, trace in zip(self.sites, traces, strict=True) if site.shape == shape]
            cast(Network, network).count(torch.cat(rows))

    def factors(
        self, traces: Sequence[Trace], aggregation: Aggregation, ridge: float | None = None
    ) -> tuple[Factors, ...]:
        """The change of every map for each group of edits.

        Args:
            traces: of each map, with a row for each group.
            aggregation: how the tokens of a group come together.
            ridge: λ for every map; None: what was learned.
        """
        return tuple(self._factors(index, trace, aggregation, ridge) for index, trace in enumerate(traces))

    def _factors(self, index: int, trace: Trace, aggregation: Aggregation, ridge: float | None) -> Factors:
        site, chosen = self.sites[index], trace.present
        network = cast(Network, self.by_shape[site.shape])
        u_rows, delta_rows = network(_rows(trace), self.modes[index])
        u_tilde, delta_tilde = (_scattered(rows, chosen) for rows in (u_rows, delta_rows))
        alpha = self.rates[index]
        if aggregation == "sum":
            return Factors(*summed(u_tilde, delta_tilde, alpha))
        u = trace.u * chosen.unsqueeze(-1)
        lambda_ = self.log_ridges[index].exp() if ridge is None else torch.tensor(ridge, device=u.device)
        return Factors(*ridged(u, u_tilde, delta_tilde, alpha, lambda_))


def _rows(trace: Trace) -> Float[Tensor, "present d"]:
    """[u; δ] of the tokens that count."""
    return torch.cat([trace.u, trace.delta], dim=-1)[trace.present]


def _scattered(
    rows: Float[Tensor, "present d"], chosen: Bool[Tensor, "groups tokens"]
) -> Float[Tensor, "groups tokens d"]:
    """Rows in their places, zeros elsewhere."""
    found = torch.zeros(*chosen.shape, rows.shape[-1], dtype=rows.dtype, device=rows.device)
    return found.index_put(torch.nonzero(chosen, as_tuple=True), rows)
