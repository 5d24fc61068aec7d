"""The first line of an exported chain: which part of the chain the file holds, and where the chain ended then."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from patchmgr.manager.audit.forms import DIGEST, HIGHEST, STAMP
from patchmgr_registry import Anchor
from patchmgr_registry.events import GENESIS

FORMAT = "patchmgr-audit"


@dataclass(frozen=True)
class FileHead:
    """The first line."""

    first: int
    """Number of the first event."""
    last: int
    """Number of the last; one less than ``first``: there is none."""
    previous_sha256: str
    """What the first event stands on."""
    sha256: str
    """Of the last event."""
    chain: Anchor
    """Where the whole chain ended when the file was made."""
    exported: str
    actor: str
    host: str
    program_version: str

    def to_json(self) -> dict[str, Any]:
        """The line as JSON."""
        return {"format": FORMAT, "version": 1, **asdict(self)}

    @property
    def is_sound(self) -> bool:
        """Whether each field is what it must be by itself."""
        numbers, texts = (self.first, self.last, self.chain.sequence), (self.actor, self.host, self.program_version)
        digests = (self.previous_sha256, self.sha256, self.chain.sha256)
        return (
            all(type(number) is int and number <= HIGHEST for number in numbers)
            and 1 <= self.first <= self.last + 1
            and (self.first > 1 or self.previous_sha256 == GENESIS)
            and all(isinstance(text, str) for text in (*texts, *digests, self.exported))
            and all(DIGEST.fullmatch(digest) for digest in digests)
            and STAMP.fullmatch(self.exported) is not None
        )

    def says(self, number: int) -> str | None:
        """The hash that the line itself gives an event; None: none."""
        known = {self.chain.sequence: self.chain.sha256, self.first - 1: self.previous_sha256, self.last: self.sha256}
        return known.get(number)
