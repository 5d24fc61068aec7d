"""The fingerprint of a base: a Merkle root over the digests of its tensors, and the digests of what stands beside them.

A leaf is SHA-256 of ``00`` and the canonical JSON of ``[name, dtype, shape, sha256 of the bytes]``; leaves are ordered
by name and joined as in RFC 6962 (a node is SHA-256 of ``01``, left, right). Which file a tensor lies in does not
count, so the same weights in one file or in ten shards are the same base.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.digests import DigestCache, file_identity
from patchmgr.base.header import Header
from patchmgr.canonical import canonical_json, sha256_file, sha256_json
from patchmgr.errors import IntegrityError

CONFIG_FILES = ("config.json", "generation_config.json")
TOKENIZER_FILES = (
    "added_tokens.json", "chat_template.jinja", "chat_template.json", "merges.txt", "special_tokens_map.json",
    "spiece.model", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt",
)  # fmt: skip
_BLOCK_BYTES = 8 * 1024 * 1024

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


@dataclass(frozen=True)
class TensorDigest:
    """What a tensor is: equal digests mean equal bytes under one name."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Fingerprint:
    """What a checkpoint is, by content."""

    tensors: Mapping[str, TensorDigest]
    config_sha256: str
    tokenizer_sha256: str

    @property
    def weights_root(self) -> str:
        """Merkle root over all tensors, hexadecimal."""
        return merkle_root(self.tensors.values())

    def with_tensors(self, digests: Mapping[str, str]) -> Fingerprint:
        """The fingerprint after these tensors' bytes have become others."""
        changed = {name: replace(self.tensors[name], sha256=sha256) for name, sha256 in digests.items()}
        return replace(self, tensors={**self.tensors, **changed})


def fingerprint(
    checkpoint: Checkpoint, cache: DigestCache, *, progress: Progress | None = None, threads: int = 2
) -> Fingerprint:
    """Digest every tensor of a checkpoint; files whose identity the cache knows are not read.

    Raises:
        IntegrityError: a file changed while it was read.
    """
    total_bytes, done = checkpoint.size_bytes, 0
    tensors: dict[str, TensorDigest] = {}

    def advance(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        if progress:
            progress(done, total_bytes)

    with ThreadPoolExecutor(threads) as pool:
        for file, header in checkpoint.headers.items():
            path = checkpoint.folder / file
            identity = file_identity(path)
            digests = cache.get(identity)
            if digests is None or set(digests) != {tensor.name for tensor in header.tensors}:
                digests = _digest_file(path, header, pool, advance)
                cache.put(identity, digests)
            else:
                advance(sum(tensor.size_bytes for tensor in header.tensors))
            for tensor in header.tensors:
                tensors[tensor.name] = TensorDigest(tensor.name, tensor.dtype, tensor.shape, digests[tensor.name])
    return Fingerprint(tensors, _listing(checkpoint.folder, CONFIG_FILES), _listing(checkpoint.folder, TOKENIZER_FILES))


def merkle_root(tensors: Iterable[TensorDigest]) -> str:
    """The root over tensors in any order.

    >>> merkle_root([])
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    leaves = [
        hashlib.sha256(b"\x00" + canonical_json([t.name, t.dtype, list(t.shape), t.sha256])).digest()
        for t in sorted(tensors, key=lambda tensor: tensor.name)
    ]
    return _subtree(leaves).hex()


def _subtree(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)  # the largest power of two below the number of leaves
    return hashlib.sha256(b"\x01" + _subtree(leaves[:split]) + _subtree(leaves[split:])).digest()


def _digest_file(
    path: Path, header: Header, pool: ThreadPoolExecutor, advance: Callable[[int], None]
) -> dict[str, str]:
    def digest(start: int, end: int) -> str:
        sha256, position = hashlib.sha256(), start
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while position < end:
                block = file.read(min(_BLOCK_BYTES, end - position))
                if not block:
                    raise IntegrityError(
                        f"{path.name} ended while it was read", hint="leave the base as it is and retry"
                    )
                sha256.update(block)
                position += len(block)
        return sha256.hexdigest()

    jobs = [(tensor, pool.submit(digest, tensor.start, tensor.end)) for tensor in header.tensors]
    digests = {}
    for tensor, job in jobs:
        digests[tensor.name] = job.result()
        advance(tensor.size_bytes)
    return digests


def _listing(folder: Path, names: Sequence[str]) -> str:
    return sha256_json({name: sha256_file(folder / name) for name in names if (folder / name).is_file()})
