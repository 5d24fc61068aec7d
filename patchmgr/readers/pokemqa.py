"""PokeMQA's scope data: an edit as a sentence, and questions that are in its scope."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from patchmgr.readers.contract import Case, LeftOut, Reader, has_keys
from patchmgr.readers.draft import Draft, finish
from patchmgr.readers.fields import Fields

SENTENCES = (
    "{} is a citizen of", "{} is affiliated with the religion of", "{} is associated with the sport of",
    "{} is employed by", "{} is famous for", "{} is located in the continent of", "{} is married to",
    "{} plays the position of", "{} speaks the language of", "{} was born in the city of", "{} was created by",
    "{} was created in the country of", "{} was developed by", "{} was founded by", "{} was founded in the city of",
    "{} was performed by", "{} was written in the language of", "{} died in the city of", "{} worked in the city of",
    "{} works in the field of", "{}'s child is", "The author of {} is", "The capital of {} is",
    "The chairperson of {} is", "The chief executive officer of {} is", "The company that produced {} is",
    "The director of {} is", "The head coach of {} is", "The headquarters of {} is located in the city of",
    "The name of the current head of state in {} is", "The name of the current head of the {} government is",
    "The official language of {} is", "The origianl broadcaster of {} is", "The original broadcaster of {} is",
    "The original language of {} is", "The type of music that {} plays is", "The univeristy where {} was educated is",
    "The university where {} was educated is", "The {} is",
)  # fmt: skip
"""How MQuAKE says its relations, misspelt as the files have it; the answer ends the sentence. The first that fits."""

_PATTERNS = tuple(
    (sentence, re.compile(re.escape(sentence).replace(re.escape("{}"), "(?P<subject>.+?)", 1) + " (?P<target>.+)"))
    for sentence in SENTENCES
)

NO_SENTENCE = "the edit is no sentence of a known relation"


class PokeMqa(Reader):
    """``edit`` and ``questions``."""

    name = "pokemqa"
    description = "PokeMQA: sentences and the questions in their scope"
    paper = "PokeMQA: Programmable knowledge editing for Multi-hop Question Answering, arXiv:2312.15194"

    def recognises(self, record: Any) -> bool:
        """A sentence and questions."""
        return has_keys(record, "edit", "questions")

    def cases(self, record: Any, where: str, options: Mapping[str, str]) -> Iterator[Case | LeftOut]:
        """One request: the sentence up to its answer is the prompt, the questions are rephrasings."""
        del options
        fields = Fields(record, where, self.name)
        text, questions = fields.text("edit"), fields.texts("questions", required=True)
        for sentence, pattern in _PATTERNS:
            if found := pattern.fullmatch(text):
                draft = Draft(where, prompt=sentence, subject=found["subject"], target_new=found["target"])
                draft.fields["relation"] = sentence
                draft.rephrase(*dict.fromkeys(questions))
                yield from finish(draft)
                return
        yield LeftOut(where, "record", NO_SENTENCE)
