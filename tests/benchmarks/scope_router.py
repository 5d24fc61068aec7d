"""SERAC's scope classifier on real questions: trained on some subjects, asked about others.

    python tests/benchmarks/scope_router.py --data cls-filtered.json --work DIR
    python tests/benchmarks/scope_router.py --data cls-filtered.json --work DIR --encoder minilm --set steps=60

Any format that patchmgr reads will do; made for PokeMQA's data, sentences of MQuAKE with questions in their scope. Half
of the held-out requests are the memory: their questions are in scope, those of the other half are not, and among these
are other questions about subjects of the memory. *cosine* is the encoder as it comes, with the threshold that is best
on the validation requests: what retrieve-and-prepend would do.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from patchmgr.demo.world import atlas_folder
from patchmgr.live.load import load_model
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel
from patchmgr.methods.loader import load_plugins
from patchmgr.methods.training import Editor, TrainingContext, TrainingData
from patchmgr.package.memory.bundle import read_bundle, write_bundle
from patchmgr.readers import read_edits
from patchmgr.request import EditRequest
from patchmgr_memory.encoder import Encoder, encoder_folder
from patchmgr_memory.search import nearest
from patchmgr_serac import Serac, SeracTrainer
from patchmgr_serac.equations import best_threshold

Hit = tuple[bool, str | None]
"""Whether a question is claimed, and the prompt of the entry that it is claimed for."""


def main() -> None:
    parser = argparse.ArgumentParser(description="SERAC's scope classifier on real questions")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of the training")
    parser.add_argument("--encoder", default="demo")
    parser.add_argument("--requests", type=int, default=3000, help="taken of the file: 8 in 10 are trained on")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the training")
    given = parser.parse_args()
    torch.set_num_threads(1)
    training, validation, held_out = split(given.data, given.requests)
    print(f"{len(training)} requests trained on, {len(validation)} validated with, {len(held_out)} held out")
    print_figures(f"{given.encoder}, cosine", held_out, cosine(given.encoder, validation, held_out))
    settings = dict(setting.split("=", 1) for setting in given.set)
    parameters = SeracTrainer.parameters(encoder=given.encoder, counterfactual="base", **settings)
    start = time.process_time()
    base, given_work = load_model(atlas_folder(), "atlas"), given.work / given.encoder
    given_work.mkdir(parents=True, exist_ok=True)
    context = TrainingContext(given_work, report=lambda step, figures: print(step, figures, flush=True))
    draft = SeracTrainer().train(base, TrainingData(training, validation), parameters, context)
    print(f"{draft.steps} steps, {time.process_time() - start:.0f} s of CPU")
    editor = Editor("scope@v1", "0" * 64, Serac.name, draft.parameters, draft.files)
    print_figures(f"{given.encoder}, trained", held_out, routed(base, editor, held_out))


def split(path: Path, count: int) -> tuple[list[EditRequest], list[EditRequest], list[EditRequest]]:
    """Requests to train on, to validate with, and held out: 8, 1 and 1 subjects in 10; no prompt comes twice."""
    found = {request.text: request for request in read_edits(path, load_plugins().readers).requests}
    requests = random.Random(0).sample(list(found.values()), min(count, len(found)))
    parts: tuple[list[EditRequest], ...] = ([], [], [])
    for request in requests:
        share = random.Random(f"part of {request.subject}").random()
        parts[0 if share < 0.8 else 1 if share < 0.9 else 2].append(request)
    return parts[0], parts[1], parts[2]


def halves(requests: Sequence[EditRequest]) -> tuple[list[EditRequest], list[EditRequest]]:
    """The memory, and requests whose questions are out of scope."""
    return list(requests[::2]), list(requests[1::2])


def questions(requests: Sequence[EditRequest]) -> list[tuple[str, str]]:
    """(question, prompt of its request)."""
    return [(text, request.text) for request in requests for text in request.rephrasings]


def cosine(encoder: str, validation: Sequence[EditRequest], held_out: Sequence[EditRequest]) -> list[Hit]:
    """What the untrained encoder claims."""
    model = Encoder.load(encoder_folder(encoder), "mean")

    def found(requests: Sequence[EditRequest]) -> list[tuple[float, str]]:
        memory = halves(requests)[0]
        asked = [text for half in halves(requests) for text, _ in questions(half)]
        hits = nearest(model.encode(asked), model.encode([each.text for each in memory]), 1)
        places = [memory[place].text for place in hits.places[:, 0].tolist()]
        return list(zip(hits.cosines[:, 0].tolist(), places, strict=True))

    known = found(validation)
    n_inside = len(questions(halves(validation)[0]))
    inside, outside = (torch.tensor([cos for cos, _ in part]) for part in (known[:n_inside], known[n_inside:]))
    threshold = best_threshold(inside, outside, published=0.8)
    return [(cos > threshold, prompt) for cos, prompt in found(held_out)]


def routed(base: LoadedModel, editor: Editor, held_out: Sequence[EditRequest]) -> list[Hit]:
    """What a bundle of the memory claims, as it was written."""
    memory, _ = halves(held_out)
    asked = [text for half in halves(held_out) for text, _ in questions(half)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        payload = Serac().edit(base, memory, Serac.parameters(), EditContext(ArtefactStore(folder), editor=editor))
        assert payload.memory is not None
        write_bundle(folder, payload.memory)
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        bundle = read_bundle("memory", files)
        prompts = {entry.id: entry.prompt for entry in bundle.entries}
        routes = Serac().open(bundle, "cpu").route(asked)
    return [(route is not None, prompts[route.entries[0]] if route else None) for route in routes]


def print_figures(name: str, held_out: Sequence[EditRequest], hits: Sequence[Hit]) -> None:
    """Balanced accuracy, the share that goes to its own entry, and what is left alone about subjects of the memory."""
    memory, others = halves(held_out)
    subjects = {request.subject for request in memory}
    inside, outside = questions(memory), questions(others)
    about = [request.subject in subjects for request in others for _ in request.rephrasings]
    claimed = [hit for hit, _ in hits[: len(inside)]]
    left = [not hit for hit, _ in hits[len(inside) :]]
    home = [hit and prompt == own for (hit, prompt), (_, own) in zip(hits, inside, strict=False)]
    same = [one for one, is_about in zip(left, about, strict=True) if is_about]
    balanced = (mean(claimed) + mean(left)) / 2
    print(f"{name}: balanced accuracy {balanced:.3f}; {mean(claimed):.3f} of {len(inside)} in scope claimed")
    print(f"  by their own entry {mean(home):.3f}; {mean(left):.3f} of {len(outside)} out of scope left alone")
    print(f"  of them about the memory's subjects {mean(same):.3f} of {len(same)}", flush=True)


def mean(values: Sequence[bool]) -> float:
    """Share of the true ones; NaN of none."""
    return sum(values) / len(values) if values else float("nan")


if __name__ == "__main__":
    main()
