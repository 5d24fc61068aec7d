"""What deltas give on a state: the exact bytes of each touched tensor, and how the state with them scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.canonical import sha256_hex
from patchmgr.manager.parent import Parent
from patchmgr.manager.states import ModelState, open_packages
from patchmgr.manager.touched import Touched
from patchmgr.methods.contract import LoadedModel
from patchmgr.ops import stack as stacks
from patchmgr.ops.kernel import summed_tensor
from patchmgr.ops.sums import Sums, collect
from patchmgr.package.encodings.contract import Delta
from patchmgr.package.manifest import TouchedTensor
from patchmgr.package.scores import Score
from patchmgr.request import EditRequest

if TYPE_CHECKING:
    from patchmgr.evaluate.engine import Engine
    from patchmgr.manager.manager import Manager
    from patchmgr.metrics.contract import Metric


@dataclass(frozen=True)
class Result:
    """One touched tensor of the state with the package."""

    module: str
    delta: Delta
    data: bytes


def below_sums(manager: Manager, parent: Parent, base: Checkpoint) -> Sums:
    """What the packages of a parent state do to the base."""
    return collect(open_packages(manager, parent.stack), manager.plugins.encodings, base)


def canonical(base: Checkpoint, below: Sums, touched: Mapping[str, Touched]) -> dict[str, Result]:
    """The exact bytes of each touched tensor: base, parent stack and this delta, summed and rounded once."""
    results = {}
    for name, found in sorted(touched.items(), key=lambda item: item[0]):
        _, entry = base.entry(name)
        deltas = [*below.get(name, ()), found.delta]
        data, _ = summed_tensor(base.read_bytes(name), entry.dtype, entry.shape, deltas, name=name)
        results[name] = Result(found.module, found.delta, data)
    return results


def measured(
    engine: Engine,
    loaded: LoadedModel,
    state: ModelState,
    parent: Parent,
    requests: Sequence[EditRequest],
    metrics: Sequence[Metric],
    results: Mapping[str, Result],
) -> tuple[Score, ...]:
    """Scores before and after, on the canonical bytes.

    Args:
        engine: what asks.
        loaded: the parent state.
        state: of the model.
        parent: what the results stand on.
        requests: the edits.
        metrics: which scores.
        results: the touched tensors.
    """
    from patchmgr.evaluate.measure import measure_change
    from patchmgr.live.pairing import elements

    changed = {**parent.digests, **{name: sha256_hex(result.data) for name, result in results.items()}}
    root = stacks.state_root(state.fingerprint.with_tensors(changed))
    weights = {
        result.module: elements(result.data, state.base.entry(name)[1].dtype, state.base.entry(name)[1].shape)
        for name, result in results.items()
    }
    return measure_change(engine, loaded, requests, metrics, weights, root)


def touched_records(base: Checkpoint, parent: Parent, results: Mapping[str, Result]) -> tuple[TouchedTensor, ...]:
    """What a manifest says of the touched tensors."""
    return tuple(
        TouchedTensor(
            name=name,
            module=result.module,
            dtype=base.entry(name)[1].dtype,
            shape=base.entry(name)[1].shape,
            encoding=result.delta.encoding,
            before_sha256=parent.digests[name],
            after_sha256=sha256_hex(result.data),
        )
        for name, result in results.items()
    )
