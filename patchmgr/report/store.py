"""Reports as files: the ending of a name is its format, and a file is there as a whole or as it was before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from patchmgr.durable import store_file
from patchmgr.errors import UsageError
from patchmgr.output import check_output
from patchmgr.report.comparison import Comparison
from patchmgr.report.contract import Report
from patchmgr.report.document import Document

Value = Report | Comparison


def check_report_files(paths: Iterable[Path]) -> None:
    """Refuse names that no report can be stored under, before anything is measured.

    Raises:
        UsageError: an ending that is not known.
        NotFoundError: the folder is not there.
        ConflictError: something that is no file has that name.
    """
    for path in paths:
        if path.suffix.lower() not in _FORMATS:
            raise UsageError(
                f"{path.name!r} does not say what kind of report it shall be",
                hint=f"let it end in {', '.join(_FORMATS)}",
            )
        check_output(path)


def write_reports(value: Value, paths: Iterable[Path]) -> None:
    """Store a report under each name; a file that is there is replaced.

    Raises:
        UsageError: an ending that is not known.
        StorageError: the disk is full, read-only or failing.
    """
    paths = tuple(paths)
    check_report_files(paths)
    for path in paths:
        store_file(_FORMATS[path.suffix.lower()](value).encode(), path, what=f"the report {path.name}")


def _json(value: Value) -> str:
    from patchmgr.report.json import render_json

    return render_json(value)


def _markdown(value: Value) -> str:
    from patchmgr.report.markdown import render_markdown

    return render_markdown(document_of(value))


def _html(value: Value) -> str:
    from patchmgr.report.html import render_html

    return render_html(document_of(value))


_FORMATS: Mapping[str, Callable[[Value], str]] = {".html": _html, ".md": _markdown, ".json": _json}


def document_of(value: Value) -> Document:
    """The pages' blocks."""
    from patchmgr.report.contest import comparison_document
    from patchmgr.report.evaluation import evaluation_document

    return evaluation_document(value) if isinstance(value, Report) else comparison_document(value)
