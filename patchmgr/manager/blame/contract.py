"""What a prompt or a tensor is traced to, and the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from patchmgr.package.manifest import Manifest
from patchmgr.request import EditRequest

Verdict = Literal["package", "together", "base"]
"""Who answers. ``package``: without it alone the answer is another, and there may be several of which that is true;
``together``: no package alone, but these without each other; ``base``: the answer needs none of them."""


@dataclass(frozen=True)
class Said:
    """What a state makes of the prompt."""

    text: str
    """Its greedy answer."""
    says_target: bool
    """Whether that begins with the target, as ``exact_match`` compares them."""
    log_p: float
    """Natural logarithm of the probability of the whole target."""


@dataclass(frozen=True)
class Nearness:
    """How near a package's edits are to the prompt, before anything is tried."""

    score: float
    """Of a weight package the largest cosine of a stored key with a key of the prompt; of a memory its own score."""
    places: tuple[int, ...]
    """The nearest edit, or those that a memory rests on, by their places in the package."""
    entries: tuple[str, ...] = ()
    """The ids of these, of a memory."""


@dataclass(frozen=True)
class Evidence:
    """One package: how near it is, and what the state says without it and no other."""

    manifest: Manifest
    near: Nearness | None
    """None: it keeps no keys that could tell, or its memory does not claim the prompt."""
    edits: tuple[EditRequest, ...]
    """Those that are nearest; where nobody knows, those that ask the prompt or write what is said."""
    without: Said
    changes_answer: bool
    """Whether without it the state says the target where it does not now, or the reverse."""
    n_dependants: int
    """Packages of the stack that were computed on it; they stay, so this is a state that cannot be applied."""

    def log_p_lost(self, now: Said) -> float:
        """By how much the target is less likely without it, in nats; negative where it is likelier."""
        return now.log_p - self.without.log_p


@dataclass(frozen=True)
class Blame:
    """Who answers a prompt."""

    model: str
    prompt: str
    target: str
    """What is traced: as it was given, or what the model says."""
    now: Said
    base: Said
    verdict: Verdict
    blamed: tuple[Evidence, ...]
    """Those that answer, the one that matters most first; none for ``base``."""
    evidence: tuple[Evidence, ...]
    """Every package that was tried, by how much it matters."""
    n_packages: int
    """Of the stack."""


@dataclass(frozen=True)
class Writer:
    """A package that changes a tensor."""

    manifest: Manifest
    encoding: str
    norm: float | None
    """‖Δ‖ (Frobenius), before rounding; None where it is no number."""
    generation: int
    """Since when it is there without a break."""
    since: str
    """The moment of that generation."""
    message: str
    """Of that generation."""


@dataclass(frozen=True)
class TensorBlame:
    """Who wrote a tensor."""

    model: str
    tensor: str
    """Its name in the checkpoint."""
    dtype: str
    shape: tuple[int, ...]
    before_sha256: str
    """As the base has it."""
    after_sha256: str
    """As it is now."""
    base_norm: float | None
    """‖W‖ of the base's."""
    writers: tuple[Writer, ...]
    """In the order of the stack; the last one wrote last."""
