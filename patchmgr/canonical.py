"""Canonical JSON and SHA-256: the two things that every digest of patchmgr is made of.

Canonical JSON is UTF-8 with sorted keys, no spaces, no escapes beyond those that JSON demands, and one trailing
newline. NaN and infinities are refused, so equal values always have equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

_BLOCK_BYTES = 4 * 1024 * 1024


def canonical_json(value: Any) -> bytes:
    r"""The canonical bytes of a JSON value.

    >>> canonical_json({"b": 1, "a": ["é"]})
    b'{"a":["\xc3\xa9"],"b":1}\n'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def sha256_hex(data: bytes | bytearray | memoryview) -> str:
    """Lower-case hexadecimal SHA-256, 64 characters."""
    return hashlib.sha256(data).hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return sha256_hex(canonical_json(value))


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
