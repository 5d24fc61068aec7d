"""Digests of whole safetensors files, where they are to be had for nothing: the Hub's cache names a file by its own."""

from __future__ import annotations

import re
from pathlib import Path

_BLOB = re.compile("[0-9a-f]{64}")


def known_shards(folder: Path) -> dict[str, str] | None:
    """SHA-256 of each safetensors file of a snapshot in the Hub's cache, by its name; None where one is not known.

    The cache keeps a large file under the digest that the Hub gave for it, and the snapshot links there.
    """
    shards = {}
    for path in sorted(folder.glob("*.safetensors")):
        target = path.readlink() if path.is_symlink() else Path()
        if target.parent.name != "blobs" or not _BLOB.fullmatch(target.name):
            return None
        shards[path.name] = target.name
    return shards or None
