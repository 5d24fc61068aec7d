"""Lists and objects as text columns: canonical JSON without its newline."""

from __future__ import annotations

import json
from typing import Any

from patchmgr.canonical import canonical_json


def to_text(value: Any) -> str:
    """The text of a JSON value; equal values have equal texts."""
    return canonical_json(value).decode().rstrip("\n")


def from_text(text: str) -> Any:
    """The JSON value of a text that :func:`to_text` wrote.

    Raises:
        ValueError: something else wrote it.
    """
    if text == "[]":  # by far the most frequent
        return []
    value = json.loads(text)
    if to_text(value) != text:
        raise ValueError("not canonical JSON")
    return value
