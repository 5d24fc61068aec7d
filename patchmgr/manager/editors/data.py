"""What an editor learns from: requests parted into those for training and those that it is stopped by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.errors import RequestError
from patchmgr.methods.training import TrainingData
from patchmgr.package.editor import DataRecord
from patchmgr.request import EditRequest


def parted(requests: Sequence[EditRequest], share: float, seed: int) -> TrainingData:
    """Requests in two parts that have no subject in common, nor a prompt.

    Args:
        requests: all of them.
        share: about how much of them validates, between 0 and 1.
        seed: another one parts them otherwise; where a request goes does not hang on the others.

    Raises:
        RequestError: one of the parts would be empty.
    """
    sides: tuple[list[EditRequest], list[EditRequest]] = ([], [])
    for request in requests:
        about = request.subject or request.text
        drawn = hashlib.sha256(f"{seed}\n{about}".encode()).digest()[:8]
        sides[int.from_bytes(drawn) / 2**64 < share].append(request)
    if not all(sides):
        raise RequestError(
            f"{len(requests)} requests are too few to train on some and validate on others",
            hint="give more of them, or a file of its own to --validation",
        )
    return TrainingData(*map(tuple, sides))


def record(requests: Sequence[EditRequest]) -> DataRecord:
    """What a manifest says of data: how many, and which."""
    lines = b"".join(canonical_json(request.to_json()) for request in requests)
    return DataRecord(n=len(requests), sha256=sha256_hex(lines))
