"""Broken inputs made of whole ones: bytes cut, doubled and turned, JSON values exchanged for hostile ones.

One source of chance decides everything, so that a seed repeats it and the coverage-guided fuzzer can use it as its own.
"""

from __future__ import annotations

import json
import random
import sqlite3
import struct
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from patchmgr.canonical import canonical_json

LARGEST_BYTES = 1 << 20
DEEP = 3000
"""Nesting beyond what any parser here follows."""

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 2**31, 2**63 - 1, 2**63, 2**64, 2**64 - 1, -(2**63) - 1, 10**300, 10**4000,
    0.5, -0.0, 1e308, float("nan"), float("inf"), "", "x", "{}", "{}{}", "\0", "\n", "\x7f", "\ud800", "é", "e\u0301",
    "../../etc/passwd", "/etc/passwd", "C:\\x", "~nobody/x", "a" * 5000, "0" * 64, "f" * 63, "v1", "BF16", "F4", "F64",
    "http://[", "0000-00-00T00:00:00Z", [], {}, [[]], [{}], [None], [0, 2**64 - 1], {"": ""}, {"a": float("nan")},
)  # fmt: skip
RAW = (
    b"", b"\0", b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\ud800", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf",
    b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"0x", b"\n", b"\r", b"\n\n", b"#", b"=", b"[[",
    b"1979-05-27T07:32:00Z", b"[" * DEEP, b"{\"a\":" * DEEP, b"a." * DEEP, b"9999999999999999999",
)  # fmt: skip


def mutate(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds, changed in one to four places; JSON as values, everything else as bytes."""
    data = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        change = rng.choice((_json_value, _json_value, _json_line, _header, _bytes))
        data = change(rng, data)
    return data[:LARGEST_BYTES]


def mutate_database(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A database with a cell that holds what no program wrote there, or with broken bytes."""
    data = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 2))):
        data = _cell(rng, data) if rng.random() < 0.5 else _page(rng, data)
    return data


def _bytes(rng: random.Random, data: bytes) -> bytes:
    start = rng.randint(0, len(data))
    stop = min(len(data), start + rng.choice((0, 1, 1, 8, 64)))
    what = rng.randrange(5)
    if what == 0:
        return data[:start] + rng.choice(RAW) + data[stop:]
    if what == 1:
        return data[:start] + data[stop:]
    if what == 2 and start < len(data):
        return data[:start] + bytes([data[start] ^ 1 << rng.randrange(8)]) + data[start + 1 :]
    if what == 3:
        return data[:start] + data[start:stop] * rng.choice((2, 50)) + data[stop:]
    return data[:start]


def _json_line(rng: random.Random, data: bytes) -> bytes:
    """The same within one line of JSON lines, or a line doubled, moved or taken out."""
    lines = data.splitlines(keepends=True) or [b""]
    place = rng.randrange(len(lines))
    what = rng.randrange(4)
    if what == 0:
        lines.insert(rng.randint(0, len(lines)), lines[place])
    elif what == 1:
        lines.append(lines.pop(place))
    elif what == 2:
        del lines[place]
    else:
        lines[place] = _json_value(rng, lines[place])
    return b"".join(lines)


def _json_value(rng: random.Random, data: bytes) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return _bytes(rng, data)
    return _dumped(rng, _exchanged(rng, value))


def _header(rng: random.Random, data: bytes) -> bytes:
    """The JSON or the length of a safetensors header, the rest as it was."""
    if len(data) < 8 or struct.unpack("<Q", data[:8])[0] > len(data) - 8:
        return _bytes(rng, data)
    (length,) = struct.unpack("<Q", data[:8])
    text, rest = data[8 : 8 + length], data[8 + length :]
    if rng.random() < 0.2:
        length = rng.choice((0, 1, length - 1, length + 1, 2**31, 2**60, 2**64 - 1))
        return struct.pack("<Q", max(0, length)) + text + rest
    text = _json_value(rng, text) if rng.random() < 0.8 else _bytes(rng, text)
    return struct.pack("<Q", len(text)) + text + rest


def _exchanged(rng: random.Random, value: Any) -> Any:
    """A JSON value in which one, at any depth, is another, gone or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(sorted(value))
        what = rng.random()
        rest = {key: inner for key, inner in value.items() if key != name}
        if what < 0.1:
            return rest
        if what < 0.2:
            odd = rng.choice([text for text in HOSTILE if isinstance(text, str)])
            return {**rest, odd: value[name]}
        return {**value, name: _exchanged(rng, value[name])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value + [value[place]] * rng.choice((1, 1, 200))
        return [*value[:place], _exchanged(rng, value[place]), *value[place + 1 :]]
    return _nested(rng) if rng.random() < 0.05 else rng.choice(HOSTILE)


def _nested(rng: random.Random) -> Any:
    """A value so deep that some parser can follow it and what comes after cannot."""
    value: Any = 0
    for _ in range(rng.choice((50, 200, 400, 800))):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def _dumped(rng: random.Random, value: Any) -> bytes:
    try:
        return canonical_json(value)
    except (ValueError, RecursionError):
        pass
    try:
        return json.dumps(value, sort_keys=rng.random() < 0.5).encode() + b"\n"
    except (ValueError, RecursionError):
        return b"[" * DEEP


def _page(rng: random.Random, data: bytes) -> bytes:
    """Bytes of a page turned, or the file cut off."""
    if rng.random() < 0.1:
        return data[: rng.randrange(len(data))]
    at, change = rng.randrange(len(data)), bytearray(data)
    for offset in range(at, min(len(data), at + rng.choice((1, 1, 4, 200, 4096)))):
        change[offset] = rng.choice((0, 255, change[offset] ^ 1 << rng.randrange(8), rng.randrange(256)))
    return bytes(change)


def _cell(rng: random.Random, data: bytes) -> bytes:
    """A cell of some table holds another value; triggers and rules look away."""
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.deserialize(data)
            connection.executescript("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF")
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            table = rng.choice([name for name in sorted(tables) if "search" not in name])
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            for (trigger,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'events%'"
            ).fetchall():
                connection.execute(f"DROP TRIGGER {trigger}")
            value = rng.choice([each for each in HOSTILE if _fits(each)])
            connection.execute(f"UPDATE {table} SET {rng.choice(columns)} = ?", (value,))
            connection.commit()
            return connection.serialize()
        except (sqlite3.Error, OverflowError, IndexError, UnicodeError):
            return _page(rng, data)


def _fits(value: Any) -> bool:
    if isinstance(value, str):
        return "\ud800" not in value
    return value is None or isinstance(value, float) or (isinstance(value, int) and -(2**63) <= value < 2**63)


Mutation = Callable[[random.Random, Sequence[bytes]], bytes]
