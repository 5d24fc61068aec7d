"""Tables of text, comma-separated or tab-separated: rows with the line that each begins in, under a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchmgr.errors import NotFoundError, RequestError

TABLES = {".csv": ",;\t", ".tsv": "\t"}
"""Endings of files that hold a table, with what may stand between its cells."""


@dataclass(frozen=True)
class Row:
    """One row of a table: its cells by column, white space taken off."""

    columns: tuple[str, ...]
    """Of the header, as they stand there."""
    cells: tuple[str, ...]


def is_table(path: Path) -> bool:
    """Whether a file holds a table, by its ending."""
    return path.suffix.lower() in TABLES


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Each row with where it stands, ``facts.csv, line 3``; rows without any text are passed over.

    The first row that holds text is the header. A ``.csv`` may have commas, semicolons or tabs between its cells: that
    counts which its header has most of.

    Raises:
        NotFoundError: the file is not there or cannot be read.
        RequestError: it is not UTF-8, its quotes do not match, or a row has more or fewer cells than the header.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = "there is no" if isinstance(error, FileNotFoundError) else f"cannot read ({error.strerror}) the"
        raise NotFoundError(f"{reason} file {str(path)!r}", hint="give a file of JSON lines, JSON or CSV") from None
    rows = _rows(_text(data, path.name), path)
    header = next(rows, None)
    if header is None:
        return
    columns = header[1]
    for where, cells in rows:
        if len(cells) != len(columns):
            raise RequestError(
                f"{where}: {len(cells)} cells, and the header has {len(columns)}",
                hint='put a cell that holds the separator or a quote into "…", and write "" for a quote in it',
            )
        yield where, Row(columns, cells)


def _text(data: bytes, name: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RequestError(f"{name}: it is UTF-16", hint="save it as CSV in UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RequestError(
            f"{name}, line {line}: byte {error.start + 1} is not UTF-8", hint="save it as CSV in UTF-8"
        ) from None


def _rows(text: str, path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Rows with text in them; cells are stripped."""
    separator = _separator(text, TABLES[path.suffix.lower()])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    while True:
        where = f"{path.name}, line {line}"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise RequestError(f"{where}: not CSV ({error})", hint="look at its quotes") from None
        if cells is None:
            return
        line = reader.line_num + 1
        stripped = tuple(cell.strip() for cell in cells)
        if any(stripped):
            yield where, stripped


def _separator(text: str, allowed: Sequence[str]) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(allowed, key=lambda each: (header.count(each), -allowed.index(each)))
