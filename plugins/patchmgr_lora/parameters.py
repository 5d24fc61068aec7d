"""What a user may set for LoRA and AdaLoRA; the modules are derived, published values are presets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from patchmgr.methods.parameters import Layers, PresetParameters

_PUBLISHED: Mapping[str, Any] = {
    "batch": 1,
    "learning_rate": 5e-3,
    "rank": 8,
    "alpha": 32.0,
    "dropout": 0.1,
    "stop_loss": 0.0,
}
_SITES: Mapping[str, Mapping[str, Any]] = {
    "gpt2-xl": {"target_modules": ("c_attn",), "steps": 30},
    "gpt-j": {"target_modules": ("fc_in", "fc_out"), "steps": 50},
    "llama-2-7b": {"target_modules": ("q_proj", "v_proj"), "steps": 70},
    "llama-3-8b": {"target_modules": ("q_proj", "v_proj"), "steps": 70},
}


def split_names(value: Any) -> Any:
    """``"q_proj,v_proj"`` as a command line has it; anything else is left to pydantic.

    >>> split_names("q_proj, v_proj")
    ['q_proj', 'v_proj']
    """
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(split_names), Field(min_length=1)]


class LoraParameters(PresetParameters):
    """Parameters of LoRA."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {name: {**_PUBLISHED, **site} for name, site in _SITES.items()}
    )

    preset: Literal["gpt2-xl", "gpt-j", "llama-2-7b", "llama-3-8b"] | None = Field(
        default=None, description="published values for one model, where nothing else is given"
    )
    target_modules: Names | None = Field(
        default=None,
        description="linear maps that get an adapter, by the ends of their names, such as q_proj,v_proj; "
        "none: those of the attention that make queries and values",
    )
    layers: Layers | None = Field(
        default=None, description="blocks in which they get one, from 0, such as 4-8; none: all"
    )
    rank: int = Field(default=8, ge=1, le=1024, description="rank of the change of each weight")
    alpha: float = Field(default=32.0, gt=0, description="the change is scaled by alpha / rank")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="share of an adapter's inputs left out in training")
    steps: int = Field(
        default=50, ge=1, le=1000, description="times that every edit is gone through; published: 30 to 70"
    )
    batch: int = Field(
        default=1, ge=1, description="edits in one step of Adam; decides memory, and the result too; published: 1"
    )
    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="of Adam; published: 0.005")
    stop_loss: float = Field(
        default=1e-2, ge=0, description="a batch whose loss is below changes nothing; published: 0, which goes on"
    )


class AdaLoraParameters(LoraParameters):
    """Parameters of AdaLoRA."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        # EasyEdit sets a rank of 8 that AdaLoRA does not read, and never gives a rank up: the 12 it begins with stay
        {name: {**_PUBLISHED, **site, "rank": 12, "initial_rank": 12} for name, site in _SITES.items()}
    )

    rank: int = Field(default=8, ge=1, le=1024, description="rank of the change of a weight, in the mean over all")
    initial_rank: int = Field(
        default=12,
        ge=1,
        le=1024,
        description="rank that each begins with; the least useful are given up until rank is left, "
        "unless all edits are learned before",
    )
    learning_rate: float = Field(default=5e-3, gt=0, le=1, description="of Adam; published: 0.005")
    orthogonality: float = Field(
        default=0.5, ge=0, description="weight in the loss of how far singular vectors are from orthogonal"
    )

    @model_validator(mode="after")
    def _begins_with_enough(self) -> AdaLoraParameters:
        if self.initial_rank < self.rank:
            raise ValueError(f"initial_rank {self.initial_rank} is below rank {self.rank}")
        return self
