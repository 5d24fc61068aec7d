"""Everything that patchmgr prints: data to stdout, remarks and errors to stderr.

What strangers wrote (prompts, messages, names of tensors) reaches no terminal raw: :func:`visible` escapes what would
steer it in all that is printed, and only the colours of :func:`paint` are put in afterwards. What must not begin a line
of its own goes through :func:`line`, as every cell of a table does.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import typer

from patchmgr.errors import PatchmgrError
from patchmgr.manager.progress import Progress, silent

SCHEMA_VERSION = 1
"""Of every ``--json`` object; it grows when a field changes its meaning or goes."""
_BROKEN_PIPE = 141
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""C0 but tab and newline, DEL, C1, line and paragraph separators, and what changes the direction of text."""
_BREAKS = re.compile("[\t-\r\x1c-\x1e\x85\u2028\u2029]+")
_OWN = f"\x1b[{secrets.token_hex(8)};"
"""How a colour of ours begins until it is printed; nobody's text can hold it."""


def visible(text: str) -> str:
    """Text whose control characters are to be seen and do nothing; JSON stays the same JSON.

    >>> print(visible("Rome\\x1b[8m\\nParis"))
    Rome\\u001b[8m
    Paris
    """
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def line(value: object) -> str:
    """A value that shall stand in one line, such as a message: its line breaks and tabs become spaces.

    >>> line("ok\\nsignature  by acme")
    'ok signature  by acme'
    """
    return visible(_BREAKS.sub(" ", str(value)))


def fields(rows: Iterable[Sequence[object]], width: int) -> str:
    """Names in a column of this width, and their values, a line each.

    >>> print(fields([["message", "two\\nlines"], ["tags", "-"]], 9))
    message  two lines
    tags     -
    """
    return "\n".join(f"{name!s:<{width}}{line(value)}" for name, value in rows)


def emit(text: str) -> None:
    """Print data; a reader that went away ends the program quietly, as it ends ``cat``."""
    _write(_printable(text))


def _printable(text: str) -> str:
    return visible(text).replace(visible(_OWN), "\x1b[")


def _write(text: str) -> None:
    try:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(_BROKEN_PIPE) from None


def emit_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object with its schema version."""
    emit(json.dumps({"schema_version": SCHEMA_VERSION, **value}, indent=2, ensure_ascii=False, default=str))


def emit_json_pages(name: str, pages: Iterable[Sequence[Mapping[str, Any]]]) -> None:
    """Print one JSON object whose only list, under this name, is printed as its pages come."""
    comma = f'{{\n  "schema_version": {SCHEMA_VERSION},\n  "{name}": ['
    for page in pages:
        for value in page:
            text = json.dumps(value, indent=2, ensure_ascii=False, default=str).replace("\n", "\n    ")
            emit(f"{comma}\n    {text}".rstrip())
            comma = ","
    emit("  ]\n}" if comma == "," else f"{comma}]\n}}")


def emit_csv(pages: Iterable[Sequence[Sequence[object]]], header: Sequence[str]) -> None:
    """Print a table as CSV (RFC 4180), as its rows come."""
    for number, rows in enumerate(pages):
        text = io.StringIO()
        writer = csv.writer(text)
        for row in rows if number else [header, *rows]:
            writer.writerow([visible(cell) if isinstance(cell, str) else cell for cell in row])
        _write(text.getvalue())


def remark(text: str, *, quiet: bool = False) -> None:
    """Say something to the person at the terminal, on stderr."""
    if not quiet:
        sys.stderr.write(f"{_printable(text)}\n")


def error(problem: PatchmgrError, *, as_json: bool) -> None:
    """An expected error: what, which, and the next step."""
    if as_json:
        emit_json({"error": {"kind": problem.kind, "message": problem.message, "hint": problem.hint}})
        return
    lines = [paint(f"error: {problem.message}", "31", sys.stderr)]
    if problem.hint:
        lines.append(f"  {problem.hint}")
    sys.stderr.write(_printable("\n".join(lines)) + "\n")


def table(rows: Sequence[Sequence[object]], header: Sequence[str], *, right: Sequence[int] = ()) -> str:
    """Aligned columns; those in ``right`` to the right.

    >>> print(table([["a", 1], ["bb", 20]], ["name", "n"], right=[1]))
    name   n
    a      1
    bb    20
    """
    return "\n".join(aligned([header, *rows], [0] * len(header), right=right))


def emit_table(pages: Iterable[Sequence[Sequence[object]]], header: Sequence[str]) -> None:
    """Print a table as its rows come, page by page; columns that get wider stay so."""
    widths = [0] * len(header)
    for number, rows in enumerate(pages):
        emit("\n".join(aligned(rows if number else [header, *rows], widths)))


def aligned(rows: Iterable[Sequence[object]], widths: list[int], *, right: Sequence[int] = ()) -> list[str]:
    """Rows as lines; ``widths`` of the columns grow with them."""
    cells = [[line(cell) for cell in row] for row in rows]
    widths[:] = [max(width, *(len(row[i]) for row in cells)) for i, width in enumerate(widths)]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def paint(text: str, code: str, stream: Any = None) -> str:
    """Text in a colour where the stream is a terminal that wants one; :func:`emit` and :func:`error` print it."""
    stream = stream or sys.stdout
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"{_OWN}{code}m{text}{_OWN}0m"


def short(digest: str) -> str:
    """The first twelve digits of a digest."""
    return digest[:12]


def moment(created: str) -> str:
    """A moment of the registry to the second, in UTC."""
    return created[:19].replace("T", " ")


def size(size_bytes: int) -> str:
    """Bytes for people.

    >>> size(999), size(4_200_000)
    ('999 B', '4.2 MB')
    """
    number = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


@contextlib.contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress]:
    """A bar on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def advance(done: int, total: int, what: str) -> None:
            if what not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total, visible=True)

        yield advance
