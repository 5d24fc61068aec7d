"""What a user may set for MEND: when an editor is trained, and when edits are made with it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from patchmgr.methods.contract import MethodParameters
from patchmgr.methods.parameters import Layers, PresetParameters

Aggregation = Literal["sum", "malmen"]


class MendParameters(MethodParameters):
    """Parameters of edits; everything else was settled when the editor was trained."""

    aggregation: Aggregation | None = Field(
        default=None,
        description="how edits of one package come together: sum (of the changes of each), malmen (ridge regression "
        "over the tokens of all); none: as the editor was trained",
    )
    ridge: float | None = Field(
        default=None, gt=0, description="lambda of malmen for every map; none: what the editor learned, or began with"
    )
    batch: int = Field(
        default=16, ge=1, description="edits that are worked on side by side; decides memory, not the result"
    )


class MendTraining(PresetParameters):
    """Parameters of training an editor."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "mend": {
                "learning_rate": 1e-6,
                "rate_learning_rate": 1e-4,
                "edit_rate": 1e-4,
                "rank": 1920,
                "batch": 1,
                "accumulation": 10,
                "clip": 100.0,
                "answer_weight": 0.1,
                "kept": "all",
            },
            "malmen": {
                "aggregation": "malmen",
                "learning_rate": 1e-5,
                "rate_learning_rate": 1e-5,
                "edit_rate": 1e-6,
                "rank": 1920,
                "batch": 1,
                "accumulation": 1,
                "clip": 1.0,
                "answer_weight": 1.0,
                "kept": "answer",
                "ridge": 1.0,
            },
        }
    )

    preset: Literal["mend", "malmen"] | None = Field(
        default=None, description="a paper's values, where nothing else is given; malmen wants edits=1000 or more too"
    )
    layers: Layers | None = Field(
        default=None,
        description="blocks whose MLP is edited, from 0; none: the last three, or the last two of an encoder-decoder",
    )
    encoder_layers: Layers | None = Field(
        default=None, description="the same of an encoder, where there is one; none: its last two"
    )
    maps: Literal["mlp", "down"] = Field(
        default="mlp", description="which maps of the MLP: all of them, or the last, the down-projection"
    )
    aggregation: Aggregation = Field(
        default="sum", description="how edits that are made together come together: sum (MEND), or malmen (ridge)"
    )
    edits: int = Field(default=1, ge=1, description="edits that are made together in training")
    rank: int | None = Field(
        default=None, ge=1, description="of the networks' layers; none: a quarter of their width, at most 1920"
    )
    learning_rate: float = Field(default=1e-4, gt=0, description="Adam's for the networks; published: 1e-6")
    rate_learning_rate: float = Field(
        default=1e-4, gt=0, description="Adam's for the edit rates and for log lambda; published: 1e-4"
    )
    edit_rate: float = Field(
        default=3e-3, gt=0, description="what the edit rate of each map begins with; published: 1e-4"
    )
    ridge: float = Field(default=1.0, gt=0, description="what lambda of each map begins with; learned with malmen")
    answer_weight: float = Field(
        default=1.0, gt=0, description="weight of the loss on answers, where that on locality has 1; published: 0.1"
    )
    kept: Literal["all", "answer"] = Field(
        default="answer",
        description="where unrelated text shall stay as it is: at all tokens of prompt and answer (published), or at "
        "the answer's",
    )
    unrelated: int = Field(default=2, ge=1, description="questions for each edit whose answers shall stay, in a step")
    batch: int = Field(default=10, ge=1, description="groups of edits in a forward pass, each edited by itself")
    accumulation: int = Field(default=1, ge=1, description="forward passes of an update")
    clip: float = Field(default=100.0, gt=0, description="longest gradient")
    steps: int = Field(default=2000, ge=1, description="updates, at most")
    validate_every: int = Field(default=100, ge=1, description="updates between validations, each with a checkpoint")
    patience: int = Field(default=5, ge=1, description="validations without improvement after which it ends")
    validation_edits: int = Field(
        default=100, ge=1, description="requests that are validated with, at most; one group of edits always is"
    )
