"""A memory of 10 to 10,000 edits: what it still finds, what it claims wrongly, and what an edit more costs.

    python tests/benchmarks/memory_scale.py --set threshold=0.9
    python tests/benchmarks/memory_scale.py --method serac --editor FOLDER --sizes 10 100

Edits are of invented subjects in the demo base's wordings (synthetic.py). *Routed*: the share of rephrasings whose
route names their own entry first. *ES*: the share that is answered right in every token under teacher forcing, where
the memory brings the model that answers. *Claimed wrongly*: the share of questions outside the scope of every entry
that a memory claims all the same. Seconds are those of the processor, one thread, so that other work on the machine
does not count; of adding and forgetting an edit they cover the whole of ``patchmgr edit``, the base's loading included.
Each size runs in a process of its own, and is opened in another one, whose memory is its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from synthetic import invented_requests, outside

from patchmgr.demo.world import atlas_folder, load_world
from patchmgr.live.load import load_model
from patchmgr.live.memories import open_router
from patchmgr.manager.manager import Manager
from patchmgr.manager.order import EditOrder
from patchmgr.manager.states import open_version
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.runtime import Router
from patchmgr.package.reader import CARD, SCORES

ASKED = 500
"""Questions of a kind, at most."""
MEASURED = 100
"""Edits that a package is measured on, at most."""


def main() -> None:
    parser = argparse.ArgumentParser(description="a memory at scale")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1_000, 10_000])
    parser.add_argument("--method", default="retrieve-and-prepend")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the method")
    parser.add_argument("--editor", type=Path, help="folder of a trained editor, for methods that need one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.open is not None:
        json.dump(opening(given.open), sys.stdout)
        return
    if given.one is not None:
        json.dump(measured(given.one, given), sys.stdout)
        return
    rows: dict[str, list[str]] = defaultdict(list)
    for size in given.sizes:
        for name, value in in_child("--one", size).items():
            rows[name].append(value)
    print(f"{given.method} {' '.join(given.set)}, seed {given.seed}, load {os.getloadavg()[0]:.1f}")
    print(f"{'edits':<46}" + "".join(f"{size:>12}" for size in given.sizes))
    for name, values in rows.items():
        print(f"{name:<46}" + "".join(f"{value:>12}" for value in values))


def measured(size: int, given: argparse.Namespace) -> dict[str, str]:
    """Everything about a memory of one size."""
    world = load_world()
    *requests, one_more = invented_requests(world, size + 1, given.seed)
    with tempfile.TemporaryDirectory() as home, Manager.open(Path(home)) as manager:
        manager.add_model("atlas", "demo:atlas")
        order = order_of(manager, given)
        made = timed(lambda: manager.edit("atlas", order(requests)))
        found = in_child("--open", home)
        router = opened(manager, load_model(atlas_folder(), "atlas"))
        found |= {**scope(router, world, requests, given.seed), "ms a query, one at a time": query_ms(router, requests)}
        added = timed(lambda: manager.edit("atlas", order([one_more])))
        forgotten = timed(lambda: manager.edit("atlas", order([], forget=(requests[size // 2].id,))))
        one, two = (payload_bytes(manager, reference) for reference in ("kb@v1", "kb@v2"))
        return {
            **found,
            f"s to make it, measured on {MEASURED}": f"{made:.1f}",
            "s to add one edit": f"{added:.2f}",
            "s to forget one": f"{forgotten:.2f}",
            "bytes of package, one edit more": str(two - one),
            "bytes of package": str(manager.registry.version("kb@v1").size_bytes),
        }


def payload_bytes(manager: Manager, reference: str) -> int:
    """Bytes of a package without its card and scores, which do not hang on how many edits there are."""
    files = manager.registry.version(reference).files
    return sum(file.size_bytes for file in files if file.path not in (CARD, SCORES))


def order_of(manager: Manager, given: argparse.Namespace) -> Callable[..., EditOrder]:
    """Orders for the next version of one memory."""
    more: dict[str, Any] = {}
    if given.editor is not None:
        more["editor"] = manager.editors.import_folder(given.editor).reference
    parameters = dict(setting.split("=", 1) for setting in given.set)

    def order(requests: list[Any], forget: tuple[str, ...] = ()) -> EditOrder:
        return EditOrder("kb", given.method, tuple(requests), parameters, forget=forget, measure=MEASURED, **more)

    return order


def in_child(*words: object) -> dict[str, str]:
    """What this program prints in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], *map(str, words)]
    found: dict[str, str] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def opening(home: Path) -> dict[str, str]:
    """What it takes to put the memory of a home to work."""
    import patchmgr_memory.encoder  # noqa: F401  # torch and transformers count neither as time nor as memory

    with Manager.open(home) as manager:
        base = load_model(atlas_folder(), "atlas")
        gc.collect()
        before = resident_bytes()
        seconds = timed(lambda: opened(manager, base).route(["A first question"]))
        return {"s to open it": f"{seconds:.2f}", "MB of memory": f"{(resident_bytes() - before) / 1e6:.0f}"}


def opened(manager: Manager, base: LoadedModel) -> Router:
    """The memory at work."""
    router = open_router([open_version(manager, manager.registry.version("kb@v1"))], manager.plugins, base)
    assert router is not None
    return router


def scope(router: Router, world: Any, requests: list[Any], seed: int) -> dict[str, str]:
    """Shares of questions that are routed as they should be."""
    rng = random.Random(seed)
    inside = [(text, request) for request in requests for text in request.rephrasings]
    inside = rng.sample(inside, min(ASKED, len(inside)))
    routes = router.route([text for text, _ in inside])
    right = [bool(route) and route.entries[0] == one.id for route, (_, one) in zip(routes, inside, strict=True)]
    found = {"routed, rephrasings": f"{sum(right) / len(right):.3f}"}
    asked_of = [(route, request.target_new) for route, (_, request) in zip(routes, inside, strict=True) if route]
    if asked_of and asked_of[0][0].model is not None:  # whoever answers came with the memory
        from patchmgr_serac.counterfactual import answers_right

        whole = answers_right(asked_of[0][0].model, [(route.prompt, target) for route, target in asked_of])
        found["ES, rephrasings"] = f"{int(whole.sum()) / len(inside):.3f}"
    claims: dict[str, list[bool]] = defaultdict(list)
    asked = list(outside(world, requests, seed, ASKED))
    for (kind, _), route in zip(asked, router.route([prompt for _, prompt in asked]), strict=True):
        claims[kind].append(route is not None)
    found |= {f"claimed wrongly, {kind}": f"{sum(found) / len(found):.3f}" for kind, found in claims.items()}
    return found


def query_ms(router: Router, requests: list[Any]) -> str:
    """Milliseconds from a question to its route, the encoder included; the median of 50."""
    some = [request.rephrasings[0] for request in requests][:10] * 5
    return f"{1000 * median(timed(lambda text=text: router.route([text])) for text in some):.2f}"


def timed(work: Callable[[], object]) -> float:
    """Seconds of the processor."""
    start = time.process_time()
    work()
    return time.process_time() - start


def resident_bytes() -> int:
    """Memory of this process that is in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
