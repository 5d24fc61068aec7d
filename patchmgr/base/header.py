"""The header of a safetensors file: where each tensor's bytes lie, read strictly and written always alike.

A safetensors file is an 8-byte little-endian length N, N bytes of JSON, then the data. The library of that name gives
tensors but neither their offsets nor a streaming writer, and patchmgr copies bytes without building tensors.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from patchmgr.errors import FormatError

DTYPE_BITS: Mapping[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
    "C64": 64,
}  # fmt: skip
HEADER_LIMIT_BYTES = 100_000_000
_MOST_AXES = 64
ALIGNMENT_BYTES = 4096
"""Data starts at a multiple of this in every file that patchmgr writes, so that it can be written unbuffered."""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of one file; ``start`` and ``end`` are offsets in the file, in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """Bytes that the tensor's data takes."""
        return self.end - self.start


@dataclass(frozen=True)
class Header:
    """All tensors of a file in the order of their bytes, and the file's own metadata."""

    tensors: tuple[TensorEntry, ...]
    data_start: int
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole file."""
        return self.tensors[-1].end if self.tensors else self.data_start


def read_header(path: Path, *, limit_bytes: int = HEADER_LIMIT_BYTES) -> Header:
    """The header of a safetensors file, every field checked.

    Args:
        path: of the file.
        limit_bytes: a longer header is not read.

    Raises:
        FormatError: the file is cut off, its header is no JSON, or an entry does not fit its bytes; names the entry.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        length = header_length(file.read(8), size_bytes, path.name, limit_bytes=limit_bytes)
        return parse_header(file.read(length), size_bytes, path.name)


def header_length(prefix: bytes, size_bytes: int, file: str, *, limit_bytes: int = HEADER_LIMIT_BYTES) -> int:
    """Bytes of the JSON that follows the first eight of a file.

    Args:
        prefix: those eight.
        size_bytes: of the whole file.
        file: its name, for messages.
        limit_bytes: a longer header is refused.

    Raises:
        FormatError: there are not eight, or the header is longer than the file or the limit.
    """
    if len(prefix) < 8:
        raise _damaged(file, "it is shorter than 8 bytes")
    length = int(struct.unpack("<Q", prefix)[0])
    if length > limit_bytes or length > size_bytes - 8:
        raise _damaged(file, f"its header claims {length} bytes of {size_bytes}")
    return length


def parse_header(raw: bytes, size_bytes: int, file: str) -> Header:
    """The header from its JSON, every field checked; errors as those of :func:`read_header`.

    Args:
        raw: what follows the first eight bytes of the file, as long as they say.
        size_bytes: of the whole file.
        file: its name, for messages.
    """
    data_start = 8 + len(raw)
    try:
        table = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _damaged(file, f"its header is not JSON ({error})") from None
    if not isinstance(table, dict):
        raise _damaged(file, "its header is not an object")
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged(file, "__metadata__ is not a table of strings")
    tensors = tuple(sorted((_entry(file, name, value, data_start) for name, value in table.items()), key=_position))
    _check_layout(file, tensors, data_start, size_bytes)
    return Header(tensors, data_start, metadata)


def encode_header(tensors: Iterable[TensorEntry], metadata: Mapping[str, str]) -> bytes:
    """Length and JSON of a header for these tensors laid end to end in this order, padded to the alignment.

    Offsets of ``tensors`` are not used, only their order and sizes.
    """
    table: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for tensor in tensors:
        end = offset + tensor.size_bytes
        table[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT_BYTES)
    return struct.pack("<Q", len(text)) + text


def _entry(file: str, name: str, value: Any, data_start: int) -> TensorEntry:
    try:
        dtype, shape, (begin, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise _damaged(file, f"entry {name!r} lacks dtype, shape or data_offsets") from None
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise _damaged(file, f"entry {name!r} has a name that is no text")
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise _damaged(file, f"entry {name!r} has the unknown dtype {dtype!r}")
    if len(shape) > _MOST_AXES:
        raise _damaged(file, f"entry {name!r} has {len(shape)} axes")
    numbers = (*shape, begin, end)
    if not all(isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**63 for number in numbers):
        raise _damaged(file, f"entry {name!r} has a shape or offset that is no count")
    if (end - begin) * 8 != prod(shape) * DTYPE_BITS[dtype]:
        raise _damaged(file, f"entry {name!r} is {end - begin} bytes, which is not {dtype} {list(shape)}")
    return TensorEntry(name, dtype, shape, data_start + begin, data_start + end)


def _check_layout(file: str, tensors: tuple[TensorEntry, ...], data_start: int, size_bytes: int) -> None:
    position = data_start
    for tensor in tensors:
        if tensor.start != position:
            raise _damaged(file, f"entry {tensor.name!r} starts at byte {tensor.start}, not at {position}")
        position = tensor.end
    if position != size_bytes:
        raise _damaged(file, f"its tensors end at byte {position}, the file at {size_bytes}")


def _position(tensor: TensorEntry) -> tuple[int, int]:
    return tensor.start, tensor.end


def _damaged(file: str, reason: str) -> FormatError:
    return FormatError(f"{file} is not a whole safetensors file: {reason}", hint="fetch or write it again")
