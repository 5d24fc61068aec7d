"""What taking packages or edits out came to, or would come to, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from patchmgr.cli import render
from patchmgr.cli.made import made_json, made_text, preview_text
from patchmgr.cli.outcomes import outcome_text, plan_json, plan_text
from patchmgr.cli.scores import score_lines
from patchmgr.cli.survival import rebased_json, survival_lines

if TYPE_CHECKING:
    from patchmgr.manager.remaking.reverting import Reverted, RevertPreview


def show_reverted(done: Reverted, *, json: bool) -> None:
    """Print what was taken out, and what was made for that."""
    if json:
        render.emit_json(
            {
                "outcome": None if done.outcome is None else asdict(done.outcome),
                "made": None if done.made is None else made_json(done.made),
                "rebased": [rebased_json(each) for each in done.rebased],
                "measured": None
                if done.measured is None
                else [score.model_dump(mode="json") for score in done.measured.scores],
            }
        )
        return
    parts = [] if done.made is None else [made_text(done.made)]
    parts += [f"{made_text(each.edit, scores=False)}\n{survival_lines(each.survival)}" for each in done.rebased]
    if done.outcome is not None:
        parts.append(outcome_text(done.outcome))
    if done.measured is not None:
        parts.append(score_lines(done.measured.scores))
    render.emit("\n\n".join(parts))


def show_revert_preview(found: RevertPreview, *, json: bool) -> None:
    """Print what would be taken out, and what would be made for that."""
    if json:
        render.emit_json({"plan": plan_json(found.plan), "made": [asdict(preview) for preview in found.made]})
    else:
        render.emit("\n\n".join([plan_text(found.plan), *map(preview_text, found.made)]))
