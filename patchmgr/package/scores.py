"""A score: a number that says what was measured, by which protocol, on what data and on which bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from patchmgr.canonical import canonical_json
from patchmgr.errors import FormatError
from patchmgr.package.fields import Section, Sha256

Phase = Literal["before", "after"]
Protocol = Literal["tf", "gen", "run"]
"""Teacher-forced, freely generated, or of the making itself."""


_Limit = Annotated[float | None, Field(ge=0.0, allow_inf_nan=False)]


class Score(Section):
    """The mean of one metric over ``n`` probes, on one state."""

    metric: str
    """Its own name, such as ``reliability``; a part of a metric is ``locality/same_subject``."""
    protocol: Protocol
    phase: Phase
    value: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    n: Annotated[int, Field(ge=1, lt=2**31)]
    """Probes that the mean is over."""
    low: _Limit = None
    """Lower end of the 95 % interval; None where there are too few edits for one."""
    high: _Limit = None
    dataset_sha256: Sha256
    """Digest of the requests that carried the probes."""
    state_root: Sha256
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    compute_dtype: str = "float32"

    @model_validator(mode="after")
    def _limits_are_an_interval(self) -> Score:
        if (self.low is None) != (self.high is None) or (self.low or 0.0) > (self.high or 0.0):
            raise ValueError(f"low {self.low} and high {self.high} are no interval")
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; the ends of the interval only where there is one."""
        return self.model_dump(mode="json", exclude_none=True)


class _ScoreFile(Section):
    scores: tuple[Score, ...] = Field(strict=False)


def dump_scores(scores: Iterable[Score]) -> bytes:
    """The bytes of ``eval.json``."""
    return canonical_json({"scores": [score.to_json() for score in scores]})


def parse_scores(data: bytes) -> tuple[Score, ...]:
    """Scores from the bytes of ``eval.json``.

    Raises:
        FormatError: it is malformed.
    """
    try:
        value = json.loads(data)
        return _ScoreFile.model_validate(value).scores
    except (ValidationError, ValueError, RecursionError) as error:
        raise FormatError(f"eval.json cannot be read ({' '.join(str(error).split())[:160]})") from None
