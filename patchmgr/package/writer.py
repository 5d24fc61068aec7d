"""Writing a package: payload files first, then the card and the manifest that names them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from patchmgr.canonical import sha256_file
from patchmgr.package.card import render_card
from patchmgr.package.encodings.contract import Array, Delta, Encoding
from patchmgr.package.fields import FileRecord
from patchmgr.package.files import COMPANIONS
from patchmgr.package.manifest import Manifest
from patchmgr.package.memory.bundle import MemoryDraft, write_bundle
from patchmgr.package.reader import CARD, EDITS, MANIFEST, SCORES, STATE, WEIGHTS
from patchmgr.package.scores import Score, dump_scores
from patchmgr.request import EditRequest, dump_requests


def write_payload(
    folder: Path,
    requests: Sequence[EditRequest],
    deltas: Mapping[str, Delta],
    encodings: Mapping[str, Encoding],
    state: Mapping[str, Array],
    scores: Sequence[Score],
    memory: MemoryDraft | None = None,
) -> None:
    """Write everything of a package that does not depend on its name and number."""
    (folder / EDITS).write_bytes(dump_requests(requests))
    if memory is not None:
        write_bundle(folder, memory)
    arrays = {
        f"{tensor}/{part}": array
        for tensor, delta in deltas.items()
        for part, array in encodings[delta.encoding].encode(delta).items()
    }
    if arrays:
        save_file(arrays, folder / WEIGHTS)
    if state:
        save_file({name: np.ascontiguousarray(array) for name, array in state.items()}, folder / STATE)
    write_scores(folder, scores)


def write_scores(folder: Path, scores: Sequence[Score]) -> None:
    """Write the scores, where there are any."""
    if scores:
        (folder / SCORES).write_bytes(dump_scores(scores))


def seal(folder: Path, draft: Manifest, requests: Sequence[EditRequest], scores: Sequence[Score]) -> Manifest:
    """Write the card and the manifest of a folder that holds a payload; calling it again renames the package.

    Args:
        folder: what :func:`write_payload` wrote.
        draft: the manifest, its ``files`` still empty.
        requests: for the card.
        scores: for the card.

    Returns:
        The manifest as written.
    """
    (folder / CARD).write_text(render_card(draft, requests, scores), encoding="utf-8")
    files = {
        name: FileRecord(size_bytes=(folder / name).stat().st_size, sha256=sha256_file(folder / name))
        for name in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        if name != MANIFEST and name not in COMPANIONS
    }
    manifest = draft.model_copy(update={"files": files})
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    return manifest
