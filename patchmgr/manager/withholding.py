"""Packages whose author keeps the edits back; what proves them stays in the home."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.canonical import sha256_hex
from patchmgr.durable import store_file, storing
from patchmgr.manager.making import Workpiece
from patchmgr.package.reader import EDITS
from patchmgr.package.withheld import withhold
from patchmgr.package.writer import write_scores

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def withhold_edits(manager: Manager, workpiece: Workpiece, folder: Path) -> Workpiece:
    """Put commitments in the place of a payload's edits.

    The texts and their salts are kept in the home, under ``withheld/`` and the digest of the commitments, readable by
    their owner only: whoever is given that file can check it against the package.

    Raises:
        StorageError: the disk is full, read-only or failing.
    """
    kept = withhold(workpiece.requests)
    scores, cost = (kept.hide(some, workpiece.requests) for some in (workpiece.scores, workpiece.cost))
    with storing("the new package"):
        (folder / EDITS).write_bytes(kept.commitments)
        write_scores(folder, scores)
        place = manager.settings.home / "withheld" / f"{sha256_hex(kept.commitments)}.jsonl"
        place.parent.mkdir(mode=0o700, exist_ok=True)
    store_file(kept.disclosure, place, what="the withheld edits", mode=0o600)
    return replace(workpiece, requests=(), scores=scores, cost=cost)
