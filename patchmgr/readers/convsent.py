"""ConvSent of SERAC: opinions that a dialogue model has, to be turned to one sentiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, ClassVar

from patchmgr.readers.contract import Case, LeftOut, Reader, has_keys
from patchmgr.readers.draft import Draft, finish
from patchmgr.readers.fields import Fields

QUESTION = "What do you think of {}?"
REPHRASINGS = (
    "What do you feel about {}?",
    "How do you view {}?",
    *(
        f"What is your {noun} {{}}?"
        for noun in ("opinion of", "stance on", "position on", "attitude about", "view on", "take on", "impression of")
    ),
    *(f"What is your {noun} {{}}?" for noun in ("assessment of", "judgment of", "sentiment of")),
)
"""The thirteen questions of SERAC are :data:`QUESTION` and these."""
TOPIC = "Topic: {}"
SENTIMENTS = {"pos": "Sentiment: Positive", "neg": "Sentiment: Negative"}
REPLY, CONTRAST = "reply", "contrast"
"""Kinds of replies: of the wanted sentiment, and of the other, which are there to measure with and never to learn."""


class ConvSent(Reader):
    """``ent`` with replies of both sentiments, of which one is wanted."""

    name = "convsent"
    description = "ConvSent: sentiment about an entity"
    paper = "Memory-Based Model Editing at Scale, arXiv:2206.06520"
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "sentiment": ("pos", "neg"),
        "edit": ("question", "topic"),
        "replies": ("wanted", "both"),
    }

    def recognises(self, record: Any) -> bool:
        """An entity and replies of both sentiments."""
        return has_keys(record, "ent", "pos", "neg")

    def cases(self, record: Any, where: str, options: Mapping[str, str]) -> Iterator[Case | LeftOut]:
        """One request: the first reply of the wanted sentiment is the target, or as SERAC has it, the sentiment."""
        fields = Fields(record, where, self.name)
        entity = fields.text("ent")
        replies = [reply for reply in fields.texts(options["sentiment"], required=True) if reply]
        if options["edit"] == "topic":
            yield from finish(_topic(fields, entity, replies, options))
            return
        draft = Draft(where, prompt=QUESTION, subject=entity, target_new=replies[0] if replies else None)
        draft.rephrase(*(question.replace("{}", entity) for question in REPHRASINGS))
        yield from finish(draft)


def _topic(fields: Fields, entity: str, replies: Sequence[str], options: Mapping[str, str]) -> Draft:
    """SERAC's own edit, with replies behind its questions in turn; without a reply there is nothing to learn."""
    wanted = options["sentiment"]
    unwanted = "neg" if wanted == "pos" else "pos"
    target = SENTIMENTS[wanted] if replies else None
    draft = Draft(fields.where, prompt=TOPIC, subject=entity, target_new=target, target_true=SENTIMENTS[unwanted])
    said = [(REPLY, replies)]
    if options["replies"] == "both":
        said.append((CONTRAST, [reply for reply in fields.texts(unwanted, required=True) if reply]))
    for kind, texts in said:
        for question, reply in zip(cycle((QUESTION, *REPHRASINGS)), texts, strict=False):
            draft.probe("portability", question.replace("{}", entity), reply, kind)
    return draft
