"""Versions of packages with the edits, parameters and scores that a test wants, made without torch."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from checkpoints import EDITABLE, make_checkpoint, make_package, random_factors
from patchmgr.canonical import sha256_hex
from patchmgr.manager.manager import Manager
from patchmgr.manager.packages import adopt
from patchmgr.package.encodings.contract import Delta
from patchmgr.package.manifest import Manifest, MemoryRecord, MethodRecord
from patchmgr.package.memory.bundle import MemoryConfig, MemoryDraft, write_bundle
from patchmgr.package.memory.operations import operations_after
from patchmgr.package.reader import CARD, EDITS, WEIGHTS
from patchmgr.package.scores import Score
from patchmgr.package.writer import seal, write_scores
from patchmgr.request import EditRequest, dump_requests

DOWN, OTHER = EDITABLE


def request(subject: str, target: str, *, prompt: str = "The capital of {} is", **others: Any) -> EditRequest:
    return EditRequest(prompt=prompt, subject=subject, target_new=target, **others)


def make_version(
    folder: Path,
    base: Path,
    requests: Sequence[EditRequest],
    *,
    deltas: Mapping[str, Delta] | None = None,
    weights: int = 0,
    scores: Mapping[str, float] | None = None,
    method: Mapping[str, Any] | None = None,
    **said: Any,
) -> Manifest:
    """A weights package on the pristine base.

    Args:
        folder: where to.
        base: a checkpoint.
        requests: its edits.
        deltas: what it does; None: random factors.
        weights: seed of these.
        scores: values after the edit by metric, measured on its own edits with an interval of ±0.1.
        method: fields of the method's record.
        said: further fields of the manifest.
    """
    draft = make_package(folder, base, seed=weights, deltas=deltas, name=said.pop("name", "fixes"))
    (folder / EDITS).write_bytes(dump_requests(requests))
    measured = [
        Score(
            metric=metric, protocol="tf", phase="after", value=value, n=len(requests), low=max(0.0, value - 0.1),
            high=value + 0.1, dataset_sha256=sha256_hex(dump_requests(requests)), state_root="0" * 64,
        )
        for metric, value in (scores or {}).items()
    ]  # fmt: skip
    write_scores(folder, measured)
    record = MethodRecord(**{"name": "random", "version": "1", **(method or {})})
    changes = {"method": record, "n_edits": len(requests), "files": {}, **said}
    return seal(folder, draft.model_copy(update=changes), requests, measured)


def make_memory(
    folder: Path,
    base: Path,
    requests: Sequence[EditRequest],
    *,
    settings: Mapping[str, Any] | None = None,
    **said: Any,
) -> Manifest:
    """A memory package of texts, for a runtime that nobody has."""
    draft = make_package(folder, base, name=said.pop("name", "kb"))
    (folder / WEIGHTS).unlink()
    (folder / CARD).unlink()
    shutil.rmtree(folder / "memory", ignore_errors=True)
    (folder / EDITS).write_bytes(dump_requests(requests))
    config = MemoryConfig(runtime="echo", runtime_version="1", level="text", settings=settings or {})
    memory = MemoryDraft(config, operations_after((), requests))
    write_bundle(folder, memory)
    changes = {
        "kind": "memory", "tensors": (), "n_edits": len(requests), "files": {},
        "memory": MemoryRecord(runtime="echo", level="text", n_entries=len(memory.entries)), **said,
    }  # fmt: skip
    return seal(folder, draft.model_copy(update=changes), requests, ())


EDITS_1 = (request("France", "Paris"), request("Spain", "Oslo"), request("Italy", "Bern"))
EDITS_2 = (request("France", "Rome"), request("Italy", "Bern"), request("Peru", "Lima"))


def make_home(root: Path) -> Path:
    """A home with three versions of ``fixes`` (3 is 1 again), two of the memory ``kb``, and ``tiny`` at generation 4.

    Generation 1 is fixes@v1, 2 is fixes@v2, 3 is that and more@v1, 4 is more@v1 and fixes@v3. :func:`copied` gives each
    test a copy of its own.
    """
    rng = np.random.default_rng(0)
    base = make_checkpoint(root / "base")
    one, two, both = (random_factors(rng, (6, 9), rank) for rank in (1, 2, 1))
    first = {"layer": 0, "value": {"steps": 20}}
    scores = {"reliability": 0.5, "locality": 1.0}
    make_version(root / "v1", base, EDITS_1, deltas={DOWN: one}, scores=scores, method={"parameters": first})
    make_version(
        root / "v2", base, EDITS_2, deltas={DOWN: two, OTHER: both}, scores={"reliability": 1.0, "locality": 1.0},
        method={"parameters": {"layer": 0, "value": {"steps": 30}}, "seed": 7},
        version=2, parent_version=1, message="moved on",
    )  # fmt: skip
    make_version(
        root / "v3", base, EDITS_1, deltas={DOWN: one}, scores=scores, method={"parameters": first},
        version=3, parent_version=2, created="2027-01-02T03:04:05Z",
    )  # fmt: skip
    make_version(root / "more", base, (request("Chile", "Lima"),), deltas={DOWN: both}, name="more")
    make_memory(root / "kb1", base, EDITS_1[:2], settings={"threshold": 0.5})
    make_memory(root / "kb2", base, EDITS_2[:1], settings={"threshold": 0.7}, version=2, parent_version=1)
    with Manager.open(root / "home") as manager:
        manager.add_model("tiny", str(base))
        for folder in ("v1", "v2", "v3", "more", "kb1", "kb2"):
            adopt(manager, root / folder)
        for reference in ("fixes@v1", "fixes@v2", "more", "fixes@v3"):
            manager.apply("tiny", [reference])
    return root.rename(root.with_name("prepared"))


@contextmanager
def copied(prepared: Path) -> Iterator[Path]:
    """A copy of what :func:`make_home` made, at the place that its registry has noted; gone afterwards."""
    root = prepared.with_name("root")
    subprocess.run(["cp", "-a", str(prepared), str(root)], check=True)
    yield root
    shutil.rmtree(root)
