"""The records of a file: rows of a table by its ending; else JSON lines, a JSON array, or one object by its begin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from patchmgr.errors import NotFoundError, RequestError
from patchmgr.readers.tables import is_table, read_rows

_BOM = b"\xef\xbb\xbf"


def read_records(path: Path) -> Iterator[tuple[str, Any]]:
    """Each record with where it stands, ``data.json, record 3`` or ``data.jsonl, line 3``; counted from 1.

    JSON lines are read one by one; an array, or an object over several lines, is held as a whole. Blank lines and a
    byte order mark are passed over. A table (``.csv``, ``.tsv``) gives a :class:`~patchmgr.readers.tables.Row` each.

    Raises:
        NotFoundError: the file is not there or cannot be read.
        RequestError: it is not JSON, no table, or not UTF-8; names the line.
    """
    if is_table(path):
        yield from read_rows(path)
        return
    try:
        with path.open("rb") as file:
            yield from _records(file, path.name)
    except OSError as error:
        reason = "there is no" if isinstance(error, FileNotFoundError) else f"cannot read ({error.strerror}) the"
        raise NotFoundError(f"{reason} file {str(path)!r}", hint="give a file of JSON lines or JSON") from None


def _records(file: BinaryIO, name: str) -> Iterator[tuple[str, Any]]:
    lines = _lines(file)
    for number, line in lines:
        if line.lstrip().startswith(b"["):
            values = _whole(line, lines, name, number)
            yield from ((f"{name}, record {i}", value) for i, value in enumerate(values, start=1))
            return
        try:
            first = _parse(line)
        except ValueError as error:
            whole = _object(line, lines) if line.lstrip().startswith(b"{") else None
            if whole is None:
                raise _not_json(f"{name}, line {number}", error) from None
            yield name, whole
            return
        yield f"{name}, line {number}", first
        break
    for number, line in lines:
        try:
            value = _parse(line)
        except ValueError as error:
            raise _not_json(f"{name}, line {number}", error) from None
        yield f"{name}, line {number}", value


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers; they may end as on Linux, Windows, or an old Mac."""
    number = 0
    for chunk in file:
        for line in chunk.splitlines():
            number += 1
            text = line.removeprefix(_BOM) if number == 1 else line
            if text.strip():
                yield number, text


def _whole(line: bytes, lines: Iterator[tuple[int, bytes]], name: str, number: int) -> list[Any]:
    """The array that begins with a line and goes to the end of the file."""
    data, numbers = [line], [number]
    for later, text in lines:
        data.append(text)
        numbers.append(later)
    try:
        values = _parse(b"\n".join(data))
    except json.JSONDecodeError as error:
        at = numbers[min(error.lineno, len(numbers)) - 1]
        raise _not_json(f"{name}, line {at}", ValueError(f"{error.msg}, column {error.colno}")) from None
    except ValueError as error:
        raise _not_json(name, error) from None
    assert isinstance(values, list)
    return values


def _object(line: bytes, lines: Iterator[tuple[int, bytes]]) -> dict[str, Any] | None:
    """The one object of a file that begins with a line; None when it is not one."""
    try:
        value = _parse(b"\n".join([line, *(text for _, text in lines)]))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _parse(data: bytes) -> Any:
    """A JSON value; whatever is wrong is a ValueError that people can read."""
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _not_json(where: str, error: ValueError) -> RequestError:
    return RequestError(f"{where}: not JSON ({error})", hint="a file holds JSON lines, one JSON array, or one object")
