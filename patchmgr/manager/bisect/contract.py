"""What a bisection is asked, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from patchmgr.manager.bench import ComputeDtype
from patchmgr.ops.bisect import Found, Verdict
from patchmgr.ops.stack import Stack
from patchmgr.package.manifest import Manifest
from patchmgr.request import EditRequest
from patchmgr_registry import GenerationRecord

Over = Literal["stack", "generations"]


@dataclass(frozen=True)
class Expectation:
    """A state is good when its greedy answer to a prompt begins with a text, as ``exact_match`` compares them."""

    prompt: str
    expect: str
    negated: bool = False
    """Good when it does not."""


@dataclass(frozen=True)
class Gate:
    """A state is good when its scores meet every requirement, measured against the base as ``evaluate`` does."""

    require: tuple[str, ...]
    """Such as ``locality>=0.9``."""
    data: Path | None = None
    """Requests in any known format."""
    text: Path | None = None
    """A held-out text, for perplexity."""
    limit: int | None = None
    """At most so many requests, drawn by relation."""
    seed: int = 0


@dataclass(frozen=True)
class Command:
    """A state is what a program says: exit status 0 good, 1 to 127 bad, 125 skip; any other ends the search."""

    words: tuple[str, ...]


Test = Expectation | Gate | Command


@dataclass(frozen=True)
class BisectOrder:
    """What to search, and by what."""

    test: Test
    over: Over = "stack"
    good: str | None = None
    """A package: the stack was good when it came on; or the number of a generation. None: the base, or the first."""
    bad: str | None = None
    """A later package or generation that is bad; None: the whole stack, or the current one."""
    check_ends: bool = False
    """Ask about both ends first."""
    device: str = "cpu"
    dtype: ComputeDtype = "float32"


@dataclass(frozen=True)
class LineState:
    """One state of the line that is searched."""

    name: str
    """Such as ``the base``, ``3 of 40, to fact-fixes@v2``, ``generation 7``, ``generation 7, to fact-fixes@v2``."""
    stack: Stack
    digests: tuple[str, ...]
    """Of its packages, in their order."""
    root: str | None = None
    """The state root, where the registry knows it."""
    generation: GenerationRecord | None = None
    """What made it, in the history of a model."""


@dataclass(frozen=True)
class Look:
    """What one state was judged to be, and why."""

    name: str
    verdict: Verdict
    why: str
    """The answer, the scores, or the exit status."""
    state_root: str


@dataclass(frozen=True)
class Suspect:
    """A package that came or went, with the edits that it makes."""

    manifest: Manifest
    edits: tuple[EditRequest, ...]
    """None where the author withheld them."""
    left: bool = False
    """It went."""


@dataclass(frozen=True)
class Turn:
    """A step of the line that turned good into bad, or one that may have."""

    before: LineState
    after: LineState
    suspects: tuple[Suspect, ...]
    """The one package that did it; several where states between them had to be skipped."""
    n_moved: int
    """How many packages came or went in the step."""


@dataclass(frozen=True)
class Bisection:
    """What a search came to."""

    model: str
    order: BisectOrder
    line: tuple[LineState, ...]
    found: Found
    looks: tuple[Look, ...]
    """In the order in which they were taken, those within a step last."""
    turns: tuple[Turn, ...]
    """One where it was found; several where states between were skipped; none where both ends agree."""

    @property
    def turn(self) -> Turn | None:
        """The step that turned it, a good state judged before it and a bad one behind; None: not told."""
        return self.turns[0] if self.found.step is not None else None

    @property
    def n_evaluations(self) -> int:
        """How many states were judged, those aside that had to be skipped."""
        return sum(look.verdict != "skip" for look in self.looks)
