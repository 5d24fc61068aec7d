"""Who is asked what: a state with memories sends each prompt where they say, once, and asks its own model the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchmgr.metrics.contract import Answer, Forced, Free, Question

if TYPE_CHECKING:
    from patchmgr.methods.contract import LoadedModel


@dataclass(frozen=True)
class Branch:
    """One model and what it is asked."""

    loaded: LoadedModel
    asked: Mapping[Forced | Free, tuple[Question, ...]]
    """For each question to it, those that its answer answers: several prompts may become one."""

    def answers(self, found: Mapping[Question, Answer]) -> dict[Question, Answer]:
        """Some answers, to the questions as they were."""
        return {
            original: found[question] for question in self.asked.keys() & found for original in self.asked[question]
        }


def branches(loaded: LoadedModel, questions: Sequence[Forced | Free]) -> list[Branch]:
    """Every question at the model that answers it, with the prompt that the memory gave it."""
    if loaded.router is None:
        return [Branch(loaded, {question: (question,) for question in questions})]
    prompts = list(dict.fromkeys(question.prompt for question in questions))
    routes = dict(zip(prompts, loaded.router.route(prompts), strict=True))
    models: dict[int, LoadedModel] = {}
    asked: dict[int, dict[Forced | Free, tuple[Question, ...]]] = {}
    for question in questions:
        route = routes[question.prompt]
        model = loaded if route is None or route.model is None else route.model
        put = question if route is None else replace(question, prompt=route.prompt)
        models[id(model)] = model
        of_model = asked.setdefault(id(model), {})
        of_model[put] = (*of_model.get(put, ()), question)
    return [Branch(model, asked[key]) for key, model in models.items()]
