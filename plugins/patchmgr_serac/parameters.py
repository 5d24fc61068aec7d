"""What a user may set for SERAC: when an editor is trained, and when edits are made with it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from patchmgr.methods.contract import MethodParameters
from patchmgr.methods.parameters import PresetParameters
from patchmgr_retrieve.parameters import MARKS

RouterForm = Literal["embedding", "cross", "two-stage"]
Negatives = Literal["likeliest", "pairs"]


class SeracParameters(MethodParameters):
    """Parameters of edits; everything else was settled when the editor was trained."""

    threshold: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="least probability of being in scope; none: calibrated, and again when the memory outgrows that",
    )
    candidates: int | None = Field(
        default=None, ge=1, description="entries that the second stage of a two-stage router reads; none: the editor's"
    )


class SeracTraining(PresetParameters):
    """Parameters of training an editor."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"published": {"learning_rate": 1e-5, "batch": 10, "accumulation": 10, "pooling": "cls", "negatives": "pairs"}}
    )

    preset: Literal["published"] | None = Field(
        default=None,
        description="the paper's values, for encoders of 768 and models of 512, where nothing else is given",
    )
    router: RouterForm = Field(
        default="embedding", description="scope classifier: embedding (fast), cross (reads all entries), or two-stage"
    )
    encoder: str = Field(
        default="demo", description="what the scope classifier starts from: demo, minilm (an extra), or a folder"
    )
    pooling: Literal["cls", "mean"] = Field(default="mean", description="how tokens become one vector; published: cls")
    candidates: int = Field(default=16, ge=1, description="entries that the second stage of a two-stage router reads")
    counterfactual: str = Field(
        default="copy",
        min_length=1,
        description="who answers: copy (of the model, trained further), fresh (small, from nothing), the folder of "
        "a small language model, or base (the base itself, with the edit in front, untrained)",
    )
    template: str = Field(
        default="{prompt} {target} {query}", description="what is asked on a hit: the entry, then the question"
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Adam's; none: 1e-5 (768 / width)^2, at most 0.0003, three times that for the counterfactual model",
    )
    batch: int = Field(default=10, ge=1, description="edits of a forward pass")
    accumulation: int = Field(default=1, ge=1, description="forward passes of an update; published: 10")
    router_weight: float = Field(default=1.0, gt=0, description="weight of the scope classifier's loss")
    counterfactual_weight: float = Field(default=0.1, gt=0, description="weight of the counterfactual model's loss")
    portability_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="how often the question in scope is a portability probe, of requests that have some; 0: leave them "
        "out, where answering needs knowledge that no wording gives away",
    )
    negatives: Negatives = Field(
        default="likeliest",
        description="what the embedding form learns to keep apart: each question and the likeliest entry of the batch "
        "that it does not belong to, or the drawn pairs alone",
    )
    hard_share: float = Field(default=0.5, ge=0, le=1, description="share of batches with hard negatives")
    hard_neighbours: int = Field(default=100, ge=1, description="nearest prompts that hard negatives come from")
    hard_skip: int = Field(default=25, ge=0, description="the nearest of them, which may be paraphrases, left out")
    hard_temperature: float = Field(default=0.1, gt=0, description="of drawing hard negatives by their cosine")
    steps: int = Field(default=4000, ge=1, description="updates, at most")
    validate_every: int = Field(default=250, ge=1, description="updates between validations, each with a checkpoint")
    patience: int = Field(default=5, ge=1, description="validations without improvement after which it ends")
    validation_entries: int = Field(default=200, ge=1, description="entries of the memory that is validated with")

    @field_validator("template")
    @classmethod
    def _has_its_marks(cls, template: str) -> str:
        missing = [mark for mark in MARKS if template.count(mark) != 1]
        if missing:
            raise ValueError(f"the template must hold {missing[0]} once")
        return template
