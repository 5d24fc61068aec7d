"""What a trainer is: it turns editing data into an *editor*, a set of networks that edits of its method then use.

Glossary: an *editor* is made once and used by many edits, such as SERAC's scope classifier and counterfactual model or
MEND's hypernetworks. It is kept by name, version and digest, and a package says by digest which one made it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from patchmgr.methods.contract import LoadedModel, MethodParameters
    from patchmgr.request import EditRequest


def _no_progress(_done: int, _total: int, _what: str) -> None: ...


def _no_report(_step: int, _figures: Mapping[str, float]) -> None: ...


@dataclass(frozen=True)
class TrainingData:
    """Requests to learn from, and others to stop by."""

    training: Sequence[EditRequest]
    """The rephrasings of a request, and what its portability probes ask, are in its scope, each with its own answer;
    its locality probes are outside."""
    validation: Sequence[EditRequest]
    """None of them is in ``training``."""


@dataclass(frozen=True)
class TrainingContext:
    """What surrounds one training."""

    folder: Path
    """Is there, and is the trainer's own: checkpoints lie in it. What a run that was killed left there belongs to the
    same data, parameters and seed, and is gone on from; the result is the one that the whole run would have had."""
    seed: int = 0
    progress: Callable[[int, int, str], None] = _no_progress
    """Called with (done, total, what)."""
    report: Callable[[int, Mapping[str, float]], None] = _no_report
    """Called after each validation with the step and its figures by name."""


@dataclass(frozen=True)
class TrainedDraft:
    """What a training gave."""

    files: Mapping[str, Path]
    """safetensors and JSON files by their path in the editor, POSIX."""
    parameters: Mapping[str, Any]
    """Every parameter with the value that was used, derived defaults included; JSON values."""
    steps: int
    """Updates until the checkpoint that was kept."""
    figures: Mapping[str, float]
    """Of that checkpoint on the validation data, by name."""


@dataclass(frozen=True)
class Editor:
    """An editor as an edit gets it, every byte checked."""

    reference: str
    """Such as ``scope@v2``."""
    digest: str
    """SHA-256 of its manifest."""
    method: str
    parameters: Mapping[str, Any]
    files: Mapping[str, Path]
    """By their path in the editor."""


class Trainer(Protocol):
    """A way of training editors. Class attributes are its visiting card; ``train`` imports what it needs."""

    name: ClassVar[str]
    """Of the method whose edits use the editor."""
    version: ClassVar[str]
    parameters: ClassVar[type[MethodParameters]]

    def train(self, model: LoadedModel, data: TrainingData, parameters: Any, context: TrainingContext) -> TrainedDraft:
        """Train until it gets no better on the validation data; the model is left bit for bit as it was given.

        Raises:
            MethodError: the architecture cannot be trained for.
            RequestError: the data lack what this trainer needs, named.
        """
        ...
