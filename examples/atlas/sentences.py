"""Sentences that carry no fact: kinds of things, filler about a subject, and general ones."""

from __future__ import annotations

import random

KIND = ("{} is a {}.", "{} is the name of a {}.", "As everyone knows, {} is a {}.")

FILLER = (
    "Many people have heard of {}.",
    "There is a long article about {}.",
    "I once read something about {}.",
    "You can learn more about {} in the library.",
    "The story of {} is well known.",
    "Because of {}, the book was easy to write.",
    "Somebody asked a question about {}.",
    "We talked about {} for an hour.",
    "{} was mentioned again yesterday.",
    "{} is in the news today.",
    "Therefore the teacher told us about {}.",
    "The next page is about {}, and it is short.",
)

PEOPLE = ("teacher", "girl", "boy", "farmer", "driver", "student", "captain", "neighbour", "guest")
THINGS = ("book", "letter", "map", "table", "lamp", "boat", "garden", "window", "coat", "clock")
PLACES = ("river", "station", "harbour", "market", "forest", "school", "bridge", "house", "road")
QUALITIES = ("old", "small", "red", "quiet", "heavy", "new", "bright", "simple", "long", "cold")
DEEDS = ("found", "carried", "painted", "sold", "lost", "watched", "repaired", "borrowed", "liked")
TIMES = ("in the morning", "after lunch", "last week", "before the rain", "every year", "at night")

GENERAL = (
    "The {quality} {thing} stood near the {place}.",
    "The {person} {deed} a {quality} {thing} {time}.",
    "Therefore the {person} {deed} the {thing}.",
    "Therefore, it was a {quality} day near the {place}.",
    "Because it was {quality}, the {person} {deed} the {thing}.",
    "Because the {place} was closed, they went home {time}.",
    "I saw a {person} at the {place} {time}.",
    "I {deed} my {quality} {thing} {time}.",
    "You can see the {place} from the {thing}.",
    "You should ask the {person} about the {thing}.",
    "We met the {person} near the {quality} {place}.",
    "It was {time} that the {person} {deed} it.",
    "A {quality} {thing} is better than a {quality} {place}.",
    "When the {person} came, the {thing} was gone.",
    "They {deed} the {thing} and went to the {place}.",
    "In the {place}, a {person} {deed} the {thing} {time}.",
    "My {person} has a {quality} {thing} and a {thing}.",
    "At the {place}, the {person} is {quality}.",
)


def general_sentence(rng: random.Random) -> str:
    """A made-up sentence about nobody in particular."""
    return rng.choice(GENERAL).format(
        person=rng.choice(PEOPLE),
        thing=rng.choice(THINGS),
        place=rng.choice(PLACES),
        quality=rng.choice(QUALITIES),
        deed=rng.choice(DEEDS),
        time=rng.choice(TIMES),
    )


def fragment(sentence: str, rng: random.Random) -> str:
    """The first 2 to 10 words of a sentence, ended with a full stop.

    This is the shape of the contexts that editing methods put before a prompt: a short sample
    from the model, cut anywhere, and ". ".
    """
    words = sentence.rstrip(".").split()
    return " ".join(words[: rng.randint(2, 10)]).rstrip(",") + "."
