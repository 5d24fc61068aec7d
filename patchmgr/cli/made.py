"""A package that was made, or would be, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from patchmgr.cli import render
from patchmgr.cli.scores import score_lines
from patchmgr.package.reader import EDITS

if TYPE_CHECKING:
    from patchmgr.manager.edit import EditPreview, EditResult


def made_json(result: EditResult) -> dict[str, Any]:
    """A package that was made."""
    version = result.version
    return {
        "reference": version.reference,
        "digest": version.digest,
        "size_bytes": version.size_bytes,
        "scores": [score.model_dump(mode="json") for score in result.scores],
    }


def made_text(result: EditResult, *, scores: bool = True) -> str:
    """A package that was made, with what it scores."""
    version = result.version
    line = f"{version.reference}  {version.n_edits} edit(s), {render.size(version.size_bytes)}, {version.digest[:12]}"
    return f"{line}\n{score_lines(result.scores)}" if scores else line


def show_made(result: EditResult, model: str, *, json: bool, quiet: bool) -> None:
    """Print a package that was made, and what to do with it next."""
    if json:
        render.emit_json(made_json(result))
        return
    render.emit(made_text(result))
    remark_next(result, model, quiet=quiet)


def remark_next(result: EditResult, model: str, *, quiet: bool) -> None:
    """Say what to do with a package that was made."""
    version = result.version
    whole = {file.sha256 for file in version.files if file.path == EDITS}
    if any(score.dataset_sha256 not in whole for score in result.scores):
        render.remark(f"measured on a part of the edits; on all: patchmgr evaluate {version.reference}", quiet=quiet)
    render.remark(f"next: patchmgr apply {model} {version.reference}", quiet=quiet)


def preview_text(preview: EditPreview) -> str:
    """A package that would be made."""
    values = ", ".join(f"{name}={value}" for name, value in preview.parameters.items())
    return (
        f"would make {preview.reference}: {preview.n_edits} edit(s) by {preview.method} "
        f"on {', '.join(preview.on) or 'the base'}\n{values}"
    )


def show_preview(preview: EditPreview, *, json: bool) -> None:
    """Print a package that would be made."""
    if json:
        render.emit_json({"preview": asdict(preview)})
    else:
        render.emit(preview_text(preview))


def remark_subjects(found: tuple[str, ...], *, quiet: bool) -> None:
    """Say which subjects no request named."""
    if found:
        some = ", ".join(repr(subject) for subject in found[:5])
        render.remark(f"{len(found)} subject(s) found in the prompts: {some}{', …' if found[5:] else ''}", quiet=quiet)
