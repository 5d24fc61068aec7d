"""Which versions of a package are wanted: the part behind the ``@`` in ``patches.toml``.

======================== ============================================================================================
``*``                    any version
``latest``               the newest
``==3``, ``v3``          that one
``^2``                   version 2, or a later one that grew out of it: its line of parent versions leads to 2
``>=2,<4``               every clause must hold; ``>``, ``<=`` and ``!=`` too
``sha256:ab12…``         the one with this digest, or with a digest that begins so
``stable``               the one that has this tag
======================== ============================================================================================

Versions are plain numbers that say nothing of compatibility, so ``^`` goes by descent: with v2 ← v3 and v1 ← v4,
``^2`` admits 2 and 3.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from patchmgr.errors import UsageError
from patchmgr.package.manifest import Manifest, check_name
from patchmgr_registry import Reference, VersionSummary

_CLAUSE = re.compile(r"(?P<sign>\^|==|!=|>=|<=|>|<)v?(?P<number>[0-9]{1,18})")
_SPACED = re.compile(r"\s*(,|\^|[=<>!]=|[<>])\s*")
_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_FORMS = "write *, latest, ^2, ==3, >=2,<4, a tag, or sha256: and a digest"


@dataclass(frozen=True)
class Candidate:
    """A version that could be chosen, wherever it lies."""

    package: str
    number: int
    digest: str
    parent_version: int | None
    below: frozenset[str]
    """Digests of the packages that it was computed on."""
    base_fingerprint: str
    kind: str
    commit: str | None = field(default=None, compare=False)
    """Of the repository on the Hub that it was found in."""

    @property
    def reference(self) -> str:
        """``name@v3``."""
        return f"{self.package}@v{self.number}"

    @classmethod
    def of_version(cls, version: VersionSummary) -> Candidate:
        """A version of the registry."""
        below = frozenset(version.parent_packages)
        return cls(
            version.package,
            version.number,
            version.digest,
            version.parent_version,
            below,
            version.base_fingerprint,
            version.kind,
        )

    @classmethod
    def of_manifest(cls, manifest: Manifest, commit: str | None = None) -> Candidate:
        """A package in a folder, or in a repository on the Hub at a commit."""
        below = frozenset(manifest.parent.packages)
        return cls(
            manifest.name,
            manifest.version,
            manifest.digest,
            manifest.parent_version,
            below,
            manifest.base.fingerprint,
            manifest.kind,
            commit,
        )


@dataclass(frozen=True)
class Requirement:
    """A package, and which of its versions will do."""

    package: str
    text: str
    """As written, without spaces around signs: what two files are compared by."""
    clauses: tuple[tuple[str, int], ...] = ()
    """Sign and number; all of them must hold. None: what ``pointer`` says, or any."""
    pointer: Reference | None = None
    """A tag, a digest or the newest: what only the registry can tell."""

    @classmethod
    def parse(cls, package: str, text: str) -> Requirement:
        """A requirement as a user wrote it.

        >>> Requirement.parse("fact-fixes", ">=2, <4").clauses
        (('>=', 2), ('<', 4))

        Raises:
            UsageError: the name cannot be one, or the text is none of the forms.
        """
        check_name(package)
        plain = _SPACED.sub(r"\1", text.strip())
        if plain in ("", "*"):
            return cls(package, "*")
        if plain == "latest":
            return cls(package, plain, pointer=Reference(package))
        found = [_CLAUSE.fullmatch(part) for part in plain.split(",")]
        if all(found):
            return cls(package, plain, tuple((clause["sign"], int(clause["number"])) for clause in found if clause))
        try:
            reference = Reference.parse(f"{package}@{plain}")
        except UsageError:
            raise UsageError(f"{text!r} says no versions of {package}", hint=_FORMS) from None
        if reference.number is not None:
            return cls(package, plain, (("==", reference.number),))
        return cls(package, plain, pointer=reference)

    def admits(self, version: Candidate, parents: Mapping[int, int | None]) -> bool:
        """Whether a version meets the clauses; of a digest or tag nothing is asked.

        Args:
            version: of the package.
            parents: parent version of each version that is known, by number.
        """
        return all(
            _descends(version, number, parents) if sign == "^" else _COMPARE[sign](version.number, number)
            for sign, number in self.clauses
        )

    def __str__(self) -> str:
        return f"{self.package}@{self.text}"


def _descends(version: Candidate, ancestor: int, parents: Mapping[int, int | None]) -> bool:
    """Whether a version is this one or grew out of it; a line with a version that is not known leads nowhere."""
    number, above = version.number, version.parent_version
    while number != ancestor:
        if above is None or not ancestor <= above < number:  # nothing grows out of a later one
            return False
        number, above = above, parents.get(above)
    return True
