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
from patchmgr.errors import ConflictError, FormatError, NotFoundError, UsageError
from patchmgr.hub.reference import SCHEME, HubReference
from patchmgr.manager.audit.forms import DIGEST, HIGHEST, STAMP
from patchmgr.output import check_output
from patchmgr_registry import Anchor, timestamp

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

ANCHORS_FILE = "anchors.jsonl"
"""Its name in a repository of the Hub."""
_MOST_BYTES = 64 * 2**20
_NEW_FILE = "name a file of anchors, or one that is not there"


@dataclass(frozen=True)
class Anchored:
    """An anchor that was made, and where it was put."""

    anchor: Anchor
    place: str | None
    """A file, or a commit on the Hub; None: nowhere, it was only asked for."""


@dataclass(frozen=True)
class Noted:
    """An anchor that was read."""

    anchor: Anchor
    time: str | None = None
    """When it was noted, by the clock of the machine that did; None: its line does not say."""


@dataclass(frozen=True)
class Notes:
    """The lines of a file of anchors."""

    noted: tuple[Noted, ...]
    n_unfinished: int = 0
    """Lines that a full disk or a kill left half-written; nothing is known of them."""

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """The anchors alone."""
        return tuple(one.anchor for one in self.noted)


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
        StorageError: the file cannot be read or written.
        ConflictError: the file or the repository holds something else, or the latter was changed meanwhile.
        HubError: the Hub cannot be reached, or refuses.
    """
    from patchmgr.manager.audit.trail import verify_audit

    if file is not None and hub is not None:
        raise UsageError("a file and the Hub exclude each other", hint="run it once for each")
    if file is not None:
        _check_place(file)
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
    """The anchors in a file, or in a repository of the Hub, as :func:`read_notes` reads them."""
    return read_notes(source).anchors


def read_notes(source: str) -> Notes:
    """What a file of anchors says, or one in a repository of the Hub (``hf://org/name``, with ``@REVISION`` at that).

    Raises:
        NotFoundError: there is no such file or repository.
        FormatError: a line is no anchor, or none is; names it.
        HubError: the Hub cannot be reached.
    """
    if source.startswith(SCHEME):
        from patchmgr.hub.appending import read_appended

        reference = HubReference.parse(source)
        found = parse_notes(read_appended(reference.repo_id, reference.which or None, ANCHORS_FILE), where=source)
    else:
        try:
            found = parse_notes(_read(Path(source)), where=source)
        except OSError as error:
            raise NotFoundError(f"{source!r} cannot be read: {error.strerror}", hint="give a file of anchors") from None
    if not found.noted:
        raise FormatError(f"{source} holds no anchor", hint="`patchmgr audit anchor -o FILE` writes one")
    return found


def parse_notes(data: bytes, *, where: str) -> Notes:
    """Anchors from their lines; FormatError names the first line that is none and no beginning of one."""
    if len(data) > _MOST_BYTES:
        raise FormatError(f"{where} is larger than {_MOST_BYTES} bytes, so it holds no anchors")
    lines = enumerate(data.splitlines(), start=1)
    found = [_parsed(line, f"line {number} of {where}") for number, line in lines if line.strip()]
    return Notes(tuple(one for one in found if one), found.count(None))


def all_notes(sources: Iterable[str]) -> Notes:
    """Those of several files and repositories."""
    read = [read_notes(source) for source in sources]
    return Notes(tuple(one for notes in read for one in notes.noted), sum(notes.n_unfinished for notes in read))


def _read(path: Path) -> bytes:
    with path.open("rb") as opened:
        return opened.read(_MOST_BYTES + 1)


def _parsed(line: bytes, where: str) -> Noted | None:
    """What a line says; None: it was never finished."""
    try:
        value = json.loads(line)
        sequence, sha256, time = value["sequence"], value["sha256"], value.get("time")
        if type(sequence) is int and 0 < sequence <= HIGHEST and DIGEST.fullmatch(sha256):
            is_moment = isinstance(time, str) and STAMP.fullmatch(time)
            return Noted(Anchor(sequence, sha256), time if is_moment else None)
    except json.JSONDecodeError:
        if line.startswith(b"{") and not line.endswith(b"}"):
            return None
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise FormatError(f"{where} is no anchor", hint="it has `sequence` and `sha256`; was it changed?")


def _check_place(file: Path) -> None:
    """Make sure that a line can be added to a file without spoiling something else."""
    with storing(f"the anchor in {file}"):
        check_output(file)
        if not file.exists():
            return
        try:
            parse_notes(_read(file), where=str(file))
        except FormatError as error:
            raise ConflictError(f"{file} holds something else: {error.message}", hint=_NEW_FILE) from None


def _append(file: Path, line: bytes) -> None:
    """One write at the end, so that two that anchor at once lose nothing; on a line of its own, whatever stands there.

    What a full disk lets through of it stays, since the file may be one that only grows; readers pass over it.
    """
    with storing(f"the anchor in {file}"):
        is_new = not file.exists()
        if not is_new and _read(file)[-1:] not in (b"", b"\n"):
            line = b"\n" + line
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            while line:
                line = line[os.write(handle, line) :]
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
