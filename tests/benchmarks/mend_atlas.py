"""MEND on the demo base: trained on facts of some subjects, it edits facts of others.

    python tests/benchmarks/mend_atlas.py --work DIR                         # 1, 10 and 100 edits in one package
    python tests/benchmarks/mend_atlas.py --work DIR --set aggregation=malmen --set edits=20

A training that was interrupted goes on from DIR; one that ended there is used as it is. Which facts are drawn, and how
they are parted, is as in serac_atlas.py. Scores are means over groups of so many edits at once, each on the base with
the change of its group: reliability, generalization, locality (neighbours and the subject's other facts, apart) under
teacher forcing, as `patchmgr edit` stores them; probes that another edit of the group answers are left out. Seconds are
those of the processor for the method's computation alone, on one thread: the editor is read from its files, model and
requests are in memory, and nothing is stored or measured.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from serac_atlas import split

from patchmgr.canonical import sha256_json
from patchmgr.demo.world import atlas_folder
from patchmgr.evaluate.engine import Engine
from patchmgr.evaluate.measure import measure_change
from patchmgr.live.load import load_model
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel
from patchmgr.methods.loader import load_plugins
from patchmgr.methods.training import Editor, TrainedDraft, TrainingContext, TrainingData
from patchmgr.request import EditRequest
from patchmgr.testing.payloads import changed_values
from patchmgr_mend import Mend, MendTrainer

MEASURED = ("reliability", "generalization", "locality", "portability")
SHOWN = ("reliability", "generalization", "locality", "locality/neighborhood", "locality/same_subject", "portability")


def main() -> None:
    parser = argparse.ArgumentParser(description="MEND on the demo base")
    parser.add_argument("--work", type=Path, required=True, help="folder of the training")
    parser.add_argument("--edits", default="1,10,100", help="edits at once, several sizes")
    parser.add_argument("--facts", type=int, default=100, help="facts that are edited in groups of each size")
    parser.add_argument("--aggregations", default="sum,malmen", help="how edits come together")
    parser.add_argument("--ridges", default="", help="lambda of malmen, several; none: the editor's")
    parser.add_argument("--seed", type=int, default=0, help="which subjects")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the training")
    given = parser.parse_args()
    torch.set_num_threads(1)
    base = load_model(atlas_folder(), sha256_json("atlas"))
    data, held_out = split(given.seed)
    print(f"{len(data.training)} requests trained on, {len(data.validation)} validated with, {len(held_out)} held out")
    draft = trained(base, data, given.work, dict(setting.split("=", 1) for setting in given.set), given.seed)
    print({name: round(value, 4) for name, value in draft.figures.items()}, f"after {draft.steps} steps", flush=True)
    editor = Editor("mend@v1", "0" * 64, Mend.name, draft.parameters, draft.files)
    for aggregation in given.aggregations.split(","):
        ridges = [float(each) for each in given.ridges.split(",") if each and aggregation == "malmen"] or [None]
        for ridge in ridges:
            for size in map(int, given.edits.split(",")):
                settings = {"aggregation": aggregation, "ridge": ridge}
                found = measured(base, editor, held_out[: max(given.facts, size)], size, settings)
                print(f"{aggregation}{'' if ridge is None else f' {ridge:g}'}, {size} at once: {found}", flush=True)


def trained(base: LoadedModel, data: TrainingData, work: Path, settings: Mapping[str, Any], seed: int) -> TrainedDraft:
    """The editor, trained in a folder or gone on with there."""
    work.mkdir(parents=True, exist_ok=True)
    start, last = time.process_time(), [0, time.process_time()]

    def report(step: int, figures: Mapping[str, float]) -> None:
        now = time.process_time()
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        each = 1e3 * (now - last[1]) / (step - last[0])
        print(f"step {step}, {now - start:.0f} CPU s, {each:.0f} ms a step: {shown}", flush=True)
        last[:] = [step, now]

    context = TrainingContext(work, seed=seed, report=report)
    return MendTrainer().train(base, data, MendTrainer.parameters(**settings), context)


def measured(
    base: LoadedModel, editor: Editor, requests: Sequence[EditRequest], size: int, settings: Mapping[str, Any]
) -> dict[str, float]:
    """Means over groups of so many edits at once, and the median of the seconds that a group took."""
    engine, known = Engine(batch_tokens=2048), load_plugins().metrics
    metrics = [known[name] for name in MEASURED]
    found: dict[str, list[float]] = {}
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        context = EditContext(ArtefactStore(Path(folder)), editor=editor)
        for at in range(0, len(requests) - size + 1, size):
            group = apart(requests[at : at + size])
            start = time.process_time()
            payload = Mend().edit(base, group, Mend.parameters(**settings), context)
            seconds.append(time.process_time() - start)
            weights = {
                delta.module_weight: torch.from_numpy(
                    changed_values(delta, base.model.get_parameter(delta.module_weight).double().detach().numpy())
                ).float()
                for delta in payload.deltas
            }
            for score in measure_change(engine, base, group, metrics, weights, sha256_json([str(settings), size, at])):
                if score.phase == "after" and score.protocol == "tf":
                    found.setdefault(score.metric, []).append(score.value)
    means = {name: round(statistics.fmean(found[name]), 4) for name in SHOWN if name in found}
    return {**means, "CPU s": round(statistics.median(seconds), 4)}


def apart(group: Sequence[EditRequest]) -> list[EditRequest]:
    """A group without the locality probes that another of its edits answers anew."""
    edited = {text for request in group for text in (request.text, *request.rephrasings)}
    kept = [tuple(probe for probe in request.locality if probe.prompt not in edited) for request in group]
    return [request.model_copy(update={"locality": probes}) for request, probes in zip(group, kept, strict=True)]


if __name__ == "__main__":
    main()
