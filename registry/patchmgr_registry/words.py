"""The words that full-text search looks at, alike on every database.

Accents and case are dropped, and each character of a script without spaces becomes a word of its own; what is left to
the database is to find words by their beginnings.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchmgr.request import EditRequest

_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Kana, Han and Hangul, which are written without spaces or bend at the end of a word."""

_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, folded.

    >>> words_of("L'Été à São_Paulo, 東京")
    ('l', 'ete', 'a', 'sao', 'paulo', '東', '京')
    """
    if text.isascii():  # nothing to decompose
        return tuple(_WORD.findall(text.lower()))
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(sign))
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", plain)))


def searchable(request: EditRequest) -> str:
    """What an edit can be found by: its prompts and its targets, old and new."""
    parts = (request.text, request.target_new, request.target_true or "", *request.rephrasings)
    return " ".join(words_of(" ".join(parts)))
