"""What a user may set for WISE."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from patchmgr.methods.parameters import PresetParameters

_PUBLISHED: Mapping[str, Any] = {
    "shard_size": 500,
    "mask_share": 0.2,
    "steps": 40,
    "learning_rate": 1.0,
    "limit": 1.0,
    "alpha": 5.0,
    "beta": 20.0,
    "gamma": 10.0,
    "threshold_share": 0.8,
    "density": 0.53,
    "irrelevant": 1,
    "stop_loss": 0.0,
    "contexts": 10,
    "merge_every": 2,
    "optimizer": "sgd",
    "pool": "mean",
    "replay": False,
}


class WiseParameters(PresetParameters):
    """Parameters of WISE."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"llama-2-7b": {**_PUBLISHED, "layer": 27}, "qwen2.5-7b": {**_PUBLISHED, "layer": 23, "steps": 70}}
    )

    preset: Literal["llama-2-7b", "qwen2.5-7b"] | None = Field(
        default=None, description="published values for one model, where nothing else is given"
    )
    layer: int | None = Field(
        default=None, ge=0, description="block whose MLP gets a side memory, from 0; none: four fifths of the way up"
    )
    retrieve: bool = Field(
        default=True, description="several side memories, the one that stirs most answers; false: one, merged of all"
    )
    shard_size: int = Field(default=10, ge=1, description="edits of a shard; published: 500")
    merge_every: int = Field(default=1, ge=1, description="shards of a side memory, with retrieve; published: 2")
    mask_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of the matrix that a shard may change, drawn at random; published: 0.2",
    )
    density: float = Field(
        default=0.53, gt=0, le=1, description="share of a shard's elements that merging keeps; published: 0.53"
    )
    steps: int = Field(
        default=100, ge=1, le=10000, description="for an edit, or with replay for a shard, at most; published: 40"
    )
    optimizer: Literal["adam", "sgd"] = Field(
        default="adam", description="adam, or plain gradient descent, as published"
    )
    learning_rate: float = Field(default=0.02, gt=0, description="of the optimizer; published, for sgd: 1")
    limit: float = Field(default=1.0, gt=0, description="largest change of any element; published: 1")
    margin_share: float = Field(
        default=1.0,
        gt=0,
        description="beta as a share of what the layer gives by itself, where beta is not given; alpha is a quarter of "
        "it and gamma half, as published",
    )
    alpha: float | None = Field(default=None, ge=0, description="irrelevant text shall stir less; published: 5")
    beta: float | None = Field(default=None, gt=0, description="an edit's prompt shall stir more; published: 20")
    gamma: float | None = Field(default=None, ge=0, description="by how much more at least; published: 10")
    pool: Literal["mean", "max", "last"] = Field(
        default="last", description="how the stir of a prompt's tokens becomes one number; published: mean"
    )
    replay: bool = Field(
        default=True, description="all edits of a shard are learned together; false: one after another, as published"
    )
    irrelevant: int = Field(
        default=32, ge=1, le=256, description="texts of the model's own that an edit is told apart from; published: 1"
    )
    contexts: int = Field(
        default=1, ge=0, le=100, description="sampled texts that stand before the prompt in training; published: 10"
    )
    threshold_share: float = Field(
        default=0.8, gt=0, le=1, description="a side memory answers from this share of its least stir; published: 0.8"
    )
    stop_loss: float = Field(
        default=0.02, ge=0, description="an edit whose loss is below is learned, in nats a token; published: 0"
    )
