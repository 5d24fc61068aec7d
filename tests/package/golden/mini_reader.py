"""A reader of edit packages written from ``docs/format.md`` alone: the standard library and zstd, nothing of patchmgr.

It is slow and obvious. The tests hold patchmgr against it; whoever writes a reader in another language may start here.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

COMPANIONS = {
    "README.md", "model.sig", "adapter_config.json", "adapter_model.safetensors", "LICENSE", "LICENSE.md",
    "LICENSE.txt", "NOTICE", "NOTICE.txt", ".gitattributes", ".gitignore",
}  # fmt: skip
CONFIG_FILES = ["config.json", "generation_config.json"]
TOKENIZER_FILES = [
    "added_tokens.json", "chat_template.jinja", "chat_template.json", "merges.txt", "special_tokens_map.json",
    "spiece.model", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt",
]  # fmt: skip
ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


class Tensor(NamedTuple):
    dtype: str
    shape: list[int]
    data: bytes


class Float(NamedTuple):
    """A binary floating-point format: its width, the bits of its fraction, and its exponents' bias, all in bits."""

    width: int
    fraction: int
    bias: int


FORMATS = {"F32": Float(32, 23, 127), "F16": Float(16, 10, 15), "BF16": Float(16, 7, 127)}


# §2


def canonical(value: Any) -> str:
    """Canonical JSON without the newline at the end."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, str):
        signs = [ESCAPES.get(sign) or (f"\\u{ord(sign):04x}" if sign < " " else sign) for sign in value]
        return '"' + "".join(signs) + '"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def canonical_bytes(value: Any) -> bytes:
    return canonical(value).encode() + b"\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# §3, §4, §15


def read_package(folder: Path) -> dict[str, Any]:
    """The manifest, every other file checked against it."""
    raw = (folder / "patch.json").read_bytes()
    manifest: dict[str, Any] = json.loads(raw)
    require(canonical_bytes(manifest) == raw, "patch.json is canonical")
    require(manifest["format_version"] == 1, "format version 1")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    require(there - {"patch.json"} - COMPANIONS == set(manifest["files"]) - COMPANIONS, "the files are those listed")
    for name, record in manifest["files"].items():
        data = (folder / name).read_bytes()
        require(len(data) == record["size_bytes"] and sha256(data) == record["sha256"], f"{name} is as listed")
    lines = (folder / "edits.jsonl").read_bytes().splitlines()
    require(sum(bool(line.strip()) for line in lines) == manifest["n_edits"] > 0, "as many edits as listed")
    return manifest


def package_digest(folder: Path) -> str:
    return sha256((folder / "patch.json").read_bytes())


def read_safetensors(path: Path) -> dict[str, Tensor]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = Tensor(entry["dtype"], entry["shape"], data[start:end])
    return tensors


class Product(NamedTuple):
    """U·V, §6."""

    u: list[list[Fraction]]
    v: list[list[Fraction]]


class Values(NamedTuple):
    """A number for some positions of the flat tensor, §6."""

    at: dict[int, Fraction]


class Xor(NamedTuple):
    """What the base's bytes are combined with, §6."""

    bits: bytes


def read_deltas(folder: Path, manifest: dict[str, Any]) -> dict[str, Product | Values | Xor]:
    """The delta of every touched tensor, §6."""
    arrays = read_safetensors(folder / "weights.safetensors")
    deltas = {}
    for touched in manifest["tensors"]:
        name, shape, encoding = touched["name"], touched["shape"], touched["encoding"]
        require(encoding in PARTS, "an encoding of this version")
        require(encoding == "xor" or touched["dtype"] in FORMATS, "something can be added to the dtype")
        parts = [arrays.pop(f"{name}/{part}") for part in PARTS[encoding]]
        rows, columns = math.prod(shape[:-1]), shape[-1] if shape else 1
        deltas[name] = READERS[encoding](parts, shape, rows, columns, touched["dtype"])
    require(not arrays, "no array is left over")
    return deltas


def read_lowrank(parts: list[Tensor], shape: list[int], rows: int, columns: int, dtype: str) -> Product:
    u, v = parts
    require(u.dtype == v.dtype == "F32" and u.shape[1] == v.shape[0], "U and V go together")
    require([u.shape[0], v.shape[1]] == shape, "U and V have the tensor's shape")
    return Product(rows_of(u), rows_of(v))


def read_dense(parts: list[Tensor], shape: list[int], rows: int, columns: int, dtype: str) -> Values:
    require(parts[0].dtype == "F32" and parts[0].shape == shape, "values have the tensor's shape")
    return Values(dict(enumerate(numbers_of(parts[0]))))


def read_sparse(parts: list[Tensor], shape: list[int], rows: int, columns: int, dtype: str) -> Values:
    indices = rising(parts[0], rows * columns)
    require(parts[1].dtype == "F32" and parts[1].shape == [len(indices)], "a value for each index")
    return Values(dict(zip(indices, numbers_of(parts[1]), strict=True)))


def read_columns(parts: list[Tensor], shape: list[int], rows: int, columns: int, dtype: str) -> Values:
    indices = rising(parts[0], columns)
    require(parts[1].dtype == "F32" and parts[1].shape == [rows, len(indices)], "a value for each row and index")
    positions = [row * columns + index for row in range(rows) for index in indices]
    return Values(dict(zip(positions, numbers_of(parts[1]), strict=True)))


def read_xor(parts: list[Tensor], shape: list[int], rows: int, columns: int, dtype: str) -> Xor:
    import zstandard

    frames, sizes = parts
    left, bits = frames.data, b""
    size, item = rows * columns * BITS[dtype] // 8, max(1, BITS[dtype] // 8)
    require(frames.dtype == "U8" and len(frames.shape) == 1, "frames are bytes")
    require(sizes.dtype == "I64" and sizes.shape == [-(-size // CHUNK)], "a size for each chunk")
    for (length,) in struct.iter_unpack("<q", sizes.data):
        wanted = min(CHUNK, size - len(bits))
        chunk, frame, left = bytes(wanted), left[:length], left[length:]
        require(length >= 0 and len(frame) == length, "the frames are as long as listed")
        if length:
            header = zstandard.get_frame_parameters(frame)
            require(header.content_size == wanted and not header.dict_id, "the frame is one chunk")
            chunk = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
            require(len(chunk) == wanted, "the frame gives one chunk")
        planes = wanted // item
        bits += bytes(chunk[place * planes + element] for element in range(planes) for place in range(item))
    require(not left, "no frame is left over")
    return Xor(bits)


CHUNK = 4 * 1024 * 1024
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
    "C64": 64,
}  # fmt: skip
PARTS = {
    "lowrank": ["U", "V"],
    "dense": ["values"],
    "sparse": ["indices", "values"],
    "columns": ["indices", "values"],
    "xor": ["frames", "sizes"],
}
READERS = {
    "lowrank": read_lowrank,
    "dense": read_dense,
    "sparse": read_sparse,
    "columns": read_columns,
    "xor": read_xor,
}


def rising(tensor: Tensor, limit: int) -> list[int]:
    require(tensor.dtype == "I64" and len(tensor.shape) == 1, "indices are whole numbers in a row")
    indices = [index for (index,) in struct.iter_unpack("<q", tensor.data)]
    require(all(0 <= index < limit for index in indices), "every index is in range")
    require(all(one < next_ for one, next_ in itertools.pairwise(indices)), "indices rise")
    return indices


def require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"not so: {what}")


# §12, §13


def merkle_root(tensors: dict[str, Tensor]) -> str:
    leaves = [
        hashlib.sha256(b"\x00" + canonical_bytes([name, tensor.dtype, tensor.shape, sha256(tensor.data)])).digest()
        for name, tensor in sorted(tensors.items())
    ]
    return subtree(leaves).hex()


def subtree(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + subtree(leaves[:k]) + subtree(leaves[k:])).digest()


def files_digest(folder: Path, names: list[str]) -> str:
    there = [name for name in names if (folder / name).is_file()]
    return sha256(canonical_bytes({name: sha256((folder / name).read_bytes()) for name in there}))


def state_root(folder: Path, tensors: dict[str, Tensor]) -> str:
    return sha256(
        canonical_bytes(
            {
                "config": files_digest(folder, CONFIG_FILES),
                "memories": [],
                "tokenizer": files_digest(folder, TOKENIZER_FILES),
                "weights": merkle_root(tensors),
            }
        )
    )


# §14


def exact_v1(tensor: Tensor, deltas: list[Product | Values | Xor]) -> Tensor:
    """The tensor of a state from that of the base and all deltas on it."""
    replacing = [delta for delta in deltas if isinstance(delta, Xor)]
    require(len(replacing) < 2, "one package at most replaces the tensor")
    if replacing:
        data = bytes(one ^ other for one, other in zip(tensor.data, replacing[0].bits, strict=True))
        tensor = Tensor(tensor.dtype, tensor.shape, data)
    added = [delta for delta in deltas if not isinstance(delta, Xor)]
    if not added:
        return tensor
    kind, columns = FORMATS[tensor.dtype], tensor.shape[-1] if tensor.shape else 1
    result = [
        element(bits, kind, *divmod(index, columns), index, added) for index, bits in enumerate(elements_of(tensor))
    ]
    size = kind.width // 8
    return Tensor(tensor.dtype, tensor.shape, b"".join(bits.to_bytes(size, "little") for bits in result))


def element(bits: int, kind: Float, i: int, j: int, index: int, added: list[Product | Values]) -> int:
    values = [delta.at.get(index, Fraction(0)) for delta in added if isinstance(delta, Values)]
    products = [delta for delta in added if isinstance(delta, Product)]
    left = any(any(delta.u[i]) for delta in products)
    right = any(any(row[j] for row in delta.v) for delta in products)
    if not any(values) and not (left and right):
        return bits
    terms = values + [delta.u[i][k] * delta.v[k][j] for delta in products for k in range(len(delta.v))]
    total = value_of(bits, kind) + sum(terms)
    if total:
        return nearest(total, kind)
    return bits if value_of(bits, kind) == 0 else 0


def value_of(bits: int, kind: Float) -> Fraction:
    """The exact value of a stored element."""
    exponent = bits >> kind.fraction & ((1 << (kind.width - kind.fraction - 1)) - 1)
    fraction = bits & ((1 << kind.fraction) - 1)
    require(exponent + 1 < 1 << (kind.width - kind.fraction - 1), "the element is finite")
    if exponent:
        fraction += 1 << kind.fraction
    magnitude = fraction * Fraction(2) ** (max(exponent, 1) - kind.bias - kind.fraction)
    return -magnitude if bits >> (kind.width - 1) else magnitude


def nearest(value: Fraction, kind: Float) -> int:
    """The element nearest to a number that is not zero, ties to the even one."""
    sign, magnitude, exponent = int(value < 0), abs(value), 1
    while magnitude >= Fraction(2) ** (exponent + 1 - kind.bias):
        exponent += 1
    quotient = magnitude / Fraction(2) ** (exponent - kind.bias - kind.fraction)
    steps = round(quotient)  # Python rounds a fraction's ties to even
    bits = (exponent - 1 << kind.fraction) + steps  # a carry goes over into the exponent as it should
    value_of(bits, kind)
    return sign << (kind.width - 1) | bits


def elements_of(tensor: Tensor) -> list[int]:
    size = FORMATS[tensor.dtype].width // 8
    return [int.from_bytes(tensor.data[at : at + size], "little") for at in range(0, len(tensor.data), size)]


def numbers_of(tensor: Tensor) -> list[Fraction]:
    return [value_of(bits, FORMATS[tensor.dtype]) for bits in elements_of(tensor)]


def rows_of(tensor: Tensor) -> list[list[Fraction]]:
    (rows, columns), values = tensor.shape, numbers_of(tensor)
    return [values[row * columns : (row + 1) * columns] for row in range(rows)]


# §16


def event_digest(event: dict[str, Any]) -> str:
    return sha256(canonical_bytes({name: value for name, value in event.items() if name != "sha256"}))
