"""Anchors: the hash of the chain's last event, noted where whoever can change the registry cannot.

A file of anchors is JSON Lines; a line has ``sequence`` and ``sha256`` and, for people, ``time``, ``host``, ``actor``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.canonical import canonical_json
from patchmgr.durable import storing, sync_folder
from patchmgr.errors import FormatError, NotFoundError, UsageError
from patchmgr.hub.reference import SCHEME, HubReference
from patchmgr_registry import Anchor, timestamp

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

ANCHORS_FILE = "anchors.jsonl"
"""Its name in a repository of the Hub."""
_MOST_BYTES = 64 * 2**20
_DIGEST_DIGITS = 64


@dataclass(frozen=True)
class Anchored:
    """An anchor that was made, and where it was put."""

    anchor: Anchor
    place: str | None
    """A file, or a commit on the Hub; None: nowhere, it was only asked for."""


def make_anchor(manager: Manager, *, file: Path | None = None, hub: str | None = None) -> Anchored:
    """Note where the chain ends; it is checked first, so that nobody notes a broken one.

    Args:
        manager: the registry.
        file: a line is added to it.
        hub: ``org/name``: a line is added to ``anchors.jsonl`` there, instead. A private repository is made where there
            is none.

    Raises:
        IntegrityError: the chain is broken.
        UsageError: both are given, or there is no event yet.
        StorageError: the file cannot be written.
        ConflictError: the repository holds something else, or was changed meanwhile.
        HubError: the Hub cannot be reached, or refuses.
    """
    from patchmgr.manager.audit.trail import verify_audit

    if file is not None and hub is not None:
        raise UsageError("a file and the Hub exclude each other", hint="run it once for each")
    report = verify_audit(manager)
    if not report.n_events:
        raise UsageError("there is no event yet, so there is nothing to note", hint="run it after the first change")
    anchor = Anchor(report.n_events, report.head_sha256)
    origin = manager.origin
    who = {"time": timestamp(), "host": origin.host, "actor": origin.actor}
    line = canonical_json({"sequence": anchor.sequence, "sha256": anchor.sha256, **who})
    place = None
    if file is not None:
        _append(file, line)
        place = str(file)
    if hub is not None:
        from patchmgr.hub.appending import append_line

        place = append_line(_repo_id(hub), ANCHORS_FILE, line, message=f"event {anchor.sequence}")
    return Anchored(anchor, place)


def read_anchors(source: str) -> tuple[Anchor, ...]:
    """The anchors in a file, or in a repository of the Hub (``hf://org/name``, with ``@REVISION`` at that one).

    Raises:
        NotFoundError: there is no such file or repository.
        FormatError: a line is no anchor; names it.
        HubError: the Hub cannot be reached.
    """
    if source.startswith(SCHEME):
        from patchmgr.hub.appending import read_appended

        reference = HubReference.parse(source)
        return parse_anchors(read_appended(reference.repo_id, reference.which or None, ANCHORS_FILE), where=source)
    try:
        with Path(source).open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise NotFoundError(f"{source!r} cannot be read: {error.strerror}", hint="give a file of anchors") from None
    return parse_anchors(data, where=source)


def parse_anchors(data: bytes, *, where: str) -> tuple[Anchor, ...]:
    """Anchors from their lines; FormatError names the first line that is none."""
    if len(data) > _MOST_BYTES:
        raise FormatError(f"{where} is larger than {_MOST_BYTES} bytes, so it holds no anchors")
    lines = enumerate(data.splitlines(), start=1)
    found = tuple(_parsed(line, f"line {number} of {where}") for number, line in lines if line.strip())
    if not found:
        raise FormatError(f"{where} holds no anchor", hint="`patchmgr audit anchor -o FILE` writes one")
    return found


def all_anchors(sources: Iterable[str]) -> tuple[Anchor, ...]:
    """Those of several files and repositories."""
    return tuple(anchor for source in sources for anchor in read_anchors(source))


def _parsed(line: bytes, where: str) -> Anchor:
    try:
        value = json.loads(line)
        sequence, sha256 = value["sequence"], value["sha256"]
        if type(sequence) is int and sequence > 0 and isinstance(sha256, str) and len(sha256) == _DIGEST_DIGITS:
            return Anchor(sequence, sha256)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise FormatError(f"{where} is no anchor", hint="it has `sequence` and `sha256`; was it changed?")


def _append(file: Path, line: bytes) -> None:
    """One write at the end, so that two that anchor at once lose nothing."""
    with storing(f"the anchor in {file}"):
        is_new = not file.exists()
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)
        if is_new:
            sync_folder(file.absolute().parent)


def _repo_id(text: str) -> str:
    reference = HubReference.parse(text)
    if reference.which:
        raise UsageError(f"{text!r} names a revision, and anchors are added to the newest", hint="write org/name")
    return reference.repo_id
