"""Which edits came, went, or became others: matched by what they are about, never by their place in the file."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from patchmgr.ops.difference.contract import EditChange, EditsDifference, EntryChange
from patchmgr.package.memory.operations import Entry
from patchmgr.request import SUBJECT_MARK, EditRequest

_T = TypeVar("_T")


def edits_difference(
    a: Sequence[EditRequest],
    b: Sequence[EditRequest],
    *,
    entries_a: Sequence[Entry] = (),
    entries_b: Sequence[Entry] = (),
) -> EditsDifference:
    """The edits of two sides, the same fact with another target as one change.

    Two edits are about the same fact when they are equal; else when subject and wording are; else when subject and
    relation are; else when they bear the same id. Each of these is tried on what the one before left, so that of facts
    that a side holds twice like goes with like. Entries of memories are matched by id, else by prompt.

    Args:
        a: edits of the first side.
        b: edits of the second.
        entries_a: what the memory of the first side remembers, if it has one.
        entries_b: likewise.
    """
    same, pairs, removed, added = _matched(a, b, (_content, _wording, _relation, _identity))
    changed = tuple(EditChange(one, other, _differing(one, other)) for one, other in pairs)
    return EditsDifference(added, removed, changed, len(same), _entries(entries_a, entries_b))


def wording(request: EditRequest) -> str:
    """The prompt with ``{}`` in place of its subject.

    >>> wording(EditRequest(prompt="Rome lies in", subject="Rome", target_new="Gaul"))
    '{} lies in'
    """
    if request.subject is None or SUBJECT_MARK in request.prompt:
        return request.prompt
    return request.prompt.replace(request.subject, SUBJECT_MARK)


_Pairs = list[tuple[_T, _T]]


def _matched(
    a: Sequence[_T], b: Sequence[_T], keys: Sequence[Callable[[_T], Hashable | None]]
) -> tuple[_Pairs[_T], _Pairs[_T], tuple[_T, ...], tuple[_T, ...]]:
    """Pairs that the first key matches, pairs that a later one does, and what only a and only b has.

    Of several with one key the first goes with the first and the second with the second, so that neither side is
    favoured; None matches nothing.
    """
    left, right = dict(enumerate(a)), dict(enumerate(b))
    found: list[list[tuple[int, int]]] = []
    for key in keys:
        waiting: dict[Hashable, list[int]] = {}
        for place, item in reversed(left.items()):
            waiting.setdefault(key(item), []).append(place)
        waiting.pop(None, None)
        places = ((waiting.get(key(item)), place) for place, item in right.items())
        found.append([(those.pop(), place) for those, place in places if those])
        for i, j in found[-1]:
            del left[i], right[j]

    def order(pair: tuple[int, int]) -> tuple[int, int, list[str]]:  # the same whichever side comes first
        return min(pair), max(pair), sorted((repr(a[pair[0]]), repr(b[pair[1]])))

    later = [pair for pairs in found[1:] for pair in pairs]
    first, others = ([(a[i], b[j]) for i, j in sorted(pairs, key=order)] for pairs in (found[0], later))
    return first, others, tuple(left.values()), tuple(right.values())


def _content(request: EditRequest) -> Hashable:
    return tuple(_value(request, name) for name in EditRequest.model_fields)


def _wording(request: EditRequest) -> Hashable:
    return _folded(request.subject), _folded(wording(request))


def _relation(request: EditRequest) -> Hashable | None:
    return (_folded(request.subject), _folded(request.relation)) if request.subject and request.relation else None


def _identity(request: EditRequest) -> Hashable | None:
    return request.id


def _folded(text: str | None) -> str | None:
    return None if text is None else " ".join(text.casefold().split())


def _value(request: EditRequest, name: str) -> Hashable:
    """A field as it is compared; a prompt says the same with its subject written out or marked."""
    if name == "prompt":
        return request.text, request.subject_end
    value = getattr(request, name)
    if name in ("locality", "portability"):
        return tuple((probe.prompt, probe.target, probe.kind) for probe in value)
    return value  # type: ignore[no-any-return]  # texts, and tuples of them


def _differing(a: EditRequest, b: EditRequest) -> tuple[str, ...]:
    return tuple(name for name in EditRequest.model_fields if _value(a, name) != _value(b, name))


def _entries(a: Sequence[Entry], b: Sequence[Entry]) -> tuple[EntryChange, ...]:
    same_id, same_prompt, removed, added = _matched(a, b, (lambda entry: entry.id, lambda entry: entry.prompt))
    pairs = [(one, other) for one, other in (*same_id, *same_prompt) if one != other]
    changes = [EntryChange(one, None) for one in removed] + [EntryChange(None, one) for one in added]
    alone = sorted(changes, key=lambda change: next(entry.id for entry in (change.a, change.b) if entry is not None))
    return (*(EntryChange(one, other) for one, other in pairs), *alone)
