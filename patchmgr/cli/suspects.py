"""Packages that are found to be behind something, with their edits, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from patchmgr.cli import render

if TYPE_CHECKING:
    from patchmgr.package.manifest import Manifest
    from patchmgr.request import EditRequest

SHOWN_EDITS = 10


def suspect_text(manifest: Manifest, edits: Sequence[EditRequest], *, remark: str = "") -> str:
    """A package: what it is, who made it and why, and its first edits."""
    head = [
        ("package", f"{manifest.reference}{f'  ({remark})' if remark else ''}"),
        ("digest", manifest.digest),
        ("made", f"{manifest.created} by {manifest.author}, method {manifest.method.name}"),
        ("message", manifest.message or "-"),
    ]
    parts = [render.fields(head, 9)]
    rows = [[edit.text, edit.target_true or "", edit.target_new] for edit in edits[:SHOWN_EDITS]]
    if rows:
        parts.append(render.table(rows, ["PROMPT", "WAS", "NOW"]))
    if len(edits) > SHOWN_EDITS:
        parts.append(f"… and {len(edits) - SHOWN_EDITS} more: patchmgr show {manifest.reference} --edits")
    return "\n\n".join(parts)


def suspect_json(manifest: Manifest, edits: Sequence[EditRequest]) -> dict[str, Any]:
    """The same as JSON values; of the edits what they say, without their probes."""
    return {
        "reference": manifest.reference,
        "digest": manifest.digest,
        "author": manifest.author,
        "created": manifest.created,
        "message": manifest.message,
        "method": manifest.method.name,
        "edits": [edit_json(edit) for edit in edits],
    }


def edit_json(edit: EditRequest) -> dict[str, Any]:
    """What an edit says, without its probes."""
    return edit.model_dump(mode="json", include={"id", "prompt", "subject", "target_new", "target_true", "relation"})
