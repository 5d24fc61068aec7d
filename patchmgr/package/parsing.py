"""Parsing a manifest: valid in itself and in canonical form, or an error that names the field."""

from __future__ import annotations

import json
from typing import Protocol, Self, TypeVar

from pydantic import ValidationError

from patchmgr.errors import FormatError
from patchmgr.reasons import reason_of


class Canonical(Protocol):
    """What has canonical bytes, and is parsed from them."""

    @classmethod
    def model_validate(cls, value: object, /) -> Self:
        """Parse and check."""
        ...

    def to_bytes(self) -> bytes:
        """The canonical bytes."""
        ...


T = TypeVar("T", bound=Canonical)


def shown(value: object) -> str:
    """The beginning of what was found, for a message; whatever it is, it can be shown."""
    try:
        return str(value)[:60]
    except (RecursionError, ValueError):  # nested beyond what Python prints
        return f"a {type(value).__name__}"


def parse_canonical(kind: type[T], data: bytes, name: str, *, version: int, hint: str) -> T:
    """A manifest from its bytes.

    Args:
        kind: what it is.
        data: the bytes of the file.
        name: of the file, for messages.
        version: the format version that is known here.
        hint: what to do about a file that is damaged.

    Raises:
        FormatError: it is no JSON, of an unknown format version, not canonical, or a field is missing, unknown or
            out of range; names the field and what was found.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name} is not JSON ({error})", hint=hint) from None
    found = value.get("format_version") if isinstance(value, dict) else None
    if found != version:
        raise FormatError(
            f"{name} has format version {shown(found)}, this patchmgr reads {version}", hint="upgrade patchmgr"
        )
    try:
        parsed = kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        given = "" if first["type"] in ("missing", "value_error") else f" (found {shown(first['input'])!r})"
        raise FormatError(
            f"{name}: {field + ': ' if field else ''}{reason_of(error)}{given}",
            hint="the format is described in docs/format.md",
        ) from None
    try:
        canonical = parsed.to_bytes() == data
    except (ValueError, RecursionError):  # a lone surrogate, NaN, or nesting beyond all use
        canonical = False
    if not canonical:
        raise FormatError(f"{name} is not in canonical form", hint="write it with patchmgr; see docs/format.md")
    return parsed
