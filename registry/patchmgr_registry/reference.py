"""How a version is named.

``name`` or ``name@latest`` · ``name@v3`` · ``name@tag`` · ``name@sha256:ab12…`` or just ``sha256:ab12…``
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from patchmgr.errors import NotFoundError, UsageError

SHORTEST_PREFIX = 7
"""Hexadecimal digits that a digest must at least be given with."""

_DIGEST = re.compile(r"sha256:(?P<prefix>[0-9a-fA-F]*)")
_NUMBER = re.compile(r"v(?P<number>[0-9]+)")
_DIGITS = 9
"""Of a number; what has more numbers no version."""
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Reference:
    """One version, named by at most one of number, tag and digest; by none of them, the latest."""

    package: str | None
    """None only where a digest alone names the version."""
    number: int | None = None
    tag: str | None = None
    digest: str | None = None
    """A digest or its beginning, lower-case hexadecimal."""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """The reference that a user wrote.

        >>> Reference.parse("fact-fixes@v3")
        Reference(package='fact-fixes', number=3, tag=None, digest=None)

        Raises:
            UsageError: the text is none of the forms.
        """
        name, at, which = text.partition("@")
        if not at and _DIGEST.fullmatch(name):
            return cls(None, digest=_prefix(name))
        if not name or (at and not which):
            raise UsageError(
                f"{text!r} does not name a version", hint="write NAME, NAME@v3, NAME@TAG or NAME@sha256:DIGEST"
            )
        if not at or which == "latest":
            return cls(name)
        if number := _NUMBER.fullmatch(which):
            if len(number["number"].lstrip("0")) > _DIGITS:
                raise UsageError(f"no version of {name} has so high a number", hint=f"`patchmgr log {name}` lists them")
            return cls(name, number=int(number["number"]))
        if which.startswith("sha256:"):
            return cls(name, digest=_prefix(which))
        check_tag(which)
        return cls(name, tag=which)

    def __str__(self) -> str:
        if self.package is None:
            return f"sha256:{self.digest}"
        if self.number is not None:
            return f"{self.package}@v{self.number}"
        if self.digest is not None:
            return f"{self.package}@sha256:{self.digest}"
        return f"{self.package}@{self.tag}" if self.tag else self.package


def check_tag(tag: str) -> None:
    """Make sure that a tag can be told from the other forms of a reference.

    Raises:
        UsageError: it cannot.
    """
    if not _TAG.fullmatch(tag) or _NUMBER.fullmatch(tag) or tag in ("latest", "sha256"):
        raise UsageError(
            f"{tag!r} cannot be a tag",
            hint="a tag is a letter and then letters, digits, '.', '_' or '-', and neither 'latest' nor like 'v3'",
        )


def unknown(what: str, name: str, known: Iterable[str], *, see: str = "patchmgr list") -> NotFoundError:
    """The error for a name that does not exist; its hint holds the names most like it, or what to ask for all."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    command = {"model": "patchmgr model list", "editor": "patchmgr editor list"}.get(what, see)
    hint = f"did you mean {' or '.join(close)}?" if close else f"see `{command}`"
    return NotFoundError(f"there is no {what} {name!r}", hint=hint)


def _prefix(text: str) -> str:
    match = _DIGEST.fullmatch(text)
    prefix = match["prefix"].lower() if match else ""
    if not SHORTEST_PREFIX <= len(prefix) <= 64:
        raise UsageError(
            f"{text!r} is not a digest", hint=f"give sha256: and {SHORTEST_PREFIX} to 64 hexadecimal digits"
        )
    return prefix
