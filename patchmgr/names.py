"""Names in a text: what stands in quotes, and runs of words that are written with a capital letter.

Question words, articles and the like begin no name. Where a word such as ``and`` joins two names, the whole and both
parts are candidates; likewise the name alone and with the small words behind it where these may belong to it, as in
*Steller sea lion*. A text without any lower-case word (all capitals, a title) tells nothing, and neither do scripts
without capitals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORD = re.compile(r"[^\W_]+(?:[’'./+–&-][^\W_]+)*")
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|«([^»]+)»|„([^“”]+)[“”]")
_JOINING = _set(
    "of the de del della di da do dos das du des la le les el al von van der den ten ter bin ibn af av zu y & for"
)
_DOUBTFUL = frozenset({"and", "in", "on", "at", "to", "with", "from", "or"})
"""Words that join two names into one, or do not: *Simon and Garfunkel*, *France and Italy*."""
_OPENING = _set(
    "a an the i you he she it we they my your his her its our their this that these those there here who whom whose "
    "what which where when why how in on at of off from to into by for with without about after before during since "
    "until over under between among near as like and or but if so then also not no yes is was are were be been am do "
    "does did has have had can could may might must shall should will would name tell give say find list please "
    "currently today originally one two three both all some many most more every each another other"
)
"""Words that are often written with a capital letter only because a sentence begins with them."""
_TIMES = _set("in on since by from until after before during of around about circa")
_VERBS = _set(
    "became came went began ran won wrote made took lost spoke sang built held led met left gave got grew fell fought "
    "taught bought brought sold told found said stood rose drew drove flew kept put set sat sent spent shot born "
    "written come go known given taken sung begun spoken fought lies dies"
)
"""Words behind a name that say something of it, beside those that end in -s, -ed or -ly."""
_ASKING = re.compile(r"\b(?:do|does|did|can|could|will|would|should|may|might|must)\b", re.IGNORECASE)
_NEXT = re.compile(r"(?: | [–—-] )([^\W\d_]+(?:[’'-][^\W\d_]+)*)")
_STOP = re.compile(r"[.!]+(?=[,?]| [^\W\d_A-Z])")
"""A full stop that belongs to a name, for the sentence goes on: *Inc.*"""


@dataclass(frozen=True)
class Candidate:
    """A part of a prompt that may be the subject."""

    text: str
    start: int
    """Offset in the prompt, in characters."""


@dataclass(frozen=True)
class _Token:
    text: str
    start: int
    end: int
    opens: bool
    """Whether a sentence begins with it."""

    @property
    def is_name(self) -> bool:
        return any(letter.isupper() for letter in self.text)

    @property
    def is_number(self) -> bool:
        return any(letter.isdigit() for letter in self.text)

    @property
    def is_empty(self) -> bool:
        """Whether no name begins with it."""
        folded = self.text.casefold()
        if not self.is_name:
            return not self.is_number
        return folded in _OPENING and (self.opens or len(folded) == 1) and not self.is_acronym

    @property
    def is_acronym(self) -> bool:
        return len(self.text) > 1 and self.text.isupper()


def candidates(prompt: str) -> tuple[Candidate, ...]:
    """The parts of a prompt that may be its subject, no text twice, in their order.

    >>> [each.text for each in candidates("Who is the author of Emma?")]
    ['Emma']
    >>> [each.text for each in candidates("Paris lies north of London")]
    ['Paris', 'London']
    """
    found = {}
    for each in sorted((*_quoted(prompt), *_runs(prompt)), key=lambda each: (each.start, -len(each.text))):
        found[each.text] = each  # the last of equal ones: methods write where the subject ends last
    return tuple(found.values())


def _quoted(prompt: str) -> Iterator[Candidate]:
    for match in _QUOTED.finditer(prompt):
        index = match.lastindex or 0
        text = match[index].strip(" .,!?")
        if text:
            yield Candidate(text, match.start(index) + match[index].index(text))


def _runs(prompt: str) -> Iterator[Candidate]:
    """Names outside quotes; where words may or may not join two of them, all ways to read it."""
    words = _words(_QUOTED.sub(lambda match: "\n" * len(match[0]), prompt))
    if not any(word.text.islower() for word in words) and len(words) > 2:
        return
    run: list[_Token] = []
    for word in words:
        if run and not _adjoins(prompt, run[-1], word):
            yield from _readings(prompt, run)
            run = []
        joins = bool(run) and (word.text.casefold() in _JOINING | _DOUBTFUL)
        if word.is_name or word.is_number or joins:
            run.append(word)
        elif run:
            yield from _readings(prompt, run)
            run = []
    yield from _readings(prompt, run)


def _words(text: str) -> list[_Token]:
    """The words of a text, without the ``'s`` of a possessive."""
    found = []
    for match in re.finditer(rf"{_WORD.pattern}|&", text):
        word = re.sub(r"[’']s$", "", match[0]) or match[0]
        before = text[: match.start()].rstrip()
        opens = not before or before[-1] in ".?!:"
        found.append(_Token(word, match.start(), match.start() + len(word), opens))
    return found


def _adjoins(text: str, before: _Token, word: _Token) -> bool:
    """Whether two words stand side by side, but for one space (and the full stop of an initial)."""
    between = text[before.end : word.start]
    return between in (" ", "-") or (between in (". ", ".") and len(before.text) <= 2)


def _readings(prompt: str, run: Sequence[_Token]) -> Iterator[Candidate]:
    """A run as one name; its parts too where a doubtful word stands in it; and with the small words behind it."""
    run = _trimmed(run)
    if not run:
        return
    start, end = run[0].start, run[-1].end
    stop = _STOP.match(prompt, end)
    end = stop.end() if stop else end
    further = _further(prompt, start, end)
    if further > end:
        yield Candidate(prompt[start:further], start)
    yield Candidate(prompt[start:end], start)
    cuts = [index for index, word in enumerate(run) if word.text in _DOUBTFUL]
    for low, high in zip([-1, *cuts], [*cuts, len(run)], strict=True):
        part = _trimmed(run[low + 1 : high])
        if cuts and part:
            yield Candidate(prompt[part[0].start : part[-1].end], part[0].start)


def _further(prompt: str, start: int, end: int) -> int:
    """Where a name ends if the small words behind it belong to it, as in *Steller sea lion*; ``end`` if none may."""
    reach, n_words = end, 0
    while following := _NEXT.match(prompt, reach):
        word = following[1]
        if not word[0].islower() or _says(word):
            break
        reach, n_words = following.end(1), n_words + 1
    if n_words == 1 and _ASKING.search(prompt, 0, start):
        return end  # the verb of a question, as in "Where did Una Brill live?"
    return reach


def _says(word: str) -> bool:
    """Whether a word behind a name most likely does not belong to it."""
    if word in _OPENING | _JOINING | _DOUBTFUL | _VERBS:
        return True
    return word.endswith(("ed", "ly")) or (
        word.endswith("s") and not word.endswith(("us", "ss", "is", "as", "os", "'s"))
    )


def _trimmed(run: Sequence[_Token]) -> Sequence[_Token]:
    """A run from its first to its last name: without joining and opening words, or the year before a name."""
    low, high = 0, len(run)
    while low < high and run[low].is_empty:
        low += 1
    if low < high and run[low].text.isdigit() and low and run[low - 1].text.casefold() in _TIMES:
        low += 1
    while high > low and not (run[high - 1].is_name or run[high - 1].is_number):
        high -= 1
    kept = run[low:high]
    return kept if any(word.is_name for word in kept) else ()
