"""Exporting the trail as one file, signed where a key is given."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.canonical import canonical_json
from patchmgr.durable import storing, sync_folder
from patchmgr.errors import ConflictError, UsageError
from patchmgr.manager.audit.chain_file import write_chain_file
from patchmgr.manager.audit.file_head import FileHead
from patchmgr.manager.audit.trail import verify_audit
from patchmgr.output import check_output
from patchmgr_registry import Anchor, Event, EventFilter, timestamp

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    file: Path
    head: FileHead
    size_bytes: int
    is_signed: bool


def export_trail(
    manager: Manager, file: Path, *, key: Path | None = None, first: int = 1, last: int | None = None
) -> Exported:
    """Write the chain, or a part of it, to a file; it is checked first, so that nobody signs a broken one.

    Args:
        manager: the registry.
        file: where to; it must not be there.
        key: a private EC key to sign by.
        first: number of the first event.
        last: number of the last; None: the end.

    Raises:
        ConflictError: the file is there already.
        NotFoundError: its folder is not there.
        UsageError: there are no such events, or the file of the key holds none.
        IntegrityError: the chain is broken.
        StorageError: the disk is full, read-only or failing.
    """
    if os.path.lexists(file):
        raise ConflictError(f"{file} is there already", hint="name a new file")
    check_output(file)
    if key is not None:
        from patchmgr.signing.pem import check_private_key

        check_private_key(key)
    report = verify_audit(manager)
    end = report.n_events if last is None else last
    if not 1 <= first <= end + 1 <= report.n_events + 1:
        raise UsageError(f"there are no events {first} to {end}", hint=f"there are {report.n_events}")
    before = _event(manager, first - 1)
    ending = Anchor(report.n_events, report.head_sha256) if end == report.n_events else None
    head = FileHead(
        first=first,
        last=end,
        previous_sha256=before,
        sha256=ending.sha256 if ending else _event(manager, end),
        chain=Anchor(report.n_events, report.head_sha256),
        exported=timestamp(),
        actor=manager.origin.actor,
        host=manager.origin.host,
        program_version=manager.origin.program_version,
    )
    _write(manager, file, head, key)
    return Exported(file, head, file.stat().st_size, key is not None)


def _write(manager: Manager, file: Path, head: FileHead, key: Path | None) -> None:
    with storing(f"the audit trail in {file}"):
        handle, name = tempfile.mkstemp(prefix=f".new-{file.name}-", dir=file.absolute().parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as opened:
                statement = write_chain_file(opened, head, _events(manager, head.first, head.last))
                if key is not None:
                    from patchmgr.signing.dsse import sign_statement

                    opened.write(canonical_json({"signature": sign_statement(statement, key)}))
                opened.flush()
                os.fsync(opened.fileno())
            temporary.chmod(0o644)
            temporary.replace(file)
            sync_folder(file.absolute().parent)
        finally:
            temporary.unlink(missing_ok=True)


def _events(manager: Manager, first: int, last: int) -> Iterator[Event]:
    for page in manager.registry.event_pages(EventFilter(first=first)):
        for event in page:
            if event.sequence > last:
                return
            yield event


def _event(manager: Manager, number: int) -> str:
    """The hash of an event; of none before the first."""
    from patchmgr_registry.events import GENESIS

    return next(_events(manager, number, number)).sha256 if number else GENESIS
