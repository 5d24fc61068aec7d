"""Texts to take statistics from: plain text, JSON lines and parquet, read piece by piece.

A plain text is one document. In JSON lines and parquet every record is one, its text in the field ``text``, or in the
only field that holds text; ``FILE#FIELD`` names another. ``.gz`` may follow the ending of text and JSON lines.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

from patchmgr.errors import FormatError, NotFoundError, UsageError

FIELD = "text"
_PIECE_CHARACTERS = 65_536
_BATCH_RECORDS = 256
Format = Literal["text", "jsonl", "parquet"]


@dataclass(frozen=True)
class Corpus:
    """A file of texts."""

    path: Path
    format: Format
    field: str | None = None
    """Of a record; None: :data:`FIELD`, or the only one that holds text."""

    def documents(self) -> Iterator[Iterable[str]]:
        """The documents in their order, each as pieces that follow one another; only a piece is in memory.

        Raises:
            FormatError: a record cannot be read; names the line.
            UsageError: no field holds the text, or several might.
        """
        if self.format == "text":
            with self._open() as file:
                yield iter(lambda: file.readline(_PIECE_CHARACTERS), "")
        else:
            records = self._json_lines() if self.format == "jsonl" else self._parquet()
            field = self.field
            for where, record in records:
                if field is None:
                    field = _text_field(record, where)
                if field not in record:
                    names = ", ".join(record) or "none"
                    raise UsageError(f"{where}: there is no field {field!r}", hint=f"FILE#FIELD names one of {names}")
                text = record[field]
                if not isinstance(text, str | None):
                    raise FormatError(f"{where}: field {field!r} is no text", hint="name another by FILE#FIELD")
                if text:
                    yield (text,)

    def _open(self) -> IO[str]:
        if self.path.suffix.lower() == ".gz":
            return cast("IO[str]", gzip.open(self.path, "rt", encoding="utf-8", errors="replace"))
        return self.path.open(encoding="utf-8", errors="replace")

    def _json_lines(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        with self._open() as lines:
            for number, line in enumerate(lines, start=1):
                where = f"{self.path.name}, line {number}"
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise FormatError(f"{where}: not JSON ({error})", hint="each line is one JSON object") from None
                if not isinstance(record, dict):
                    raise FormatError(f"{where}: this is no object", hint='each line is an object such as {"text": …}')
                yield where, record

    def _parquet(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        module = _parquet_module()
        try:
            file = module.ParquetFile(self.path)
        except (OSError, ValueError) as error:
            raise FormatError(f"{self.path.name} is no parquet file: {error}", hint="check the file") from None
        names = file.schema_arrow.names
        columns = [self.field] if self.field in names else None if self.field else [FIELD] if FIELD in names else None
        number = 0
        for batch in file.iter_batches(batch_size=_BATCH_RECORDS, columns=columns):
            for record in batch.to_pylist():
                number += 1
                yield f"{self.path.name}, record {number}", record


def open_corpus(path: Path) -> Corpus:
    """A corpus by its name, ``FILE`` or ``FILE#FIELD``; its first bytes are read, to see that it can be.

    Raises:
        NotFoundError: there is no such file, or it cannot be read.
        UsageError: what reads parquet is not installed, or a plain text has no fields.
    """
    name, mark, field = path.name.rpartition("#")
    if not mark or path.exists():
        name, field = path.name, ""
    file = path.with_name(name) if field else path
    try:
        file.open("rb").close()
    except OSError as error:
        reason = "there is no" if isinstance(error, FileNotFoundError) else f"cannot read ({error.strerror}) the"
        raise NotFoundError(f"{reason} corpus file {str(file)!r}", hint="give a text file, or none at all") from None
    format = _format_of(file)
    if format == "text" and field:
        raise UsageError(f"{file.name} is plain text, and has no field {field!r}", hint="leave out what follows #")
    if format == "parquet":
        _parquet_module()
    return Corpus(file, format, field or None)


def _format_of(path: Path) -> Format:
    endings = [ending.lower() for ending in path.suffixes if ending.lower() != ".gz"]
    last = endings[-1] if endings else ""
    return "jsonl" if last in (".jsonl", ".ndjson") else "parquet" if last == ".parquet" else "text"


def _text_field(record: Mapping[str, Any], where: str) -> str:
    texts = [name for name, value in record.items() if isinstance(value, str)]
    if FIELD in record:
        return FIELD
    if len(texts) != 1:
        raise UsageError(
            f"{where}: there is no field {FIELD!r}", hint=f"FILE#FIELD names one of {', '.join(texts) or 'none'}"
        )
    return texts[0]


def _parquet_module() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UsageError("parquet needs pyarrow", hint="pip install 'patchmgr[parquet]', or give JSON lines") from None
    return pyarrow.parquet
