"""A score: a number that says what was measured, by which protocol, on what data and on which bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from patchmgr.canonical import canonical_json
from patchmgr.errors import FormatError
from patchmgr.package.fields import Section, Sha256

Phase = Literal["before", "after"]
Protocol = Literal["tf", "gen"]
"""Teacher-forced or freely generated."""


class Score(Section):
    """The mean of one metric over ``n`` probes, on one state."""

    metric: str
    """Its own name, such as ``reliability``; a part of a metric is ``locality/same_subject``."""
    protocol: Protocol
    phase: Phase
    value: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    n: Annotated[int, Field(ge=1)]
    """Probes that the mean is over."""
    dataset_sha256: Sha256
    """Digest of the requests that carried the probes."""
    state_root: Sha256
    seed: int = 0
    compute_dtype: str = "float32"


class _ScoreFile(Section):
    scores: tuple[Score, ...] = Field(strict=False)


def dump_scores(scores: Iterable[Score]) -> bytes:
    """The bytes of ``eval.json``."""
    return canonical_json({"scores": [score.model_dump(mode="json") for score in scores]})


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
