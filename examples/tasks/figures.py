"""What the base of the tasks answers: what it was taught, and edits of subjects that it never saw edited."""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "atlas"))  # measured as the demo base is

from recall import answered
from tokenizers import Tokenizer
from transformers import PreTrainedModel

import claims
import hard_questions
import opinions
from documents import text
from parts import Request, other
from questions import Known

Question = tuple[str, str]
FORMS = {
    "prepended": "{fact}. {question}",
    "counterfactual": "{fact} {question}",
    "new fact": "New Fact: {fact}\nPrompt: {question}",
}


def figures(model: PreTrainedModel, tokenizer: Tokenizer, part: str = "validation") -> dict[str, float]:
    """Shares of questions whose answer is greedily right, token for token."""
    asked = {**_taught(Known.load()), **_edited(part)}
    flat = [(name, question) for name, questions in asked.items() for question in questions]
    hits = answered(model, tokenizer, [question for _, question in flat])
    found: dict[str, list[bool]] = {}
    for (name, _), hit in zip(flat, hits, strict=True):
        found.setdefault(name, []).append(hit)
    return {name: sum(each) / len(each) for name, each in found.items()}


def _taught(known: Known) -> dict[str, list[Question]]:
    rng, world = random.Random("figures"), known.world
    facts = rng.sample(world.facts, 300)
    asked = {"facts, held-out wordings": [(world.prompt(f, f.held_out[0]), f.object) for f in facts]}
    asked["facts, true or false"] = [
        (hard_questions.true_or_false(world, f, said, rng), answer)
        for f in facts
        for said, answer in ((f.object, "Yes"), (other(known.objects[f.relation], f.object, rng=rng), "No"))
    ]
    places = rng.sample(claims.places(7), 60)
    asked["claims, closed book"] = [
        claims.claim(place.name, key, value, is_true, rng)
        for place in places
        for key, value in place.values.items()
        for is_true in (True, False)
    ]
    topics = rng.sample(opinions.topics(7), 60)
    asked["where topics come from"] = [(opinions.ORIGIN[0].format(topic.name), topic.town) for topic in topics]
    return asked


def _edited(part: str) -> dict[str, list[Question]]:
    """Questions in scope of an edit in front, and questions out of it."""
    asked: dict[str, list[Question]] = {}
    tasks = {"qa-hard": hard_questions.requests, "fc": claims.requests}
    for task, requests in tasks.items():
        for form, template in FORMS.items():
            for request in requests(part, 7):  # type: ignore[arg-type]
                fact = f"{text(request)} {request['target_new']}"
                for kind, question, answer in _questions(request):
                    written = template.format(fact=fact, question=question)
                    asked.setdefault(f"{task}, {form}: {kind}", []).append((written, answer))
    return asked


def _questions(request: Request) -> list[tuple[str, str, str]]:
    same = [("rephrased", prompt, request["target_new"]) for prompt in request.get("rephrasings", ())]
    entailed = [(each["kind"], each["prompt"], each["target"]) for each in request.get("portability", ())]
    kept = [("out of scope", each["prompt"], each["target"]) for each in request["locality"]]
    return [*same, *entailed, *kept]
