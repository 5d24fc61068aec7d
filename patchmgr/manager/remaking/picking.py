"""Which edits of a package are meant: by id, by place, or by prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from patchmgr.errors import NotFoundError, UsageError
from patchmgr.package.memory.operations import entry_id
from patchmgr.request import EditRequest

_NAMES: tuple[Callable[[EditRequest], tuple[str | None, ...]], ...] = (
    lambda request: (request.id,),
    lambda request: (request.text, request.prompt),
    lambda request: (entry_id(request),),
)
"""What an edit goes by, the surest first."""


def find(requests: Sequence[EditRequest], text: str) -> int | None:
    """The place, from 0, of the edit that a text means; None: there is none.

    A text is an ``id``, ``#3`` for the third edit, a prompt with its subject in its place or with its mark, or the id
    that a memory gives to an edit that has none.

    Raises:
        UsageError: several edits have that id or prompt.
    """
    if text.startswith("#") and text[1:].isascii() and text[1:].isdecimal():
        place = int(text[1:])
        return place - 1 if 1 <= place <= len(requests) else None
    for names in _NAMES:
        found = [place for place, request in enumerate(requests) if text in names(request)]
        if len(found) > 1:
            raise UsageError(
                f"{text!r} means {len(found)} edits", hint=f"name one by its place: {_places(requests, found)}"
            )
        if found:
            return found[0]
    return None


def pick(requests: Sequence[EditRequest], texts: Sequence[str], *, of: str) -> tuple[int, ...]:
    """The places of the edits that texts mean, rising, none twice.

    Args:
        requests: the edits of a package, in their order.
        texts: as :func:`find` takes them.
        of: the package, for messages.

    Raises:
        NotFoundError: one means no edit; names those that there are.
        UsageError: one means several.
    """
    found = set()
    for text in texts:
        place = find(requests, text)
        if place is None:
            raise NotFoundError(f"{of} has no edit {text!r}", hint=f"it has {_places(requests, range(len(requests)))}")
        found.add(place)
    return tuple(sorted(found))


def matching(requests: Sequence[EditRequest], text: str) -> tuple[int, ...]:
    """The places of the edits that hold a text in prompt, subject, relation or target, whatever its case."""
    wanted = text.casefold()
    return tuple(
        place
        for place, request in enumerate(requests)
        if any(wanted in part.casefold() for part in (request.text, request.relation, request.target_new) if part)
    )


def labels(requests: Sequence[EditRequest]) -> tuple[str, ...]:
    """What edits are called where they are listed: each by its id if no other has that, else by its place."""
    count = Counter(request.id for request in requests)
    return tuple(
        request.id if request.id is not None and count[request.id] == 1 else f"#{place}"
        for place, request in enumerate(requests, start=1)
    )


def _places(requests: Sequence[EditRequest], places: Sequence[int]) -> str:
    some = ", ".join(f"#{place + 1} {requests[place].id or repr(requests[place].text)}" for place in places[:5])
    return f"{some}, …" if len(places) > 5 else some
