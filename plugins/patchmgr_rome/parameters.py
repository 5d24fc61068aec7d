"""What a user may set for ROME; layer, step and decay are derived from the model, published values are presets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from patchmgr_keyvalue.settings import ValueParameters

_LLAMA: Mapping[str, Any] = MappingProxyType(
    {"layer": 5, "steps": 25, "learning_rate": 0.5, "weight_decay": 1e-3, "clamp": 4.0}
)


class RomeParameters(ValueParameters):
    """Parameters of ROME."""

    # GPT2-XL and GPT-J: kmeng01/rome and EasyEdit alike; the others: EasyEdit's hparams/ROME. Its files also say C = I
    # (statistics=identity), which is left to the user, for the paper has C
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "gpt2-xl": {"layer": 17, "steps": 20, "learning_rate": 0.5, "weight_decay": 0.5, "clamp": 4.0},
            "gpt-j": {"layer": 5, "steps": 20, "learning_rate": 0.5, "weight_decay": 0.5, "clamp": 4.0},
            "llama-2-7b": _LLAMA,
            "llama-3-8b": _LLAMA,
            "mistral-7b": _LLAMA,
            "qwen2.5-7b": _LLAMA,
        }
    )

    preset: Literal["gpt2-xl", "gpt-j", "llama-2-7b", "llama-3-8b", "mistral-7b", "qwen2.5-7b"] | None = Field(
        default=None, description="published values for one model, where nothing else is given"
    )
    layer: int | None = Field(
        default=None, ge=0, description="block to edit, from 0; none: a sixth of the way up the model"
    )
    keys: Literal["paper", "consistent"] = Field(
        default="paper",
        description="paper: mean key for the direction, the plain prompt's key for the length, as published; "
        "consistent: the mean key for both (R-ROME), steadier under many edits",
    )
    context_lengths: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(
        default=(5, 10), description="tokens of the sampled texts before the prompt"
    )
    context_count: int = Field(default=10, ge=0, le=100, description="sampled texts of each length")
