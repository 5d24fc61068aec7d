"""The requests of ``patchmgr edit``: one on the command line, or those of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.cli import render
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.request import EditRequest


def single_request(
    prompt: str | None, subject: str | None, target: str | None, *, from_file: bool, optional: bool = False
) -> tuple[EditRequest, ...]:
    """The edit on the command line; nothing when there is a file, or when none is given and none is needed."""
    from patchmgr.request import parse_request

    given = {"prompt": prompt, "subject": subject, "target_new": target}
    given = {key: value for key, value in given.items() if value is not None}
    if from_file and given:
        raise UsageError("--edits and --prompt exclude each other", hint="put the edit into the file")
    if from_file or (optional and not given):
        return ()
    if prompt is None or target is None:
        raise UsageError("nothing to edit is given", hint="give --edits FILE, or --prompt, --subject and --target")
    return (parse_request(given, where="--prompt"),)


def requests_of(registry: Manager, path: Path, *, quiet: bool) -> tuple[EditRequest, ...]:
    """The requests of a file; whatever of it could not be used is remarked on.

    Raises:
        NotFoundError: there is no such file.
        RequestError: it cannot be read as a data set.
    """
    read = registry.convert(path)
    left_out = {**read.reasons, **read.probe_reasons}
    for reason, count in left_out.items():
        render.remark(f"{path.name}: left out {count}: {reason}", quiet=quiet)
    return read.requests
