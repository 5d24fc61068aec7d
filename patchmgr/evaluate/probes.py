"""From requests to probes: which prompts each metric asks, and what it expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from patchmgr.request import EditRequest, Probe


@dataclass(frozen=True)
class ProbeSet:
    """The probes of some requests, by what they are for."""

    reliability: tuple[Probe, ...]
    generalization: tuple[Probe, ...]
    locality: tuple[Probe, ...]
    portability: tuple[Probe, ...]

    @property
    def all(self) -> tuple[Probe, ...]:
        """Every probe, group after group."""
        return self.reliability + self.generalization + self.locality + self.portability


def collect_probes(requests: Sequence[EditRequest]) -> ProbeSet:
    """The probes that the requests carry."""
    return ProbeSet(
        reliability=tuple(Probe(prompt=request.text, target=request.target_new) for request in requests),
        generalization=tuple(
            Probe(prompt=prompt, target=request.target_new) for request in requests for prompt in request.rephrasings
        ),
        locality=tuple(probe for request in requests for probe in request.locality),
        portability=tuple(probe for request in requests for probe in request.portability),
    )
