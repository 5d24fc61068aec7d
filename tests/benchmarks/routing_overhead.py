"""What asking a memory first costs: tokens a second and time to the first token, beside the bare model, in one run.

    python tests/benchmarks/routing_overhead.py                       # the demo base, a memory of 1,000 edits
    python tests/benchmarks/routing_overhead.py --model DIR --encoder minilm --edits 10000

*Claims nothing*: questions that no entry is about. *Hits*: every question is about an entry, so the model reads the
entry in front of it as well. *Half*: batches of both, which are answered in two parts. Times are those of the
processor, one thread, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from synthetic import invented_requests, outside

from patchmgr.demo.world import atlas_folder, load_world
from patchmgr.live.load import load_model
from patchmgr.live.routed import RoutedModel
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.runtime import Router
from patchmgr.package.memory.operations import entries_after, operations_after
from patchmgr_memory.encoder import Encoder, encoder_folder
from patchmgr_memory.texts import TextMemory


def main() -> None:
    parser = argparse.ArgumentParser(description="the overhead of routing")
    parser.add_argument("--model", type=Path, default=atlas_folder(), help="a checkpoint folder")
    parser.add_argument("--encoder", default="demo", help="demo, minilm, or a folder")
    parser.add_argument("--threshold", type=float, default=0.9)
    parser.add_argument("--edits", type=int, default=1_000)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8], help="questions of a batch")
    parser.add_argument("--tokens", type=int, default=32, help="new tokens")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load_model(given.model, "bench")
    requests = invented_requests(load_world(), given.edits, 0)
    model = RoutedModel(loaded, Router((("kb@v1", memory(requests, given)),)))
    inside = [request.rephrasings[0] for request in requests]
    strangers = [prompt for _, prompt in outside(load_world(), requests, 0, 40)]
    strangers = [p for p, route in zip(strangers, model.routes(strangers), strict=True) if route is None]
    inside = [p for p, route in zip(inside, model.routes(inside), strict=True) if route is not None]
    print(f"{given.model.name}, {given.edits} edits, {given.tokens} new tokens, fastest of {given.rounds}")
    print(f"{'rows':>4}  {'':<26}{'tokens/s':>10}{'ratio':>8}{'first token, ms':>18}{'more, ms':>10}")
    for rows in given.rows:
        half = [*inside[: rows // 2], *strangers[: rows - rows // 2]]
        cases = {
            "no memory": (loaded.model, strangers[:rows]),
            "a memory, claims nothing": (model, strangers[:rows]),
            "no memory, hits' questions": (loaded.model, inside[:rows]),
            "a memory, hits": (model, inside[:rows]),
        }
        if rows > 1:
            cases |= {"no memory, half": (loaded.model, half), "a memory, half": (model, half)}
        works = {name: partial(generate, who, loaded, prompts) for name, (who, prompts) in cases.items()}
        whole = fastest({name: partial(work, given.tokens) for name, work in works.items()}, given.rounds)
        first = fastest({name: partial(work, 1) for name, work in works.items()}, given.rounds)
        for number, name in enumerate(cases):
            bare = list(cases)[number - number % 2]
            print(
                f"{rows:>4}  {name:<26}{rows * given.tokens / whole[name]:>10.0f}{whole[bare] / whole[name]:>8.2f}"
                f"{1000 * first[name]:>18.1f}{1000 * (first[name] - first[bare]):>10.1f}"
            )


def memory(requests: list[Any], given: argparse.Namespace) -> TextMemory:
    """A memory of retrieve-and-prepend, without a package around it."""
    from patchmgr_retrieve.parameters import RetrieveParameters
    from patchmgr_retrieve.write import filled

    template = RetrieveParameters().template
    entries = entries_after(operations_after((), requests))
    encoder = Encoder.load(encoder_folder(given.encoder), "mean")
    keys = encoder.encode([entry.prompt for entry in entries])

    def write(question: str, hits: Any) -> str:
        return filled(template, prompt=hits[0].prompt, target=hits[0].target, query=question)

    return TextMemory(entries, keys, encoder, given.threshold, 1, write)


def generate(model: Any, loaded: LoadedModel, prompts: list[str], tokens: int) -> None:
    """So many new tokens behind each prompt, from the text on."""
    loaded.tokenizer.padding_side = "left"
    loaded.tokenizer.pad_token = loaded.tokenizer.pad_token or loaded.tokenizer.eos_token
    ids = loaded.tokenizer(prompts, return_tensors="pt", padding=True)
    model.generate(
        input_ids=ids["input_ids"],
        attention_mask=ids["attention_mask"],
        min_new_tokens=tokens,
        max_new_tokens=tokens,
        do_sample=False,
        pad_token_id=loaded.tokenizer.pad_token_id,
    )


def fastest(works: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Seconds of the processor for each, taken in turn; the first round does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            times[name].append(time.process_time() - start)
    return {name: min(found[1:]) for name, found in times.items()}


if __name__ == "__main__":
    main()
