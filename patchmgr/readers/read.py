"""From a file of editing data to edit requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from patchmgr.errors import RequestError, UsageError
from patchmgr.readers.contract import Case, LeftOut, Reader
from patchmgr.readers.detect import choose, complete_options, detect
from patchmgr.readers.records import read_records
from patchmgr.readers.sample import sample
from patchmgr.request import EditRequest


@dataclass(frozen=True)
class Conversion:
    """The requests of a file, and what of it could not be used."""

    format: str
    """Name of the reader."""
    options: Mapping[str, str]
    """Every option of the reader with the value that was used."""
    requests: tuple[EditRequest, ...]
    n_records: int
    """Records in the file."""
    n_usable: int
    """Requests before a limit was drawn."""
    skipped: tuple[LeftOut, ...]
    """Records that cannot become a request."""
    lost_probes: tuple[LeftOut, ...]
    """Probes of usable records that are missing from their requests."""

    @property
    def reasons(self) -> dict[str, int]:
        """Number of skipped records by reason, the most frequent first."""
        return dict(Counter(part.reason for part in self.skipped).most_common())

    @property
    def probe_reasons(self) -> dict[str, int]:
        """Number of lost probes by reason, the most frequent first."""
        return dict(Counter(part.reason for part in self.lost_probes).most_common())

    @property
    def relations(self) -> dict[str, int]:
        """Number of requests by relation, the most frequent first; those without one are not counted."""
        return dict(Counter(request.relation for request in self.requests if request.relation).most_common())


def read_edits(
    path: Path,
    readers: Mapping[str, Reader],
    *,
    format: str | None = None,
    options: Mapping[str, str] | None = None,
    limit: int | None = None,
    seed: int = 0,
    strict: bool = False,
) -> Conversion:
    """The requests of a file in any known format.

    Args:
        path: JSON lines, a JSON array, one JSON object, or a table (``.csv``, ``.tsv``).
        readers: the formats, by name: ``load_plugins().readers``.
        format: name of one; None: told by the first record.
        options: named choices of the format, such as ``{"target": "answers"}`` of zsRE.
        limit: at most so many cases, drawn by relation; a case is one request, save for MQuAKE, where it is all
            rewrites of a record. None: all.
        seed: decides which are drawn.
        strict: a record or probe that cannot be used is an error.

    Raises:
        NotFoundError: the file or the format does not exist.
        RequestError: the file is broken, of no known format, or gives no request; with ``strict`` also when something
            of it cannot be used.
        UsageError: an option that the format does not have, or a limit below 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"the limit is {limit}", hint="give 1 or more, or no limit")
    records = read_records(path)
    first = next(records, None)
    if first is None:
        raise RequestError(f"{path}: no request in it", hint="a file holds JSON lines, an array, an object, or a table")
    reader = choose(format, readers) if format is not None else detect(first[1], first[0], readers)
    chosen = complete_options(reader, options or {})
    sizes: list[int] = []
    cases: list[Case] = []
    left_out: list[LeftOut] = []
    for part in _parts(reader, chain([first], records), chosen, sizes):
        if not isinstance(part, LeftOut):
            cases.append(part)
        elif strict:
            raise RequestError(f"{part.where}: {part.reason}", hint="without --strict it is left out and counted")
        else:
            left_out.append(part)
    if not cases:
        reasons = ", ".join(sorted({part.reason for part in left_out}))
        raise RequestError(f"{path}: no request in it", hint=reasons or f"it was read as {reader.name}")
    drawn = cases if limit is None else sample(cases, limit, seed)
    return Conversion(
        format=reader.name,
        options=chosen,
        requests=tuple(request for case in drawn for request in case),
        n_records=sum(sizes),
        n_usable=sum(len(case) for case in cases),
        skipped=tuple(part for part in left_out if part.what == "record"),
        lost_probes=tuple(part for part in left_out if part.what == "probe"),
    )


def _parts(
    reader: Reader, records: Iterable[tuple[str, Any]], options: Mapping[str, str], sizes: list[int]
) -> Iterator[Case | LeftOut]:
    """What every record gives; the size of each is appended to ``sizes``."""
    for where, record in records:
        yield from reader.cases(record, where, options)
        sizes.append(reader.size(record))
