"""What a reader is: one format of editing data, told by its keys, whose records it turns into edit requests.

A record gives *cases*: requests that stand or fall together, nearly always one. What cannot be used is never dropped
silently: it is a :class:`LeftOut` with a reason. A record that is *broken*, with a field missing or of the wrong type,
is a :class:`~patchmgr.errors.RequestError` that names file, record and field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from patchmgr.request import EditRequest

Case = tuple[EditRequest, ...]
"""Requests that are sampled as one, such as all rewrites of one MQuAKE record."""


@dataclass(frozen=True)
class LeftOut:
    """A record, or one probe of it, that cannot be used."""

    where: str
    """File and record, for people."""
    what: Literal["record", "probe"]
    reason: str
    """The same words for the same reason, so that they can be counted."""


class Reader(Protocol):
    """One format. Inherit from this class, or have the same attributes."""

    name: ClassVar[str]
    description: ClassVar[str]
    paper: ClassVar[str]
    """Title and arXiv id of where the format comes from."""
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Named choices with their allowed values, the default first."""

    def recognises(self, record: Any) -> bool:
        """Whether a record is of this format, by its keys alone; never raises."""
        ...

    def size(self, record: Any) -> int:
        """How many records this value holds; asked when :meth:`cases` has accepted it.

        1, save for formats whose file is one object.
        """
        return 1

    def cases(self, record: Any, where: str, options: Mapping[str, str]) -> Iterable[Case | LeftOut]:
        """What a record gives.

        Args:
            record: what ``json.loads`` gave; of a table, a :class:`patchmgr.readers.tables.Row`.
            where: file and record, for messages.
            options: a value for every name in :attr:`options`.

        Raises:
            RequestError: the record is broken; begins with ``where``.
        """
        ...


def has_keys(record: Any, *names: str) -> bool:
    """Whether a record is an object with these keys.

    >>> has_keys({"src": "", "alt": ""}, "src"), has_keys(["src"], "src")
    (True, False)
    """
    return isinstance(record, dict) and all(name in record for name in names)
