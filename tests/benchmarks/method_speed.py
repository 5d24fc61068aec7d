"""Seconds an edit of the closed-form methods, against the straightforward published way, in one run.

    python tests/benchmarks/method_speed.py                          # the demo base, 100 edits; some minutes
    python tests/benchmarks/method_speed.py --shape deep --count 40  # GPT-2 style, 12 blocks of 256, vocabulary 8,192
    python tests/benchmarks/method_speed.py --device cuda --shape gptj --alone      # as is llama-2-7b: bf16, random

Both sides take the same number of steps with the same contexts, C and scales; the last column says how far their
deltas lie apart. C itself is computed beforehand and is not in the times; a line of its own compares all layers in
one pass with a pass a layer. On a CPU the times are of the processor, one thread, so other work disturbs less.
With ``--alone`` only our side runs, and peak memory and the machine's ceilings are printed beside it.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from published_path import PublishedPath
from speed_shapes import SHAPES, load, print_ceilings
from torch import Tensor

from patchmgr.demo.edits import edit_requests
from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel, Payload
from patchmgr.methods.loader import load_plugins
from patchmgr.request import EditRequest, parse_request
from patchmgr_keyvalue.factor import damped
from patchmgr_keyvalue.statistics import second_moments

SETTINGS = {"clamp": 0.75, "kl_factor": 0.0625, "stop_loss": 0.0}
PMET = {"sure_weight": 1.0, "sure_drift": 0.0}
"""Both sides take every step with the whole loss."""


def main() -> None:
    parser = argparse.ArgumentParser(description="methods against the published way")
    parser.add_argument("--shape", choices=SHAPES, default="atlas")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--count", type=int, default=100, help="edits of MEMIT and those after it")
    parser.add_argument("--singles", type=int, default=10, help="edits of ROME and R-ROME")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--methods", default="rome,r-rome,memit,emmet,pmet,alphaedit")
    parser.add_argument("--alone", action="store_true", help="our side only, with peak memory and ceilings")
    given = parser.parse_args()
    torch.set_num_threads(1 if given.device == "cpu" else torch.get_num_threads())
    loaded = load(given.shape, given.device)
    print(f"{given.shape} on {given.device}, {loaded.model.dtype}, {given.steps} steps")
    if given.alone:
        print_ceilings(loaded.model)
    print(f"{'method':<12}{'edits':>6}{'s an edit':>11}{'published':>11}{'ratio':>8}{'apart':>10}{'peak GiB':>10}")
    with tempfile.TemporaryDirectory() as folder:
        context = EditContext(ArtefactStore(Path(folder)), seed=1)
        for method in given.methods.split(","):
            compare(loaded, context, method, given)
        compare_covariance(loaded, folder)


def now(loaded: LoadedModel) -> float:
    """Seconds: of the processor on a CPU, of the clock elsewhere, when all that was asked for is done."""
    if loaded.model.device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def compare(loaded: LoadedModel, context: EditContext, name: str, given: argparse.Namespace) -> None:
    """One line of the table."""
    method = load_plugins().methods.get(name)
    if method is None:
        return
    single = name in ("rome", "r-rome")
    requests = [parse(each) for each in edit_requests(given.singles if single else given.count, seed=0)]
    settings = {**SETTINGS, "steps": given.steps, **(PMET if name == "pmet" else {})}
    parameters = method.parameters(**settings, **({} if single else {"batch": given.batch}))
    method.edit(loaded, requests[:1], parameters, context)  # C is computed and kept here
    if loaded.model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = now(loaded)
    payload = method.edit(loaded, requests, parameters, context)
    ours = (now(loaded) - start) / len(requests)
    cuda = loaded.model.device.type == "cuda"
    peak = f"{torch.cuda.max_memory_allocated() / 2**30:>10.1f}" if cuda else ""
    if given.alone:
        print(f"{name:<12}{len(requests):>6}{ours:>11.4f}{'':>29}{peak}", flush=True)
        return
    path = PublishedPath(loaded.model, loaded.tokenizer, payload.contexts, settings)
    start = now(loaded)
    deltas = published(name, path, loaded, requests, payload, context)
    theirs = (now(loaded) - start) / len(requests)
    apart = max(distance(delta, wide, path) for delta, wide in zip(payload.deltas, deltas.values(), strict=True))
    print(
        f"{name:<12}{len(requests):>6}{ours:>11.4f}{theirs:>11.4f}{theirs / ours:>8.1f}{apart:>10.1e}{peak}", flush=True
    )


def compare_covariance(loaded: LoadedModel, folder: str) -> None:
    """C of all layers in one pass over the text, against a pass over it for every layer."""
    architecture = find_architecture(loaded.model)
    projections = [architecture.down_projection(layer) for layer in range(len(architecture.blocks))]
    text = Path(folder) / "text.txt"
    text.write_text("\n".join(parse(each).text for each in edit_requests(300, seed=0)) * 4, encoding="utf-8")

    def seconds(groups: Sequence[Sequence[Any]], name: str) -> float:
        context = EditContext(ArtefactStore(Path(folder) / name), corpus=text)
        start = now(loaded)
        for group in groups:
            second_moments(loaded, group, context, n_tokens=5_000, seed=0)
        return now(loaded) - start

    seconds([projections[:1]], "warm")
    together, each = seconds([projections], "one"), seconds([[one] for one in projections], "each")
    ratio = each / together
    print(f"C of {len(projections)} layers: {together:.2f} s in one pass, {each:.2f} s by layers, {ratio:.1f}")


def published(
    name: str,
    path: PublishedPath,
    loaded: LoadedModel,
    requests: Sequence[EditRequest],
    payload: Payload,
    context: EditContext,
) -> dict[int, Tensor]:
    """ΔW of every layer by the published formula, with what our side derived."""
    used = payload.parameters
    sites = {site["layer"]: site for site in used.get("sites", ())} or {used["layer"]: {}}
    C = covariances(loaded, tuple(sites), used, context)
    scales = used["scales"]
    if name in ("rome", "r-rome"):
        (layer,) = sites
        return {layer: path.rome(layer, requests, scales, C[layer], paper=used["keys"] == "paper")}

    def update(layer: int, K: Tensor, R: Tensor) -> Tensor:
        if name == "emmet":
            inverse = torch.linalg.inv(used["covariance_weight"] * C[layer])
            gram = K.T @ inverse @ K + sites[layer]["slack"] * torch.eye(K.shape[1]).double()
            return R @ torch.linalg.solve(gram, K.T @ inverse)
        if name == "alphaedit":
            _values, vectors = torch.linalg.eigh(C[layer])
            basis = vectors[:, : sites[layer]["directions"]]
            P = basis @ basis.T
            system = P @ (K @ K.T) + sites[layer]["ridge"] * torch.eye(len(P)).double()
            return torch.linalg.solve(system, P @ K @ R.T).T
        return R @ torch.linalg.solve(sites[layer]["covariance_weight"] * C[layer] + K @ K.T, K).T

    if name == "pmet":
        return path.family(tuple(sites), requests, scales, update, path.attention_and_mlp, math.sqrt)
    return path.family(tuple(sites), requests, scales, update, path.whole_block, float)


def covariances(
    loaded: LoadedModel, layers: Sequence[int], used: Mapping[str, Any], context: EditContext
) -> dict[int, Tensor]:
    """C of each layer, damped, from the store."""
    architecture = find_architecture(loaded.model)
    projections = [architecture.down_projection(layer) for layer in layers]
    tokens, seed = used["statistics_tokens"], used["statistics_seed"]
    moments = second_moments(loaded, projections, context, n_tokens=tokens, seed=seed)
    share = used["statistics_damping"]
    return {layer: damped(moment.matrix, share) for layer, moment in zip(layers, moments, strict=True)}


def distance(delta: Any, wide: Tensor, path: PublishedPath) -> float:
    """‖ours − theirs‖ / ‖theirs‖."""
    product = torch.from_numpy(delta.u.astype(np.float64) @ delta.v)
    module = path.model.get_submodule(delta.module_weight.removesuffix(".weight"))
    theirs = wide if isinstance(module, torch.nn.Linear) else wide.T
    return float((product - theirs).norm() / theirs.norm())


def parse(given: Any) -> EditRequest:
    return parse_request(given, where="demo")


if __name__ == "__main__":
    main()
