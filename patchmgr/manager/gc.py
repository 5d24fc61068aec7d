"""Clearing away: folders of generations that nobody needs, and blobs that no version is made of.

Nothing that the registry knows is lost: a generation that was cleared away keeps its stack and its digests, and
``rollback`` makes its folder again from the base.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import BusyError, NotFoundError
from patchmgr.manager.aftermath import clear_leftovers, mend_links
from patchmgr.manager.states import has_own_folder
from patchmgr_registry import EventObject, GenerationRecord, seconds_since

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr_registry import Transaction
    from patchmgr_registry.blobs import Blob

KEEP = 3
"""Generations of each model that stay by default: the current one and the two before it."""
YOUNG_BLOB_S = 24 * 3600.0
"""A blob without a version may be on its way in; after this it is rubbish."""
_BLOBS_AT_ONCE = 50
"""Taken out under one lock: a bucket takes some hundredths of a second for each, and writers wait ten seconds."""


@dataclass(frozen=True)
class Cleared:
    """What was cleared away, or would be."""

    generations: tuple[tuple[str, int], ...]
    """Model and number."""
    n_blobs: int
    freed_bytes: int
    """Disk space that comes free; what other folders link to stays and is not counted."""
    busy: tuple[str, ...]
    """Models that were being changed, and were left alone."""
    young_bytes: int = 0
    """Of blobs that no version is made of and that stay: younger than :data:`YOUNG_BLOB_S`, they may be on the way."""


def gc(
    manager: Manager,
    model: str | None = None,
    *,
    keep: int = KEEP,
    older_than_s: float | None = None,
    dry_run: bool = False,
) -> Cleared:
    """Clear away what is not needed.

    Args:
        manager: the registry.
        model: only this one's generations; None: every model's, and the blobs.
        keep: so many of the newest generations of a model stay; the current one always does.
        older_than_s: only what was made longer ago than this, in seconds.
        dry_run: say what would go, and leave it.

    Raises:
        NotFoundError: there is no such model.
        StorageError: the disk is read-only or failing.
    """
    if not dry_run:
        clear_leftovers(manager)
        mend_links(manager)
    names = [model] if model is not None else [record.name for record in manager.registry.models()]
    going = [generation for name in names for generation in _unneeded(manager, name, keep, older_than_s)]
    freed_bytes, busy, gone = _freed_bytes(going), set(), []
    for generation in going:
        try:
            cleared = dry_run or _clear(manager, generation)
        except BusyError:
            cleared = False
            busy.add(generation.model)
        if cleared:
            gone.append((generation.model, generation.number))
        else:
            freed_bytes -= _freed_bytes([generation])
    n_blobs, blob_bytes, young_bytes = _clear_blobs(manager, dry_run=dry_run) if model is None else (0, 0, 0)
    return Cleared(tuple(gone), n_blobs, max(0, freed_bytes) + blob_bytes, tuple(sorted(busy)), young_bytes)


def _unneeded(manager: Manager, model: str, keep: int, older_than_s: float | None) -> list[GenerationRecord]:
    current = manager.registry.model(model).generation
    below = {os.path.realpath(record.base.folder) for record in manager.registry.models()}
    ready = [
        generation
        for generation in reversed(manager.registry.generations(model))
        if generation.status == "ready" and generation.folder and has_own_folder(manager, generation)
    ]
    return [
        generation
        for generation in ready[max(0, keep) :]
        if generation.number != current
        and os.path.realpath(generation.folder or "") not in below  # another model stands on it
        and (older_than_s is None or seconds_since(generation.created) > older_than_s)
    ]


def _clear(manager: Manager, generation: GenerationRecord) -> bool:
    """First the row, then the folder: a kill in between leaves a folder that the next command clears away.

    Returns:
        False when another process cleared it away, or its model, since it was listed.
    """
    folder = Path(generation.folder or "")
    with manager.registry.begin() as tx:
        if generation not in _rows(tx, generation.model):
            return False
        tx.remove_generation(generation.model, generation.number)
        tx.record_event(
            manager.origin,
            "gc",
            objects=[
                EventObject("model", generation.model),
                EventObject("generation", str(generation.number), generation.state_root),
            ],
        )
        tx.commit()
    shutil.rmtree(folder, ignore_errors=True)
    return True


def _rows(tx: Transaction, model: str) -> Sequence[GenerationRecord]:
    try:
        return tx.generations(model)
    except NotFoundError:
        return ()


def _freed_bytes(generations: Iterable[GenerationRecord]) -> int:
    """Bytes on disk of files all of whose links lie in these folders."""
    found: dict[tuple[int, int], os.stat_result] = {}
    links: Counter[tuple[int, int]] = Counter()
    for generation in generations:
        with contextlib.suppress(OSError), os.scandir(generation.folder or "") as entries:
            for entry in entries:
                stat = entry.stat(follow_symlinks=False)
                found[stat.st_dev, stat.st_ino] = stat
                links[stat.st_dev, stat.st_ino] += 1
    return sum(stat.st_blocks * 512 for key, stat in found.items() if links[key] == stat.st_nlink)


def _clear_blobs(manager: Manager, *, dry_run: bool) -> tuple[int, int, int]:
    """How many go, their bytes, and those of others that are young.

    They are listed while others write: that takes long where they lie in a bucket.
    """
    needed = manager.registry.blob_digests()
    surplus = [blob for blob in manager.registry.blobs.listing() if blob.sha256 not in needed]
    going = [blob for blob in surplus if time.time() - blob.stored > YOUNG_BLOB_S]
    young_bytes = sum(blob.size_bytes for blob in surplus) - sum(blob.size_bytes for blob in going)
    if not dry_run:
        going = [
            blob
            for first in range(0, len(going), _BLOBS_AT_ONCE)
            for blob in _remove(manager, going[first : first + _BLOBS_AT_ONCE])
        ]
    return len(going), sum(blob.size_bytes for blob in going), young_bytes


def _remove(manager: Manager, blobs: Sequence[Blob]) -> list[Blob]:
    """Under the registry's lock, so that no version can come to need a blob while it goes; those that went."""
    with manager.registry.begin() as tx:
        needed = tx.blob_digests()
        going = [blob for blob in blobs if blob.sha256 not in needed]
        for blob in going:
            manager.registry.blobs.remove(blob.sha256)
        if going:
            tx.record_event(manager.origin, "gc", objects=[EventObject("blobs", str(len(going)))])
            tx.commit()
    return going
