"""Edits that their author keeps: the package carries a commitment to each instead of its text.

A commitment is the SHA-256 of 32 secret bytes and the request's canonical line. Without the bytes nobody can try a
guess on it; with them the author can show later what the package was made from. What the weights do can still be asked.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.errors import FormatError
from patchmgr.package.scores import Score
from patchmgr.request import EditRequest, dump_requests

FIELD = "withheld"
_SALT_BYTES = 32
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Withheld:
    """What became of edits that are kept back."""

    commitments: bytes
    """The ``edits.jsonl`` of the package."""
    disclosure: bytes
    """For the author alone: each request with its salt, one a line."""
    salt: bytes
    """Of the first one; hides the digests of what was measured, too."""

    def hide(self, scores: Sequence[Score], requests: Sequence[EditRequest]) -> tuple[Score, ...]:
        """The same scores without a digest that a guess at the texts could be tried on."""
        whole = sha256_hex(dump_requests(requests))

        def hidden(digest: str) -> str:
            return sha256_hex(self.commitments if digest == whole else self.salt + bytes.fromhex(digest))

        return tuple(
            score.model_copy(update={"dataset_sha256": hidden(score.dataset_sha256)}) for score in scores
        )  # fmt: skip


def withhold(requests: Sequence[EditRequest]) -> Withheld:
    """Commit to requests under fresh salts."""
    salts = [secrets.token_bytes(_SALT_BYTES) for _ in requests]
    pairs = list(zip(salts, requests, strict=True))
    return Withheld(
        b"".join(canonical_json({FIELD: commitment(salt, request)}) for salt, request in pairs),
        b"".join(canonical_json({"request": request.to_json(), "salt": salt.hex()}) for salt, request in pairs),
        salts[0],
    )


def commitment(salt: bytes, request: EditRequest) -> str:
    """SHA-256 of the salt and the request's canonical line."""
    return sha256_hex(salt + canonical_json(request.to_json()))


def count_commitments(data: bytes, *, where: str) -> int | None:
    """How many edits a file keeps back; None: it holds edits.

    Raises:
        FormatError: it begins with a commitment, and another line is none.
    """
    lines = data.splitlines()
    if not lines or _committed(lines[0]) is None:
        return None
    for number, line in enumerate(lines, start=1):
        digest = _committed(line)
        if digest is None or not _DIGEST.fullmatch(digest):
            raise FormatError(f"{where}, line {number}: not a digest of a withheld edit", hint="do not use the package")
    return len(lines)


def _committed(line: bytes) -> str | None:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or set(value) != {FIELD}:
        return None
    return value[FIELD] if isinstance(value[FIELD], str) else ""
