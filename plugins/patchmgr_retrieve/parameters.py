"""What a user may set for retrieve-and-prepend."""

from __future__ import annotations

from pydantic import Field, field_validator

from patchmgr_memory.settings import TextMemoryParameters

MARKS = ("{prompt}", "{target}", "{query}")


class RetrieveParameters(TextMemoryParameters):
    """Parameters of retrieve-and-prepend."""

    template: str = Field(
        default="{prompt} {target}. {query}", description="what is asked on a hit: the entry, then the question"
    )

    @field_validator("template")
    @classmethod
    def _has_its_marks(cls, template: str) -> str:
        missing = [mark for mark in MARKS if template.count(mark) != 1]
        if missing:
            raise ValueError(f"the template must hold {missing[0]} once")
        return template
