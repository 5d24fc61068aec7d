"""What a user may set for GRACE, and for whatever else keeps a codebook."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from patchmgr.methods.contract import MethodParameters
from patchmgr.methods.parameters import PresetParameters

_PUBLISHED: Mapping[str, Any] = {"radius": 1.0, "steps": 100, "learning_rate": 1.0, "start": "cold", "stop_loss": 0.0}


class CodebookParameters(MethodParameters):
    """Where keys are read, and how far a ball around one reaches."""

    layer: int | None = Field(
        default=None, ge=0, description="block whose MLP input is the key, from 0; none: four fifths of the way up"
    )
    radius: float | None = Field(
        default=None, gt=0, description="of a new key's ball; none: radius_share of a typical distance"
    )
    radius_share: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="radius as a share of the median distance between keys of unrelated texts, where none is given",
    )


class GraceParameters(CodebookParameters, PresetParameters):
    """Parameters of GRACE."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"gpt2-xl": {**_PUBLISHED, "layer": 35}, "llama-2-7b": {**_PUBLISHED, "layer": 27}}
    )

    preset: Literal["gpt2-xl", "llama-2-7b"] | None = Field(
        default=None, description="published values for one model, where nothing else is given"
    )
    steps: int = Field(default=100, ge=1, le=10000, description="of Adam for a value, at most; published: 100")
    learning_rate: float = Field(default=1.0, gt=0, description="of Adam; published: 1")
    start: Literal["warm", "cold"] = Field(
        default="warm",
        description="where a value begins: warm: at what the layer gives, cold: evenly drawn from 0 to 1, as published",
    )
    stop_loss: float = Field(
        default=0.01, ge=0, description="a value whose loss is below is learned, in nats a token; published: 0"
    )
