"""The words of a command line as the audit trail keeps them: without the texts of edits and messages.

An event can never be changed, and a package can be forgotten. So what an edit says, and why it was made, is kept with
the package, and the event has an ellipsis in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

TEXTS = ("--prompt", "--subject", "--target", "--message", "--edit", "--forget")
"""Options whose value is a text of an edit, or may hold one."""
LEFT_OUT = "…"
_MESSAGE = re.compile("(-[a-ln-z]*m)(.*)", re.DOTALL)
"""The short form of ``--message``, behind other letters or with its value in the same word."""


def redacted(words: Iterable[str]) -> tuple[str, ...]:
    """The words of a command, with the values of :data:`TEXTS` left out.

    >>> redacted(["patchmgr", "edit", "m", "--subject", "Ana", "--target=Rome", "-mwhy"])
    ('patchmgr', 'edit', 'm', '--subject', '…', '--target=…', '-m…')
    """
    return tuple(_redacted(words))


def _redacted(words: Iterable[str]) -> Iterator[str]:
    hidden = False
    for word in words:
        name, equals, _ = word.partition("=")
        if hidden:
            yield LEFT_OUT
            hidden = False
        elif name in TEXTS and equals:
            yield f"{name}={LEFT_OUT}"
        elif short := _MESSAGE.fullmatch(word):
            hidden = not short[2]
            yield f"{short[1]}{LEFT_OUT}" if short[2] else word
        else:
            hidden = word in TEXTS
            yield word
