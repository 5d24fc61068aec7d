"""A reader of edit packages written from ``docs/format.md`` alone: the standard library, and nothing of patchmgr.

It is slow and obvious. The tests hold patchmgr against it; whoever writes a reader in another language may start here.
"""

from __future__ import annotations

import hashlib
import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

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
    require(there - {"patch.json", "model.sig"} == set(manifest["files"]), "the files are those listed")
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


def read_deltas(folder: Path, manifest: dict[str, Any]) -> dict[str, tuple[list[list[Fraction]], list[list[Fraction]]]]:
    """U and V of every touched tensor, §6."""
    arrays = read_safetensors(folder / "weights.safetensors")
    deltas = {}
    for touched in manifest["tensors"]:
        require(touched["encoding"] == "lowrank", "an encoding of this version")
        u, v = arrays.pop(f"{touched['name']}/U"), arrays.pop(f"{touched['name']}/V")
        require(u.dtype == v.dtype == "F32" and u.shape[1] == v.shape[0], "U and V go together")
        require([u.shape[0], v.shape[1]] == touched["shape"], "U and V have the tensor's shape")
        deltas[touched["name"]] = (rows_of(u), rows_of(v))
    require(not arrays, "no array is left over")
    return deltas


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


def exact_v1(tensor: Tensor, deltas: list[tuple[list[list[Fraction]], list[list[Fraction]]]]) -> Tensor:
    kind, elements = FORMATS[tensor.dtype], elements_of(tensor)
    _, columns = tensor.shape
    result = []
    for index, bits in enumerate(elements):
        i, j = divmod(index, columns)
        terms = [u[i][k] * v[k][j] for u, v in deltas for k in range(len(v))]
        total = value_of(bits, kind) + sum(terms)
        if total:
            result.append(nearest(total, kind))
        else:
            result.append(bits if value_of(bits, kind) == 0 else 0)
    size = kind.width // 8
    return Tensor(tensor.dtype, tensor.shape, b"".join(bits.to_bytes(size, "little") for bits in result))


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


def rows_of(tensor: Tensor) -> list[list[Fraction]]:
    rows, columns = tensor.shape
    values = [value_of(bits, FORMATS[tensor.dtype]) for bits in elements_of(tensor)]
    return [values[row * columns : (row + 1) * columns] for row in range(rows)]


# §16


def event_digest(event: dict[str, Any]) -> str:
    return sha256(canonical_bytes({name: value for name, value in event.items() if name != "sha256"}))
