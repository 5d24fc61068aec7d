"""The parts of a difference; each says by itself whether there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from patchmgr.package.memory.operations import Entry
from patchmgr.request import EditRequest


@dataclass(frozen=True)
class FieldChange:
    """One thing that a package or a state says of itself, such as ``seed`` or ``parameters.layer``."""

    name: str
    a: Any
    """A plain JSON value."""
    b: Any


@dataclass(frozen=True)
class EditChange:
    """The same fact on both sides, not said alike."""

    a: EditRequest
    b: EditRequest
    fields: tuple[str, ...]
    """Which fields of the request differ; with ``target_new`` it is another answer."""


@dataclass(frozen=True)
class EntryChange:
    """One entry of a memory; on one side only, or not the same on both."""

    a: Entry | None
    b: Entry | None


@dataclass(frozen=True)
class EditsDifference:
    """Edits, matched by what they are about, and the entries of memories."""

    added: tuple[EditRequest, ...]
    """On side b only."""
    removed: tuple[EditRequest, ...]
    """On side a only."""
    changed: tuple[EditChange, ...]
    n_same: int
    entries: tuple[EntryChange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether both sides hold the same edits."""
        return not (self.added or self.removed or self.changed or self.entries)


@dataclass(frozen=True)
class DeltaFacts:
    """What one side does to a tensor."""

    packages: tuple[str, ...]
    """Those that touch it."""
    encodings: tuple[str, ...]
    """How they store it, each named once."""
    rank: int | None
    """Of the sum of their deltas, where all are factors."""
    norm: float | None
    """‖Δ‖, Frobenius, of that sum; None for bytes that are no numbers, or where the base is not here."""
    ratio: float | None
    """‖Δ‖/‖W‖; None where the base is not here."""


@dataclass(frozen=True)
class TensorDifference:
    """A tensor that is not the same on both sides."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    """As on side a, or on b where a does not touch it."""
    a: DeltaFacts | None
    """None: this side leaves it as it is in the base."""
    b: DeltaFacts | None
    distance: float | None
    """‖Δ_b − Δ_a‖; None where the two cannot be subtracted."""
    cosine: float | None
    """Of Δ_a and Δ_b; None where one of them is nothing."""


@dataclass(frozen=True)
class Estimate:
    """A measured value with its 95 % interval, where there is one."""

    value: float
    n: int
    """Probes that it is over."""
    low: float | None
    high: float | None
    dataset_sha256: str
    """Digest of the requests that it was measured on."""


@dataclass(frozen=True)
class ScoreDifference:
    """One metric on both sides."""

    metric: str
    protocol: str
    data: Literal["own", "shared"]
    """``own``: each side on its own edits; ``shared``: both on the same requests, given to ``patchmgr evaluate``."""
    a: Estimate | None
    b: Estimate | None

    @property
    def change(self) -> float | None:
        """How much higher b is; None where a side was not measured."""
        return None if self.a is None or self.b is None else self.b.value - self.a.value


@dataclass(frozen=True)
class PlaceChange:
    """A package of a stack: on one side only, or in another version on the other."""

    name: str
    a: str | None
    """Its reference, such as ``fact-fixes@v1``."""
    b: str | None


@dataclass(frozen=True)
class StackDifference:
    """The packages of two states."""

    places: tuple[PlaceChange, ...]
    order_a: tuple[str, ...] = ()
    """Memories that both sides have and ask in another order, as side a asks them; of weights none matters."""
    order_b: tuple[str, ...] = ()
    n_same: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether both states are made of the same packages."""
        return not self.places and self.order_a == self.order_b


@dataclass(frozen=True)
class AnswerDifference:
    """A prompt to which the two states do not give the same answer."""

    role: Literal["edit", "rephrasing", "portability", "locality"]
    prompt: str
    a: str
    """What the state says by itself, greedily."""
    b: str
    wanted_a: str | None
    """What the edits of this side want to hear; None where none of them asks it."""
    wanted_b: str | None
    right_a: bool | None
    """Whether the answer begins with that."""
    right_b: bool | None


@dataclass(frozen=True)
class AnswersDifference:
    """What both states were asked."""

    differing: tuple[AnswerDifference, ...]
    n_asked: int


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    name: str
    """``fact-fixes@v1``, ``atlas#2``, or ``nothing`` for what is before a first version."""
    digest: str | None
    """Of the package, or the root of the state."""
    facts: Mapping[str, Any]
    """What a heading says of it, in plain JSON values."""


@dataclass(frozen=True)
class Difference:
    """Everything that was compared; None stands for a part that was not asked for."""

    kind: Literal["packages", "states"]
    a: Side
    b: Side
    fields: tuple[FieldChange, ...] | None = None
    stack: StackDifference | None = None
    edits: EditsDifference | None = None
    weights: tuple[TensorDifference, ...] | None = None
    scores: tuple[ScoreDifference, ...] | None = None
    answers: AnswersDifference | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the two sides are alike in all that was compared."""
        return (
            not (self.fields or self.weights or self.scores)
            and (self.stack is None or self.stack.is_empty)
            and (self.edits is None or self.edits.is_empty)
            and (self.answers is None or not self.answers.differing)
        )
