"""Where something of a version may lie beside its rows and blobs: what can be erased, and what can only be told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr_registry import Event
from patchmgr_registry.event_filter import EventFilter

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.request import EditRequest
    from patchmgr_registry import VersionRecord

_SHORTEST = 4
"""Characters of a text that is looked for; shorter ones are found everywhere."""
_LARGEST_BYTES = 64 * 1024 * 1024
"""Of a file in which texts are looked for; larger ones hold weights."""


def scratch(manager: Manager, version: VersionRecord, requests: Sequence[EditRequest]) -> tuple[Path, ...]:
    """Scratch folders in which a killed command left something of the version, or one of its texts."""
    wanted, sizes = _needles(requests), {file.size_bytes for file in version.files if file.size_bytes > 0}
    return tuple(
        folder
        for folder in sorted((manager.settings.home / "tmp").glob("*-*"))
        if any(_holds(path, wanted, sizes, version) for path in folder.rglob("*") if path.is_file())
    )


def copies(manager: Manager) -> tuple[Path, ...]:
    """Copies of the database that were made before it was upgraded or replaced."""
    return tuple(sorted(manager.settings.home.glob("registry.db.before-*")))


def left_elsewhere(manager: Manager, version: VersionRecord, requests: Sequence[EditRequest]) -> tuple[str, ...]:
    """What holds something of a version, or may, and is not touched: a line each."""
    registry, lines = manager.registry, []
    same = set(registry.same_edits(version.digest))
    if version.kind == "memory":
        later = registry.summaries(version.package)
        same |= {each.reference for each in later if each.number > version.number and each.kind == "memory"}
    if same:
        lines.append(f"the same edits are in {', '.join(sorted(same))}: forget these too")
    names = registry.package_names()
    on_it = [each for name in names for each in _summaries(manager, name) if version.digest in each.parent_packages]
    if on_it:
        lines.append(
            f"{', '.join(each.reference for each in on_it)} was computed on it and cannot be attested any more"
        )
    events = [event for page in registry.event_pages(EventFilter(package=version.package)) for event in page]
    places = {thing.name for event in events if _is_about(event, version) for thing in event.of_kind("remote")}
    if places:
        lines.append(f"it lies, or lay, at {', '.join(sorted(places))}: take it out there, and of the Hub's cache here")
    telling = [str(event.sequence) for event in events if _tells(event, requests)]
    if telling:
        lines.append(f"event {', '.join(telling)} holds words of it in its command line, and events cannot be changed")
    if any(_is_about(event, version) and event.action in ("export", "push") for event in events):
        lines.append("it was exported or pushed: files outside this home are their owners'")
    return tuple(lines)


def _summaries(manager: Manager, name: str) -> Sequence[VersionRecord]:
    from patchmgr.errors import NotFoundError

    try:
        return manager.registry.versions(name)
    except NotFoundError:  # all of them are forgotten
        return ()


def _is_about(event: Event, version: VersionRecord) -> bool:
    return any(thing.digest == version.digest for thing in event.objects)


def _tells(event: Event, requests: Sequence[EditRequest]) -> bool:
    said = "\n".join((*event.command, *(thing.name for thing in event.objects if thing.kind == "conflict")))
    return any(text in said for text in _texts(requests))


def _texts(requests: Sequence[EditRequest]) -> Iterator[str]:
    """The words that say what an edit is about; prompts only with their subject in them."""
    for request in requests:
        for text in (request.text, request.subject or "", request.target_new):
            if len(text) >= _SHORTEST:
                yield text


def _needles(requests: Sequence[EditRequest]) -> tuple[bytes, ...]:
    """What a file that holds an edit holds: its prompt as JSON writes it, with or without escapes."""
    texts = {text for request in requests for text in (request.prompt, request.text) if len(text) >= _SHORTEST}
    return tuple(
        json.dumps(text, ensure_ascii=ascii_only).encode() for text in sorted(texts) for ascii_only in (True, False)
    )


def _holds(path: Path, wanted: Sequence[bytes], sizes: set[int], version: VersionRecord) -> bool:
    from patchmgr.canonical import sha256_file

    try:
        size_bytes = path.stat().st_size
        if size_bytes in sizes and sha256_file(path) in {file.sha256 for file in version.files}:
            return True
        if size_bytes > _LARGEST_BYTES:
            return False
        data = path.read_bytes()
    except OSError:  # cleared away meanwhile
        return False
    return any(needle in data for needle in wanted)
