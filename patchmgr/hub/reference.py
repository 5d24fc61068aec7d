"""How something on the Hub is named: ``org/name@v3``, or in full ``hf://org/name@v3``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from patchmgr.errors import UsageError

SCHEME = "hf://"
_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub_reference(text: str) -> bool:
    """Whether a reference means a repository: it has an owner before its name, and does not begin as a path does.

    >>> [is_hub_reference(text) for text in ("org/fixes@v3", "hf://org/fixes", "fixes@v3", "./org/fixes")]
    [True, True, False, False]
    """
    return text.startswith(SCHEME) or _REPO_ID.fullmatch(text.partition("@")[0]) is not None


@dataclass(frozen=True, slots=True)
class HubReference:
    """A repository, and which of its versions."""

    repo_id: str
    which: str = ""
    """As a user wrote it behind the ``@``: a number, a range, a tag, a branch or a commit; empty: the newest."""

    @classmethod
    def parse(cls, text: str) -> HubReference:
        """The reference that a user wrote.

        >>> HubReference.parse("hf://org/fact-fixes@v3")
        HubReference(repo_id='org/fact-fixes', which='v3')

        Raises:
            UsageError: it is none of a repository.
        """
        repo_id, at, which = text.removeprefix(SCHEME).partition("@")
        if not _REPO_ID.fullmatch(repo_id) or (at and not which):
            raise UsageError(f"{text!r} does not name a repository of the Hub", hint="write org/name or org/name@v3")
        return cls(repo_id, "" if which == "latest" else which)

    @property
    def is_commit(self) -> bool:
        """Whether it says exactly which bytes."""
        return _COMMIT.fullmatch(self.which) is not None

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.which}" if self.which else self.repo_id
