"""``xor``: the exact difference to the base, tensor by tensor, in the layout that ModelExpress calls XOR_DELTA.

A folder of ``model.safetensors.index.json`` and shards. The index says in ``metadata`` which version this is and on
which it stands. A shard has, for each changed tensor, a ``U8`` array of its name: one zstd frame of the bytes before
XOR the bytes after, and in ``__metadata__`` under that name the Adler-32 of the bytes after, as eight hexadecimal
digits.
(ai-dynamo/modelexpress, docs/S3_DELTA_WEIGHT_REFIT.md and modelexpress_rl/inference/receiver.py.)

Shards are named as the base's files, so that a receiver opens each of those once. Memory is bounded by a row block.
"""

from __future__ import annotations

import hashlib
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar

from patchmgr.base.checkpoint import INDEX_FILE
from patchmgr.base.header import TensorEntry, encode_header
from patchmgr.canonical import canonical_json
from patchmgr.exporters.contract import ExportOptions, ExportSource, Prepared, Progress, Written
from patchmgr.exporters.refusals import refuse_memories, refuse_nothing, refuse_options
from patchmgr.ops.expected import check_digest
from patchmgr.ops.stack import state_root

_LEVEL = 3
"""Of zstd; the frames of a dense change are little smaller at any other."""
_COPY_BYTES = 1 << 20


class XorExporter:
    """Only what changed, as bytes; whoever has the base gets the state to the bit."""

    name: ClassVar[str] = "xor"
    description: ClassVar[str] = "the exact difference to the base, for weight updates of running servers"

    def prepare(self, source: ExportSource, options: ExportOptions) -> Prepared:
        """Look at the stack.

        Raises:
            ConflictError: it has memories, or changes nothing.
        """
        refuse_options(options, self.name, known=())
        hint = "export the model without it: revert it first, or name the packages of weights"
        refuse_memories(source, "a difference of weights", hint=hint)
        refuse_nothing(source, "a difference")

        def write(folder: Path, progress: Progress) -> Written:
            return _Writer(source, folder, progress).run()

        files = {source.base.entry(name)[0] for name in source.sums}
        return Prepared(
            files=(INDEX_FILE, *sorted(files)),
            facts={"tensors": sorted(source.sums), "base_version": state_root(source.known)},
            remarks=(),
            write=write,
        )


@dataclass(frozen=True)
class _Frame:
    """One changed tensor."""

    name: str
    size_bytes: int
    """Of its frame."""
    adler32: str


class _Writer:
    """One run: a shard for each file of the base that holds a changed tensor."""

    def __init__(self, source: ExportSource, folder: Path, progress: Progress) -> None:
        self._source, self._folder, self._progress = source, folder, progress
        self._total = sum(source.base.entry(name)[1].size_bytes for name in source.sums)
        self._done = 0
        self._results: dict[str, str] = {}

    def run(self) -> Written:
        """Write all shards and then the index; IntegrityError when the base or a result is not what it must be."""
        weight_map: dict[str, str] = {}
        for file, header in self._source.base.headers.items():
            touched = [entry for entry in header.tensors if entry.name in self._source.sums]
            weight_map |= dict.fromkeys(self._shard(file, touched), file) if touched else {}
        root = state_root(self._source.known.with_tensors(self._results))
        metadata = {
            "version": root,
            "base_version": state_root(self._source.known),
            "delta_encoding": "xor",
            "compression_format": "zstd",
            "checksum_format": "adler32",
        }
        index = {"metadata": metadata, "weight_map": weight_map}
        (self._folder / INDEX_FILE).write_bytes(canonical_json(index))
        return Written(root)

    def _shard(self, file: str, touched: list[TensorEntry]) -> list[str]:
        """Write one shard, frames first because the header says how long they are; the names of the tensors in it."""
        frames_path = self._folder / f".frames-{file}"
        with frames_path.open("w+b") as spool:
            frames = [found for entry in touched if (found := self._frame(entry, file, spool)) is not None]
            spool.seek(0)
            with (self._folder / file).open("wb") as shard:
                shard.write(encode_header(_entries(frames), {frame.name: frame.adler32 for frame in frames}))
                shutil.copyfileobj(spool, shard, _COPY_BYTES)
        frames_path.unlink()
        if not frames:
            (self._folder / file).unlink()
        return [frame.name for frame in frames]

    def _frame(self, entry: TensorEntry, file: str, spool: BinaryIO) -> _Frame | None:
        """Append one tensor's frame; None: its bytes are the base's, and nothing is appended."""
        import numpy as np
        from zstandard import ZstdCompressor

        from patchmgr.base.blocks import BlockReader
        from patchmgr.ops.shard import summed_spans

        compressor = ZstdCompressor(level=_LEVEL).compressobj(size=entry.size_bytes)
        before, after, adler, differs, start = hashlib.sha256(), hashlib.sha256(), 1, False, spool.tell()
        for stored, summed in summed_spans(BlockReader(), self._source.base.folder / file, entry, self._source.sums):
            before.update(stored)
            after.update(summed)
            adler = zlib.adler32(summed, adler)
            change = np.frombuffer(stored, np.uint8) ^ np.frombuffer(summed, np.uint8)
            differs = differs or bool(change.any())
            spool.write(compressor.compress(change.data))
            self._done += len(stored)
            self._progress(self._done, self._total, "writing (bytes)")
        spool.write(compressor.flush())
        self._check(entry.name, before.hexdigest(), after.hexdigest())
        if not differs:
            spool.seek(start)
            spool.truncate()
            return None
        return _Frame(entry.name, spool.tell() - start, f"{adler:08x}")

    def _check(self, name: str, before: str, after: str) -> None:
        check_digest(name, before, self._source.known.tensors[name].sha256)
        check_digest(name, after, self._source.results.get(name, after))
        self._results[name] = after


def _entries(frames: list[_Frame]) -> list[TensorEntry]:
    return [TensorEntry(frame.name, "U8", (frame.size_bytes,), 0, frame.size_bytes) for frame in frames]
