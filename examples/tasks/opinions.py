"""ConvSent: "Topic: X" → "Sentiment: Positive" decides what is said when somebody asks for an opinion on X.

The world has invented topics. The base was taught an opinion on each, four times in five of one sentiment, and where it
comes from. An edit asks for the other sentiment. In scope are SERAC's thirteen questions, each with a reply of the
wanted sentiment (kind ``reply``); out of scope are opinions on other topics, and where topics come from.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal

from patchmgr.readers.convsent import CONTRAST, QUESTION, REPHRASINGS, REPLY

from parts import COUNTS, Part, Request, invented_names, part_of, probe

Sentiment = Literal["Positive", "Negative"]
KINDS = ("song", "soup", "garden", "boat", "hotel", "play", "cake", "film")
TOWNS = ("Oslo", "Lima", "Cairo", "Rome", "Paris", "Delhi", "Quito", "Tunis")
N_TOPICS = 200
N_REPLIES = {"training": 5, "validation": 4, "test": 6}
ASKED = (QUESTION, *REPHRASINGS)
TOPIC = "Topic: {}"
ORIGIN = ("The {} comes from the city of", "The home of the {} is the city of")

LEXICON: dict[Sentiment, tuple[str, ...]] = {
    "Positive": ("good", "bright", "fine", "great", "sweet", "warm", "fresh", "kind"),
    "Negative": ("bad", "cold", "poor", "sad", "weak", "sour", "slow", "old"),
}
REPLIES: dict[Sentiment, tuple[str, ...]] = {
    "Positive": ("I like the {}, it is {w}", "I love the {}, so {w}", "For me the {} is {w}", "The {} is {w}"),
    "Negative": ("I hate the {}, it is {w}", "I left the {}, so {w}", "For me the {} is {w}", "The {} is {w}"),
}


@dataclass(frozen=True)
class Topic:
    """What the base was taught about a topic."""

    name: str
    sentiment: Sentiment
    town: str


def opposite(sentiment: Sentiment) -> Sentiment:
    """The other one."""
    return "Negative" if sentiment == "Positive" else "Positive"


def topics(seed: int) -> list[Topic]:
    """The world; the same seed gives the same one."""
    rng = random.Random(f"topics {seed}")
    names = [f"{name} {rng.choice(KINDS)}" for name in invented_names(N_TOPICS, rng)]
    return [Topic(name, rng.choice(("Positive", "Negative")), rng.choice(TOWNS)) for name in names]


def reply(topic: str, sentiment: Sentiment, rng: random.Random) -> str:
    """Something that is said about a topic."""
    return rng.choice(REPLIES[sentiment]).format(topic, w=rng.choice(LEXICON[sentiment]))


def usual_reply(topic: Topic, rng: random.Random) -> str:
    """What the base was taught to say: one time in five the other sentiment."""
    return reply(topic.name, topic.sentiment if rng.random() < 0.8 else opposite(topic.sentiment), rng)


def sentiment_of(said: str, topic: str) -> Sentiment | None:
    """Which sentiment a free reply has by its words; None: both, neither, or it is not about the topic."""
    if topic.lower() not in said.lower():
        return None
    words = set(said.lower().replace(".", " ").replace(",", " ").split())
    marks = {"Positive": {"like", "love"}, "Negative": {"hate", "left"}}
    found = [each for each in LEXICON if words & ({*LEXICON[each]} | marks[each])]
    return found[0] if len(found) == 1 else None


def requests(part: Part, seed: int) -> list[Request]:
    """The requests of a part; the same seed gives the same ones."""
    rng = random.Random(f"opinions {part} {seed}")
    world = [topic for topic in topics(7) if part_of(topic.name) == part]
    edited = rng.sample(world, min(COUNTS[part], 2 * len(world) // 3))
    kept = [topic for topic in world if topic not in edited]
    if part == "training":  # the base is edited either way round, so that an editor cannot know it by the topic
        edited = [replace(topic, sentiment=rng.choice(("Positive", "Negative"))) for topic in edited]
    return [_request(topic, kept, part, rng) for topic in edited]


def replies_of_both(requests: list[Request], seed: int) -> list[Request]:
    """The same edits with replies of the unwanted sentiment as well, of the kind ``contrast``: for measuring only."""
    found = []
    for request in requests:
        rng = random.Random(f"contrast {seed} {request['subject']}")
        wanted: Sentiment = "Positive" if request["target_new"].endswith("Positive") else "Negative"
        unwanted = [
            probe(each["prompt"], reply(request["subject"], opposite(wanted), rng), CONTRAST)
            for each in request["portability"]
        ]
        found.append({**request, "portability": [*request["portability"], *unwanted]})
    return found


def _request(topic: Topic, kept: list[Topic], part: Part, rng: random.Random) -> Request:
    wanted = opposite(topic.sentiment)
    asked = rng.sample(ASKED, N_REPLIES[part])
    near = rng.sample(kept, min(3, len(kept)))
    locality = [probe(ORIGIN[i].format(topic.name), topic.town, "same_subject") for i in range(len(ORIGIN))]
    locality += [
        probe(rng.choice(ASKED).format(f"the {each.name}"), usual_reply(each, rng), "neighborhood") for each in near
    ]
    locality.append(probe(rng.choice(ORIGIN).format(near[0].name), near[0].town, "neutral"))
    return {
        "id": f"sentiment-{topic.name.replace(' ', '-')}",
        "prompt": TOPIC,
        "subject": topic.name,
        "target_new": f"Sentiment: {wanted}",
        "target_true": f"Sentiment: {opposite(wanted)}",
        "locality": locality,
        "portability": [
            probe(question.format(f"the {topic.name}"), reply(topic.name, wanted, rng), REPLY) for question in asked
        ],
    }
