"""CSV and TSV: a request a row, with our own names of fields as columns, or the usual other ones."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from patchmgr.errors import RequestError
from patchmgr.readers.contract import Case, LeftOut, Reader
from patchmgr.readers.tables import Row
from patchmgr.request import parse_request

NAMES: Mapping[str, tuple[str, ...]] = {
    "prompt": ("question",),
    "subject": ("entity",),
    "target_new": ("target", "new_target", "new_answer"),
    "target_true": ("ground_truth", "true_target", "old_target", "old_answer"),
    "relation": ("relation_id",),
    "id": ("case_id",),
    "rephrasings": ("rephrasing", "rephrase", "rephrases", "rephrase_prompt", "paraphrase", "paraphrases"),
    "locality_prompt": ("locality_prompts",),
    "locality_target": ("locality_targets", "locality_answer", "locality_ground_truth"),
    "portability_prompt": ("portability_prompts",),
    "portability_target": ("portability_targets", "portability_answer", "portability_ground_truth"),
}
"""Columns, each with the other names that it may have."""
NEEDED = ("prompt", "target_new")
_ONE = ("prompt", "subject", "target_new", "target_true", "relation", "id")
_MEANING = {name: field for field, others in NAMES.items() for name in (field, *others)}
_PART = re.compile(r"(?<!\\)\|")
"""What stands between the texts of a cell that holds several; ``\\|`` is a bar."""


class CsvTable(Reader):
    """A header and a row for each request."""

    name = "csv"
    description = "CSV or TSV, a request a row"
    paper = "docs/datasets.md"

    def recognises(self, record: Any) -> bool:
        """A row of a table."""
        return isinstance(record, Row)

    def cases(self, record: Any, where: str, options: Mapping[str, str]) -> Iterator[Case | LeftOut]:
        """One request; a cell under a column that means nothing here is left out.

        Raises:
            RequestError: a column is missing, stands twice or seems misspelt, or a cell is empty that must not be.
        """
        if not isinstance(record, Row):
            raise RequestError(f"{where}: this is no row of a table", hint="name the file *.csv or *.tsv")
        meanings = _meanings(record.columns, where)
        value: dict[str, Any] = {}
        cells = [
            (column, field, cell) for column, field, cell in zip(record.columns, meanings, record.cells, strict=True)
        ]
        for column, field, cell in cells:
            if field is None and cell:
                yield LeftOut(where, "probe", f"the column {column!r} is not one of ours")
            elif field in _ONE and cell:
                value[field] = cell
            elif field in NEEDED:
                raise RequestError(f"{where}: the column {column!r} is empty", hint="every request needs it")
        several = {field: _texts(field, cells) for field in NAMES if field not in _ONE}
        value["rephrasings"] = several["rephrasings"]
        for group in ("locality", "portability"):
            value[group] = _probes(group, several, where)
        yield (parse_request(value, where=where),)


def _meanings(columns: tuple[str, ...], where: str) -> tuple[str | None, ...]:
    """The field that each column gives; None for one that is not ours."""
    plain = [re.sub(r"[\s-]+", "_", column.strip().lower()) for column in columns]
    found = [_MEANING.get(re.sub(r"_\d+$", "", name)) or _MEANING.get(name) for name in plain]
    file = where.partition(", line")[0]
    for column, name, field in zip(columns, plain, found, strict=True):
        close = difflib.get_close_matches(name, _MEANING, n=1, cutoff=0.8)
        if field is None and close and _MEANING[close[0]] not in found:
            raise RequestError(f"{file}: there is no column {column!r}", hint=f"did you mean {close[0]!r}?")
    for field in NEEDED:
        if field not in found:
            others = ", ".join(NAMES[field])
            raise RequestError(
                f"{file}: no column is called {field!r} (or {others})", hint=f"its columns are {', '.join(columns)}"
            )
    for field in _ONE:
        if found.count(field) > 1:
            both = ", ".join(repr(column) for column, other in zip(columns, found, strict=True) if other == field)
            raise RequestError(f"{file}: several columns give {field!r}: {both}", hint="keep one of them")
    return tuple(found)


def _texts(field: str, cells: list[tuple[str, str | None, str]]) -> list[str]:
    """All texts of a field, over its columns and the parts of each cell."""
    parts = [part for _, other, cell in cells if other == field and cell for part in _PART.split(cell)]
    return [part.strip().replace("\\|", "|") for part in parts]


def _probes(
    group: Literal["locality", "portability"], several: Mapping[str, list[str]], where: str
) -> list[dict[str, str]]:
    prompts, targets = several[f"{group}_prompt"], several[f"{group}_target"]
    if len(prompts) != len(targets):
        raise RequestError(
            f"{where}: {len(prompts)} text(s) under {group}_prompt, and {len(targets)} under {group}_target",
            hint="each prompt needs its target; several stand with | between them, or under …_1, …_2",
        )
    return [{"prompt": prompt, "target": target} for prompt, target in zip(prompts, targets, strict=True)]
