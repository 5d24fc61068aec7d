"""The words of a command line as the audit trail keeps them: without the texts of edits and messages.

An event can never be changed, and a package can be forgotten. So what an edit says, and why it was made, is kept with
the package, and the event has an ellipsis in its place. ``tests/cli/test_redacting.py`` asks every command for its
parameters, and fails when one that takes a text is not left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

TEXTS = ("--prompt", "--subject", "--target", "--message", "--edit", "--forget", "--match")
"""Options whose value is a text of an edit, or may hold one."""
NAMES_FIRST = {"cherry-pick": 2}
"""Commands whose arguments are texts, and how many come before these that are not.

A value behind another option counts as one of them: so a word too many may be left out, and never one too few.
"""
LEFT_OUT = "…"
_MESSAGE = re.compile("(-[a-ln-z]*m)(.*)", re.DOTALL)
"""The short form of ``--message``, behind other letters or with its value in the same word."""


def redacted(words: Iterable[str]) -> tuple[str, ...]:
    """The words of a command, the program's name first, with its texts left out.

    >>> redacted(["patchmgr", "edit", "m", "--subject", "Ana", "--target=Rome", "-mwhy"])
    ('patchmgr', 'edit', 'm', '--subject', '…', '--target=…', '-m…')
    >>> redacted(["patchmgr", "cherry-pick", "m", "fixes", "Ana lives in", "--name", "new"])
    ('patchmgr', 'cherry-pick', 'm', 'fixes', '…', '--name', '…')
    """
    words = tuple(words)
    command = next((word for word in words[1:] if not word.startswith("-")), "")
    return tuple(_redacted(words, 2 + NAMES_FIRST.get(command, len(words))))


def _redacted(words: Iterable[str], n_names: int) -> Iterator[str]:
    """Of the words that are no options so many stay, the program and the command among them."""
    hidden = ended = False
    for word in words:
        name, equals, _ = word.partition("=")
        if hidden:
            yield LEFT_OUT
            hidden = False
        elif ended or not word.startswith("-"):
            yield word if n_names > 0 else LEFT_OUT
            n_names -= 1
        elif name in TEXTS and equals:
            yield f"{name}={LEFT_OUT}"
        elif short := _MESSAGE.fullmatch(word):
            hidden = not short[2]
            yield f"{short[1]}{LEFT_OUT}" if short[2] else word
        else:
            ended, hidden = word == "--", word in TEXTS
            yield word
