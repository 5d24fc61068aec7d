"""One weight file of a generation: a single pass over the base's file, in which touched tensors become their sums.

The file is written in *parts*, a touched tensor or a stretch of untouched bytes each, in any order and by several
threads, because every byte's place in it is known beforehand: while one part is computed, others are read and written.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from patchmgr.base.blocks import BlockReader, reading
from patchmgr.base.header import Header, TensorEntry, encode_header
from patchmgr.ops.aligned import AlignedFile, SpanWriter, new_buffer
from patchmgr.ops.expected import check_digest
from patchmgr.ops.kernel import BLOCK_BYTES, TensorSum, parted
from patchmgr.ops.rounding import STORAGE
from patchmgr.ops.sums import Sums
from patchmgr.package.encodings.contract import Array, Replacement

STRETCH_BYTES = 128 * 1024 * 1024
"""Untouched bytes of one part at most, so that threads share the work evenly."""

Advance = Callable[[int], None]
"""Called with bytes that were written; may raise to stop the work."""


class Hand:
    """What a thread works with: a buffer to read into and one to write from."""

    def __init__(self) -> None:
        self.reader = BlockReader()
        self.buffer = new_buffer()


Part = Callable[[Hand, Advance], None]


class Shard:
    """A file in the making.

    Args:
        source: the base's file.
        header: its header; None: the file is copied as it is.
        sums: what becomes of tensors; those of other files are passed over.
        before: SHA-256 that each touched tensor must have in the base.
        target: the new file.

    Raises:
        NotFoundError: the base's file is gone.
        OSError: the disk is full, read-only or failing.
    """

    def __init__(
        self, source: Path, header: Header | None, sums: Sums, before: Mapping[str, str], target: Path
    ) -> None:
        self._source, self._sums, self._before = source, sums, before
        self._touched = [entry for entry in header.tensors if entry.name in sums] if header else []
        first = encode_header(header.tensors, header.metadata) if header else b""
        self._start = header.data_start if header else 0
        self._shift = len(first) - self._start
        with reading(source):
            self._end = header.size_bytes if header else source.stat().st_size
        self.results: dict[str, str] = {}
        """SHA-256 of each touched tensor after the sum, as its part is done."""
        self._file = AlignedFile(target, self._end + self._shift)
        try:
            self._file.write(memoryview(first), 0)
        except BaseException:
            self._file.close(keep=False)
            raise

    def parts(self) -> Iterator[Part]:
        """The work, in the order of the file. A part raises as :meth:`close`, and MethodError when a sum is not finite.

        An IntegrityError says that the base's file shrank or changed.
        """
        copied = self._start
        for entry in self._touched:
            yield from self._stretches(copied, entry.start)
            yield partial(self._sum, entry)
            copied = entry.end
        yield from self._stretches(copied, self._end)

    def close(self, *, keep: bool) -> None:
        """Let go of the file, when no part is at work any more; with ``keep`` it is on the disk afterwards."""
        self._file.close(keep=keep)

    def _stretches(self, start: int, end: int) -> Iterator[Part]:
        for first in range(start, end, STRETCH_BYTES):
            yield partial(self._copy, first, min(first + STRETCH_BYTES, end))

    def _copy(self, start: int, end: int, hand: Hand, advance: Advance) -> None:
        with SpanWriter(self._file, start + self._shift, hand.buffer) as writer:
            for block in hand.reader.blocks(self._source, start, end):
                writer.write(block)
                advance(len(block))

    def _sum(self, entry: TensorEntry, hand: Hand, advance: Advance) -> None:
        old, new = hashlib.sha256(), hashlib.sha256()
        with SpanWriter(self._file, entry.start + self._shift, hand.buffer) as writer:
            for stored, block in summed_spans(hand.reader, self._source, entry, self._sums):
                old.update(stored)
                new.update(block)
                writer.write(block)
                advance(len(block))
        check_digest(entry.name, old.hexdigest(), self._before[entry.name])
        self.results[entry.name] = new.hexdigest()


def summed_spans(
    reader: BlockReader, source: Path, entry: TensorEntry, sums: Sums
) -> Iterator[tuple[memoryview, memoryview]]:
    """One tensor's stored bytes and bytes of the sum, block by block; the next block overwrites them."""
    replacements, additive = parted(sums[entry.name])
    total = TensorSum(entry.dtype, entry.shape, additive, name=entry.name) if additive else None
    step = total.block_rows * total.row_bytes if total else BLOCK_BYTES
    buffer = np.empty(min(step, entry.size_bytes), np.uint8)
    for offset in range(0, entry.size_bytes, step):
        stored = buffer[: entry.size_bytes - offset]
        _fill(stored.data, reader, source, entry.start + offset)
        changed = _replaced(stored, replacements, offset)
        if total is None:
            yield stored.data, changed.data
        else:
            rows = changed.view(STORAGE[entry.dtype]).reshape(-1, total.columns)
            summed = total.block(rows, offset // total.row_bytes)
            yield stored.data, summed.reshape(-1).view(np.uint8).data


def _fill(room: memoryview, reader: BlockReader, source: Path, start: int) -> None:
    filled = 0
    for block in reader.blocks(source, start, start + len(room)):
        room[filled : filled + len(block)] = block
        filled += len(block)


def _replaced(stored: Array, replacements: tuple[Replacement, ...], offset: int) -> Array:
    if not replacements:
        return stored
    changed = stored.copy()
    for replacement in replacements:
        replacement.replace(changed, offset)
    return changed


class StoppedError(Exception):
    """Raised in a worker when the others have failed; never seen outside."""


class Meter:
    """Bytes done by several threads, and a way to stop them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.done_bytes = 0

    def advance(self, size_bytes: int) -> None:
        """Count bytes; StoppedError when the work has been called off."""
        if self._stopped.is_set():
            raise StoppedError
        with self._lock:
            self.done_bytes += size_bytes

    def stop(self) -> None:
        """Let every worker end at its next block."""
        self._stopped.set()
