"""A difference for people: git's signs, one part behind the other, and no line for what is alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from patchmgr.cli.diff_numbers import answers_lines, change, scores_lines, tensor_summary, weights_lines
from patchmgr.cli.diff_words import BOLD, added, arrow, changed, counted, counts, removed, title
from patchmgr.cli.render import paint, short

if TYPE_CHECKING:
    from patchmgr.ops.difference.contract import (
        Difference,
        EditChange,
        EditsDifference,
        FieldChange,
        Side,
        StackDifference,
    )

_LONGEST = 60
"""Characters of a value; the JSON has the whole."""


def difference_text(found: Difference) -> str:
    """Everything that differs."""
    parts = [
        _about(found),
        _stack(found.stack),
        _edits(found.edits),
        weights_lines(found),
        scores_lines(found),
        answers_lines(found.answers),
    ]
    head = [paint(f"{sign} {_heading(side)}", BOLD) for sign, side in (("---", found.a), ("+++", found.b))]
    return "\n\n".join("\n".join(lines) for lines in (head, *map(list, parts)) if lines)


def stat_text(found: Difference) -> str:
    """A line for each part, and one for each tensor."""
    rows: list[tuple[str, str]] = []
    if found.fields:
        rows.append(("about", ", ".join(dict.fromkeys(field.name.partition(".")[0] for field in found.fields))))
    if found.stack is not None and not found.stack.is_empty:
        rows.append(("stack", _stack_summary(found.stack)))
    if found.edits is not None and not found.edits.is_empty:
        rows.append(("edits", _edits_summary(found.edits)))
    if found.weights:
        rows.append(("weights", counted(len(found.weights), "tensor")))
        rows += [(f"  {one.name}", tensor_summary(one)) for one in found.weights]
    if found.scores:
        rows.append(("scores", ", ".join(f"{one.metric} {change(one)}" for one in found.scores)))
    if found.answers is not None and found.answers.differing:
        rows.append(("answers", f"{len(found.answers.differing)} of {found.answers.n_asked} differ"))
    width = max(len(name) for name, _ in rows)
    return "\n".join([arrow(found.a.name, found.b.name), *(f" {name:<{width}} | {text}" for name, text in rows)])


def _heading(side: Side) -> str:
    if side.digest is None:
        return side.name
    facts = side.facts
    if "method" in facts:
        made_of = f"{facts['method']}, {counted(facts['n_edits'], 'edit')}"
    else:
        made_of = ", ".join(facts["stack"]) or "the base"
    return "  ".join([side.name, short(side.digest), facts["created"][:19].replace("T", " "), made_of])


def _about(found: Difference) -> Iterator[str]:
    fields = found.fields or ()
    if fields:
        yield title("about")
        told = [field for field in fields if not _of_one_method(field, fields)]
        width = max(len(field.name) for field in told)
        for field in told:
            nothing = "the base" if field.name == "parent" else "-"
            yield f"  {field.name:<{width}}  {arrow(_shown(field.a) or nothing, _shown(field.b) or nothing)}"
        if len(told) < len(fields):
            yield f"  and {counted(len(fields) - len(told), 'parameter')} that only one of the methods has"


def _of_one_method(field: FieldChange, fields: Sequence[FieldChange]) -> bool:
    """Whether a parameter is there because of the method, and the methods differ."""
    alone = field.a is None or field.b is None
    return alone and field.name.startswith(("parameters.", "artefacts.")) and any(f.name == "method" for f in fields)


def _shown(value: Any) -> str:
    """A value of a manifest on one line, digests short; nothing for one that is not there."""
    if isinstance(value, dict) and "fingerprint" in value:
        revision = f"@{value['revision'][:12]}" if value["revision"] else ""
        return f"{value['source']}{revision} ({short(value['fingerprint'])})"
    if value in (None, "", []):
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if len(text) == 64 and not set(text) - set("0123456789abcdef"):
        return short(text)
    line = text.replace("\n", "⏎")
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _stack(stack: StackDifference | None) -> Iterator[str]:
    if stack is None or stack.is_empty:
        return
    yield title(f"stack: {_stack_summary(stack)}")
    for place in stack.places:
        if place.a is not None and place.b is not None:
            yield changed(arrow(place.a, place.b))
        else:
            yield removed(place.a or "") if place.b is None else added(place.b)
    if stack.order_b:
        yield changed(f"order of memories  {arrow(', '.join(stack.order_a), ', '.join(stack.order_b))}")


def _stack_summary(stack: StackDifference) -> str:
    n_added, n_removed = (sum(side is None for side in sides) for sides in _sides(stack))
    n_changed = len(stack.places) - n_added - n_removed
    counted_up = counts(n_changed, n_added, n_removed, stack.n_same)
    return f"{counted_up}, memories in another order" if stack.order_b else counted_up


def _sides(stack: StackDifference) -> tuple[list[str | None], list[str | None]]:
    return [place.a for place in stack.places], [place.b for place in stack.places]


def _edits(edits: EditsDifference | None) -> Iterator[str]:
    if edits is None or edits.is_empty:
        return
    yield title(f"edits: {_edits_summary(edits)}")
    texts = [*(one.b.text for one in edits.changed), *(one.text for one in (*edits.removed, *edits.added))]
    width = max(map(len, texts), default=0)
    for one in edits.changed:
        yield changed(f"{one.b.text:<{width}}  {_edit_change(one)}")
    for request in edits.removed:
        yield removed(f"{request.text:<{width}}  {request.target_new}")
    for request in edits.added:
        yield added(f"{request.text:<{width}}  {request.target_new}")


def _edits_summary(edits: EditsDifference) -> str:
    counted_up = counts(len(edits.changed), len(edits.added), len(edits.removed), edits.n_same)
    if not edits.entries:
        return counted_up
    n_added, n_removed = (sum(getattr(one, side) is None for one in edits.entries) for side in ("a", "b"))
    entries = counts(len(edits.entries) - n_added - n_removed, n_added, n_removed)
    return f"{counted_up}{'; ' if counted_up else ''}entries of memory: {entries}"


def _edit_change(one: EditChange) -> str:
    """The targets, from one to the other where they differ, and what else does."""
    others = [name for name in one.fields if name != "target_new"]
    if "prompt" in others:
        others[others.index("prompt")] = f"prompt, which was {one.a.text!r}"
    what = "also" if "target_new" in one.fields else "other"
    return arrow(one.a.target_new, one.b.target_new) + (f"  ({what} {', '.join(others)})" if others else "")
