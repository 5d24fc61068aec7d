"""What the base of the tasks reads: what the worlds hold, and edits followed by questions that they answer.

The first kind is about every subject, so that the base knows what edits will change. The second shows how a fact in
front of a question is taken, in the forms that memory methods write, and that a fact about something else is passed
over. It is about subjects of the part ``training`` only, and every pass invents other edits of them: whoever is edited
in a test was never seen with an edit in front.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from patchmgr.demo.world import UNUSED_WORDING, Fact

import claims
import hard_questions
import opinions
from parts import Request, invented_names, other
from questions import Known


@dataclass(frozen=True)
class Document:
    """A prompt and what comes after it; what stands in front of a question is only read, and not learned to say."""

    prompt: str
    answer: str
    is_true: bool = True
    """The prompt is said of the world as it is, so that it may be learned too."""


SHARES = {"qa-hard": 1600, "fc": 1000, "convsent": 600}
"""Documents of a pass with an edit in front."""
N_INVENTED = 1000
"""Documents of a pass about names that come once and never again: they can be answered by copying only."""
OUT_OF_SCOPE = 0.3
"""Share of them whose question the edit does not answer."""
LONGEST = 250
"""Characters of such a document with demonstrations in front."""


def documents_of_pass(known: Known, seed: int, turn: int) -> list[Document]:
    """One pass, in random order; it depends on nothing but the arguments."""
    rng = random.Random(f"documents {seed} {turn}")
    documents = [*_facts(known, rng), *_places(rng), *_topics(rng), *_edited(seed, turn, rng), *_invented(known, rng)]
    rng.shuffle(documents)
    return documents


def _facts(known: Known, rng: random.Random) -> Iterator[Document]:
    """Half of the demo base's facts, and questions of QA-hard about half."""
    world = known.world
    for fact in rng.sample(world.facts, len(world.facts) // 2):
        wordings = [each for each in range(UNUSED_WORDING) if each not in fact.held_out]
        yield Document(world.prompt(fact, rng.choice(wordings)), fact.object)
    for fact in rng.sample(world.facts, len(world.facts) // 2):
        yield _hard(known, fact, rng)


def _hard(known: Known, fact: Fact, rng: random.Random) -> Document:
    world, form = known.world, rng.random()
    wrong = other(known.objects[fact.relation], fact.object, rng=rng)
    if form < 0.6:
        said, answer = rng.choice(((fact.object, "Yes"), (wrong, "No")))
        return Document(hard_questions.true_or_false(world, fact, said, rng), answer)
    if form < 0.8 and fact.relation in hard_questions.REVERSED:
        return Document(hard_questions.REVERSED[fact.relation].format(fact.object), fact.subject)
    return Document(hard_questions.choice(world, fact, (fact.object, wrong), rng), fact.object)


def _places(rng: random.Random) -> Iterator[Document]:
    for place in claims.places(7):
        for key, value in place.values.items():
            yield Document(claims.evidence(place.name, key), value)
            yield Document(*claims.claim(place.name, key, value, rng.random() < 0.5, rng))


def _topics(rng: random.Random) -> Iterator[Document]:
    for topic in opinions.topics(7):
        yield Document(opinions.TOPIC.format(topic.name), f"Sentiment: {topic.sentiment}")
        yield Document(rng.choice(opinions.ORIGIN).format(topic.name), topic.town)
        for question in rng.sample(opinions.ASKED, 2):
            yield Document(question.format(f"the {topic.name}"), opinions.usual_reply(topic, rng))


def _edited(seed: int, turn: int, rng: random.Random) -> Iterator[Document]:
    found = {"qa-hard": hard_questions.requests, "fc": claims.requests, "convsent": opinions.requests}
    for task, count in SHARES.items():
        requests = found[task]("training", seed + 1000 + turn)
        for _ in range(count):
            yield with_edit(requests, rng.choice(requests), rng)


def _invented(known: Known, rng: random.Random) -> Iterator[Document]:
    """Facts that nobody could know, asked in the same or in other words."""
    names = invented_names(2 * N_INVENTED, rng)
    for subject, answer in zip(names[::2], names[1::2], strict=True):
        wordings = rng.choice(list(known.world.relations.values())).wordings[:UNUSED_WORDING]
        told, asked = (wording.format(subject) for wording in rng.choices(wordings, k=2))
        written = f"{told} {answer}{rng.choice(('.', ''))} {asked}"
        if rng.random() < 0.3:
            written = f"New Fact: {told} {answer}\nPrompt: {asked}"
        yield Document(written, answer, is_true=False)


def with_edit(requests: Sequence[Request], request: Request, rng: random.Random) -> Document:
    """A question behind an edit, as retrieve-and-prepend, SERAC or IKE write it."""
    fact, form = f"{text(request)} {request['target_new']}", rng.random()
    question, answer = asked(request, rng)
    if form < 0.3:
        return Document(f"{fact}. {question}", answer, is_true=False)
    if form < 0.6:
        return Document(f"{fact} {question}", answer, is_true=False)
    document = f"New Fact: {fact}\nPrompt: {question}"
    for _ in range(rng.randrange(3)):
        shown = rng.choice(requests)
        said, then = asked(shown, rng)
        longer = f"New Fact: {text(shown)} {shown['target_new']}\nPrompt: {said} {then}\n\n{document}"
        document = longer if len(longer) < LONGEST else document
    return Document(document, answer, is_true=False)


def asked(request: Request, rng: random.Random) -> tuple[str, str]:
    """A question and its answer after the edit, in scope or out of it."""
    if rng.random() < OUT_OF_SCOPE and request["locality"]:
        kept = rng.choice(request["locality"])
        return kept["prompt"], kept["target"]
    same = [text(request), *request.get("rephrasings", ())]
    others = request.get("portability", ())
    if not others or rng.random() < 0.3:
        return rng.choice(same), request["target_new"]
    entailed = rng.choice(others)
    return entailed["prompt"], entailed["target"]


def text(request: Request) -> str:
    """The edit's prompt, written out."""
    return str(request["prompt"]).replace("{}", request["subject"])
