"""Where something of a version may lie beside its rows and blobs: what is erased, and what can only be told."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.canonical import sha256_file
from patchmgr.manager.erasing import mentions
from patchmgr.manager.states import has_own_folder
from patchmgr.package.reader import EDITS
from patchmgr.request import SUBJECT_MARK
from patchmgr_registry import Event, GenerationRecord
from patchmgr_registry.event_filter import EventFilter

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.request import EditRequest
    from patchmgr_registry import VersionRecord

_SHORTEST = 4
"""Characters of a text that is looked for; shorter ones are found everywhere."""
_LARGEST_BYTES = 64 * 1024 * 1024
"""Of a file in which texts are looked for; larger ones hold weights, unless they are databases."""
_COPIES = ("backup", "restore")
"""Actions that tell of a backup: its own event is not in it."""
_SENT = ("export", "push")


def left_behind(manager: Manager, version: VersionRecord, requests: Sequence[EditRequest]) -> tuple[Path, ...]:
    """Files and folders of the home that hold something of a version, found by its texts and files.

    They are the texts that it withholds, and what a killed command left of it, in scratch folders or among the blobs.
    """
    home = manager.settings.home
    withheld = [home / "withheld" / f"{file.sha256}.jsonl" for file in version.files if file.path == EDITS]
    wanted, sizes = _needles(requests), {file.size_bytes for file in version.files if file.size_bytes > 0}
    left = (*sorted((home / "tmp").glob("*-*")), *manager.registry.blobs.leftovers())
    return (
        *(path for path in withheld if path.exists()),
        *(path for path in left if any(_holds(file, wanted, sizes, version) for file in _files(path))),
    )


def left_elsewhere(
    manager: Manager, version: VersionRecord, requests: Sequence[EditRequest], generations: Sequence[GenerationRecord]
) -> tuple[str, ...]:
    """What holds something of a version, or may, and is not touched: a line each.

    Args:
        manager: the registry.
        version: the version.
        requests: its edits.
        generations: those that were made with it and have a folder.
    """
    registry, lines = manager.registry, []
    same = set(registry.about_the_same(version.digest))
    if version.kind == "memory":
        later = registry.summaries(version.package)
        same |= {each.reference for each in later if each.number > version.number and each.kind == "memory"}
    if same:
        lines.append(f"the same edits, or others of its subjects, are in {', '.join(sorted(same))}: forget these too")
    of_all = (each for name in registry.package_names() for each in registry.summaries(name))
    on_it = [each.reference for each in of_all if version.digest in each.parent_packages]
    if on_it:
        lines.append(f"{', '.join(on_it)} was computed on it and cannot be attested any more")
    lines += [
        f"generation {each.number} of {each.model} lies in {each.folder}, not in this home: delete it yourself"
        for each in generations
        if not has_own_folder(manager, each)
    ]
    return (*lines, *_told_by_events(manager, version, requests))


def _told_by_events(manager: Manager, version: VersionRecord, requests: Sequence[EditRequest]) -> Iterator[str]:
    texts = frozenset(_texts(requests))
    about, telling, copies = [], [], []
    for page in manager.registry.event_pages(EventFilter()):
        about += [event for event in page if _is_about(event, version)]
        telling += [event for event in page if _tells(event, texts)]
        copies += [event for event in page if about and event.sequence > about[0].sequence and event.action in _COPIES]
    places = {thing.name for event in about for thing in event.of_kind("remote")}
    if places:
        yield f"it lies, or lay, at {', '.join(sorted(places))}: take it out there, and of the Hub's cache here"
    if telling:
        yield f"event {_numbers(telling)} holds words of it, and events cannot be changed"
    if any(event.action in _SENT for event in about):
        yield "it was exported or pushed: files outside this home are their owners'"
    if written := [event for event in about if event.action == "write-out"]:
        yield f"it is in what was written out (event {_numbers(written)}): delete these checkpoints yourself"
    if copies:
        yield f"backups were made or used since it came (event {_numbers(copies)}): thin them out yourself"


def _numbers(events: Sequence[Event]) -> str:
    return ", ".join(str(event.sequence) for event in events)


def _is_about(event: Event, version: VersionRecord) -> bool:
    return any(thing.digest == version.digest for thing in event.objects)


def _tells(event: Event, texts: Collection[str]) -> bool:
    said = "\n".join((*event.command, *(thing.name for thing in event.objects)))
    return any(text in said for text in texts)


def _texts(requests: Sequence[EditRequest]) -> Iterator[str]:
    """The words that say what an edit is about; prompts only with their subject in them."""
    for request in requests:
        for text in (request.text, request.subject or "", request.target_new):
            if len(text) >= _SHORTEST:
                yield text


def _needles(requests: Sequence[EditRequest]) -> tuple[bytes, ...]:
    """What a file that holds an edit holds, as JSON writes it: its subject, or a prompt that is without one."""
    named = [request.subject if SUBJECT_MARK in request.prompt else None for request in requests]
    said = {name or request.prompt for name, request in zip(named, requests, strict=True)}
    texts = {text for text in (*said, *(request.text for request in requests)) if len(text) >= _SHORTEST}
    return tuple(
        json.dumps(text, ensure_ascii=ascii_only).encode() for text in sorted(texts) for ascii_only in (True, False)
    )


def _files(path: Path) -> Iterator[Path]:
    return (file for file in (path, *path.rglob("*")) if file.is_file())


def _holds(path: Path, wanted: Sequence[bytes], sizes: Collection[int], version: VersionRecord) -> bool:
    if path.name.startswith("registry.db"):  # of a backup or a restore
        return mentions(path, [version.digest.encode(), *wanted])
    try:
        size_bytes = path.stat().st_size
        if size_bytes in sizes and sha256_file(path) in {file.sha256 for file in version.files}:
            return True
    except OSError:  # cleared away meanwhile
        return False
    return size_bytes <= _LARGEST_BYTES and mentions(path, wanted)
