"""What an editing method is: it turns (model, requests, parameters) into a payload and leaves the model as it was.

Glossary: a *payload* is what the method computed, in module names of the loaded model; the core gives it checkpoint
names, an encoding, digests and scores, and makes it a package. Factors are stored so that ``u @ v`` has the shape and
orientation of the module's own weight as it lies in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from patchmgr.methods.artefacts import ArtefactEntry, ArtefactStore
    from patchmgr.methods.runtime import Router
    from patchmgr.methods.training import Editor
    from patchmgr.package.encodings.contract import Delta
    from patchmgr.package.memory.bundle import MemoryBundle, MemoryDraft
    from patchmgr.request import EditRequest

Need = Literal["subject", "statistics", "trained-artefact"]


class MethodParameters(BaseModel):
    """Base of a method's parameters: each field has default, range and description; unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class LoadedModel:
    """A model state in memory, with the tokenizer that goes with it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    state_root: str
    """What the weights are: the state root of design §2, part of the key of everything computed from them."""
    router: Router | None = None
    """The memories of the state, which are asked before the model; None: it has none."""
    prompt_ends: Callable[[Sequence[int]], AbstractContextManager[None]] | None = None
    """Told, of what is run within, the column where each row's prompt ends, or one for all; None: it need not know."""

    @property
    def encoder_decoder(self) -> bool:
        """Whether an encoder reads the prompt and a decoder writes the answer, as in T5."""
        return bool(getattr(self.model.config, "is_encoder_decoder", False))


@dataclass(frozen=True)
class PristineBase:
    """The base under a state that packages have changed; in memory only when it is asked for."""

    state_root: str
    load: Callable[[], LoadedModel]


def _no_progress(_done: int, _total: int, _what: str) -> None: ...


@dataclass(frozen=True)
class EditContext:
    """What surrounds one run of a method; a method keeps no state outside it."""

    artefacts: ArtefactStore
    """Where statistics are kept between runs."""
    seed: int = 0
    corpus: Path | None = None
    """Text for statistics, as :func:`patchmgr.readers.corpus.open_corpus` names it; or a folder of statistics that
    ``patchmgr stats export`` wrote. None: the model's own samples."""
    progress: Callable[[int, int, str], None] = _no_progress
    """Called with (done, total, what)."""
    past_state: tuple[Mapping[str, np.ndarray[Any, Any]], ...] = ()
    """``Payload.state`` of the packages of this method that the edited state carries, in their order."""
    memory: MemoryBundle | None = None
    """What the version before remembers, of a method whose kind is ``memory``; None: this is the first version."""
    forget: tuple[str, ...] = ()
    """Ids of its entries that are to go."""
    editor: Editor | None = None
    """The trained editor to use, of a method that needs a trained artefact; None: what ``memory`` carries."""
    base: PristineBase | None = None
    """What statistics are taken of, whatever is applied; None: the model that is edited."""


@dataclass(frozen=True)
class LowRankDelta:
    """A change of one weight as ``u @ v``, both float32, in the orientation of the checkpoint's tensor."""

    module_weight: str
    """Parameter name in the loaded model, such as ``model.layers.5.mlp.down_proj.weight``."""
    u: np.ndarray[Any, Any]
    """(rows, rank)"""
    v: np.ndarray[Any, Any]
    """(rank, columns)"""


@dataclass(frozen=True)
class WeightDelta:
    """A change of one weight in any encoding: ``Factors``, ``Dense``, ``Sparse``, ``Columns``, or a plugin's own."""

    module_weight: str
    """Parameter name in the loaded model."""
    delta: Delta
    """In the shape and orientation of the checkpoint's tensor, all axes but the last taken together as rows."""


@dataclass(frozen=True)
class ReplacedWeight:
    """Other numbers for one weight, whatever they were; stored as ``xor``, so it holds on the base's bytes only."""

    module_weight: str
    """Parameter name in the loaded model."""
    values: np.ndarray[Any, Any] | bytes
    """In the weight's shape: floats, each rounded once to the stored dtype; integers as wide as the stored elements,
    taken as their bits; or the bytes as the checkpoint shall store them."""


@dataclass(frozen=True)
class Payload:
    """What a weight method computed, with what is needed to compute it again."""

    deltas: Sequence[LowRankDelta | WeightDelta | ReplacedWeight]
    """One for each changed weight; of tied weights, one of them."""
    parameters: Mapping[str, Any]
    """Every parameter with the value that was used, derived defaults included; JSON values."""
    contexts: Sequence[str] = ()
    """The sampled context templates, ``{}`` standing for the prompt."""
    artefacts: Mapping[str, str] = field(default_factory=dict)
    """Name and digest of each artefact that the result depends on."""
    state: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    """What later edits need (keys), for ``state.safetensors``."""
    memory: MemoryDraft | None = None
    """The bundle, of a method whose kind is ``memory``; it has no deltas."""


class Method(Protocol):
    """An editing method. Class attributes are its visiting card; ``edit`` imports what it needs when it runs."""

    name: ClassVar[str]
    version: ClassVar[str]
    paper: ClassVar[str]
    """Title and arXiv id."""
    kind: ClassVar[Literal["weights", "memory"]]
    needs: ClassVar[frozenset[Need]]
    parameters: ClassVar[type[MethodParameters]]

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        """Compute a payload for all requests together.

        The model is left bit for bit as it was given, its mode and gradients included.

        Raises:
            MethodError: the architecture or a tensor cannot be edited, named.
            RequestError: a request that this method cannot use, named.
        """
        ...


@dataclass(frozen=True)
class StatisticsOrder:
    """Which statistics to make ahead of an edit; what is None is decided as an edit would."""

    layers: tuple[int, ...] | Literal["all"] | None = None
    """Blocks, from 0."""
    tokens: int | None = None
    """At most so many tokens of text."""
    seed: int | None = None
    """Of the sampled text, where there is no corpus."""
    until: float | None = None
    """Stop as soon as the expected agreement with endless text is this good in every layer, between 0 and 1."""
    method: Method | None = None
    """Whom they are for; None: any method."""
    parameters: MethodParameters | None = None
    """Of the method."""


class Statistics(Protocol):
    """A kind of statistics that methods want and that can be made ahead, such as the covariance of keys."""

    name: ClassVar[str]
    """Also the ``kind`` of its artefacts."""
    description: ClassVar[str]

    def compute(self, model: LoadedModel, order: StatisticsOrder, context: EditContext) -> Sequence[ArtefactEntry]:
        """Make what is not there yet and keep it under the key that an edit looks for; returns all that was ordered.

        Of an entry users are shown ``tensor`` of its key, and of its notes ``tokens``, ``d_in``, ``difference`` and
        ``agreement``, where it has them. What was done so far is kept when this is interrupted, and gone on from.

        Raises:
            MethodError: the method wants none of these, a layer cannot be read, or the text is empty.
        """
        ...
