"""What parameters of methods have in common: lists of layers, and named sets of published values.

Values that belong to one published model are presets: ``--set preset=gpt-j`` fills in what is not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from patchmgr.methods.contract import MethodParameters


def split_layers(value: Any) -> Any:
    """``"3,4,5"`` and ``"3-5"`` as a command line has them; anything else is left to pydantic.

    >>> split_layers("3-5,7"), split_layers([1])
    ([3, 4, 5, '7'], [1])
    """
    if not isinstance(value, str):
        return value
    found: list[Any] = []
    for part in value.split(","):
        low, _, high = part.strip().partition("-")
        both = low.isdecimal() and high.isdecimal()
        found += list(range(int(low), int(high) + 1)) if both else [part.strip()]
    return found


Layers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(split_layers)]


class PresetParameters(MethodParameters):
    """Parameters with named sets of published values."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        """Values of the preset where the user gives none; an unknown preset is refused by the field's own type."""
        name = given.get("preset") if isinstance(given, dict) else None
        return {**cls.presets.get(name, {}), **given} if isinstance(name, str) else given
