"""SERAC on the demo base: trained on facts of some subjects, it edits facts of others.

    python tests/benchmarks/serac_atlas.py --work DIR                        # 10 and 100 edits at once
    python tests/benchmarks/serac_atlas.py --work DIR --set router=two-stage --edits 10,100,300
    python tests/benchmarks/serac_atlas.py --work DIR --other-base FOLDER    # the same editor on another model

A training that was interrupted goes on from DIR; one that ended there is used as it is. ``--seed`` draws subjects:
three quarters are trained on, an eighth says when to stop, and of an eighth facts are edited. ES is the share of the
edits' own prompts and rephrasings whose answer is right in every token under teacher forcing, DD one minus the argmax
agreement with the base on the edits' locality probes; *scope* is the share of questions about the edits' subjects that
ask something else and are left to the base.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from patchmgr.demo.edits import edit_requests
from patchmgr.demo.world import atlas_folder, load_world
from patchmgr.evaluate.engine import Engine, State
from patchmgr.live.load import load_model
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel
from patchmgr.methods.runtime import Router
from patchmgr.methods.training import Editor, TrainedDraft, TrainingContext, TrainingData
from patchmgr.metrics.contract import Answers, Forced
from patchmgr.package.memory.bundle import read_bundle, write_bundle
from patchmgr.request import EditRequest, parse_request
from patchmgr_serac import Serac, SeracTrainer

DRAWS = 4
"""Times that every fact of a training subject is given another object."""
N_FACTS = 1900
"""Facts that can be edited, nearly all."""
TOKENS = 2048
SETTINGS = {"portability_share": 0, "validate_every": 150, "validation_entries": 100, "steps": 1500}
"""Two-hop questions need to know, say, which country a city lies in; no router knows that of a subject it never saw."""


def main() -> None:
    parser = argparse.ArgumentParser(description="SERAC on the demo base")
    parser.add_argument("--work", type=Path, required=True, help="folder of the training")
    parser.add_argument("--edits", default="10,100", help="edits at once, several sizes")
    parser.add_argument("--facts", type=int, default=200, help="facts that are edited in groups of each size")
    parser.add_argument("--seed", type=int, default=0, help="which subjects")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the training")
    parser.add_argument("--other-base", type=Path, help="another model, on which the editor is measured as it is")
    given = parser.parse_args()
    torch.set_num_threads(1)
    base = load_model(atlas_folder(), "atlas")
    data, held_out = split(given.seed)
    print(f"{len(data.training)} requests trained on, {len(data.validation)} validated with, {len(held_out)} held out")
    draft = trained(base, data, given.work, dict(setting.split("=", 1) for setting in given.set), given.seed)
    print({name: round(value, 4) for name, value in draft.figures.items()}, f"after {draft.steps} steps")
    editor = Editor("scope@v1", "0" * 64, Serac.name, draft.parameters, draft.files)
    if given.other_base is not None:
        base = load_model(given.other_base, "other")
        print(f"on {type(base.model).__name__}")
    for size in map(int, given.edits.split(",")):
        print(f"{size} at once: {measured(base, editor, held_out[: max(given.facts, size)], size)}")


def split(seed: int) -> tuple[TrainingData, list[EditRequest]]:
    """Requests about subjects to train on, to validate with, and to edit; no text of one names a subject of another."""
    subjects = sorted({fact.subject for fact in load_world().facts})
    random.Random(f"subjects {seed}").shuffle(subjects)
    eighth = len(subjects) // 8
    parts = [subjects[2 * eighth :], subjects[:eighth], subjects[eighth : 2 * eighth]]
    requests = [parse_request(value, where="the demo's world") for value in edit_requests(N_FACTS, seed)]
    training = [request for request in requests if request.subject in parts[0]]
    validation, held_out = ([each for each in requests if each.subject in part] for part in parts[1:])
    secret = (*parts[1], *parts[2])
    learned = [without(request, secret) for request in training]
    rng = random.Random(f"targets {seed}")
    others = [other_target(request, requests, rng) for _ in range(DRAWS - 1) for request in learned]
    return TrainingData([*learned, *others], validation), held_out


def other_target(request: EditRequest, requests: Sequence[EditRequest], rng: random.Random) -> EditRequest:
    """The same question with another request's answer of its relation; what would follow from that is not asked."""
    target = rng.choice([each.target_new for each in requests if each.relation == request.relation])
    return request.model_copy(update={"target_new": target, "portability": ()})


def without(request: EditRequest, subjects: Iterable[str]) -> EditRequest:
    """A request without the probes that name one of some subjects."""

    def kept(probes: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(probe for probe in probes if not any(subject in probe.prompt for subject in subjects))

    return request.model_copy(update={"locality": kept(request.locality), "portability": kept(request.portability)})


def trained(base: LoadedModel, data: TrainingData, work: Path, settings: Mapping[str, Any], seed: int) -> TrainedDraft:
    """The editor, trained in a folder or gone on with there."""
    work.mkdir(parents=True, exist_ok=True)
    start, last = time.perf_counter(), [0, time.perf_counter()]

    def report(step: int, figures: Mapping[str, float]) -> None:
        now = time.perf_counter()
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        print(
            f"step {step}, {now - start:.0f} s, {1e3 * (now - last[1]) / (step - last[0]):.0f} ms a step: {shown}",
            flush=True,
        )
        last[:] = [step, now]

    context = TrainingContext(work, seed=seed, report=report)
    return SeracTrainer().train(base, data, SeracTrainer.parameters(**{**SETTINGS, **settings}), context)


def measured(base: LoadedModel, editor: Editor, requests: Sequence[EditRequest], size: int) -> dict[str, float]:
    """Means over groups of so many edits at once, every edit asked about with its group in the memory."""
    engine = Engine(batch_tokens=TOKENS)
    before = engine.ask(State("atlas", lambda: nullcontext(base)), _questions(requests))
    found: dict[str, list[float]] = {}
    seconds, n_questions, n_bytes = 0.0, 0, 0
    for at in range(0, len(requests) - size + 1, size):
        group = requests[at : at + size]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            payload = Serac().edit(base, group, Serac.parameters(), EditContext(ArtefactStore(folder), editor=editor))
            write_bundle(folder, payload.memory)
            files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
            n_bytes = sum(path.stat().st_size for path in files.values())
            memory = Serac().open(read_bundle("memory", files), "cpu")
            start = time.perf_counter()
            routes = memory.route([question.prompt for question in _questions(group)])
            seconds, n_questions = seconds + time.perf_counter() - start, n_questions + len(routes)
            state = LoadedModel(base.model, base.tokenizer, f"atlas {at}", Router((("memory", memory),)))
            after = engine.ask(State(state.state_root, lambda state=state: nullcontext(state)), _questions(group))
        _add(found, group, before, after, {q.prompt: r for q, r in zip(_questions(group), routes, strict=True)})
    means = {name: round(sum(values) / len(values), 4) for name, values in found.items()}
    return {**means, "ms a question": round(1e3 * seconds / n_questions, 2), "MB": round(n_bytes / 1e6, 2)}


def _questions(requests: Sequence[EditRequest]) -> list[Forced]:
    asked = [Forced(text, each.target_new) for each in requests for text in (each.text, *each.rephrasings)]
    probes = [Forced(p.prompt, p.target) for each in requests for p in (*each.locality, *each.portability)]
    return list(dict.fromkeys([*asked, *probes]))


def _add(
    found: dict[str, list[float]],
    requests: Sequence[EditRequest],
    before: Answers,
    after: Answers,
    routes: Mapping[str, Any],
) -> None:
    """Values of one group, by figure."""

    def right(prompt: str, target: str) -> float:
        answer = after.forced(prompt, target)
        return float(answer.found == answer.target)

    own = {request.text for request in requests}
    for request in requests:
        texts = (request.text, *request.rephrasings)
        found.setdefault("ES", []).extend(right(text, request.target_new) for text in texts)
        found.setdefault("claimed", []).extend(float(routes[text] is not None) for text in texts)
        found.setdefault("portability", []).extend(right(each.prompt, each.target) for each in request.portability)
        for probe in request.locality:
            if probe.prompt in own:
                continue
            answers = (state.forced(probe.prompt, probe.target).found for state in (before, after))
            agree = [float(one == other) for one, other in zip(*answers, strict=True)]
            found.setdefault("DD", []).append(1 - sum(agree) / len(agree))
            if probe.kind == "same_subject":
                found.setdefault("scope", []).append(float(routes[probe.prompt] is None))


if __name__ == "__main__":
    main()
