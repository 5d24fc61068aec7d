"""What differs between two packages, two versions or two states. Without the answers no model is run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from patchmgr.manager.diff.sides import Packages, find_sides
from patchmgr.manager.states import open_packages
from patchmgr.ops import stack as stacks
from patchmgr.ops.difference.contract import Difference, Side
from patchmgr.ops.difference.edits import edits_difference
from patchmgr.ops.difference.fields import base_fields, package_fields
from patchmgr.ops.difference.stacks import stack_difference
from patchmgr.package.manifest import BaseRecord
from patchmgr.package.memory.bundle import read_bundle

if TYPE_CHECKING:
    from patchmgr.manager.diff.sides import PackageSide, States, StateSide
    from patchmgr.manager.manager import Manager
    from patchmgr.ops.difference.contract import EditsDifference
    from patchmgr.ops.stack import Stack
    from patchmgr.package.memory.operations import Entry
    from patchmgr.request import EditRequest
    from patchmgr_registry import BaseRecord as BaseRow

Part = Literal["about", "edits", "weights", "scores", "answers"]
READ: tuple[Part, ...] = ("about", "edits", "weights", "scores")
"""The parts for which no model is asked."""


@dataclass(frozen=True)
class DiffOrder:
    """What to compare."""

    parts: tuple[Part, ...] = READ
    limit: int | None = None
    """For the answers: at most so many edits of each side, drawn by relation."""
    seed: int = 0
    device: str = "cpu"


def diff(manager: Manager, a: str, b: str | None = None, order: DiffOrder | None = None) -> Difference:
    """What differs between two packages or two states.

    Args:
        manager: the registry.
        a: ``fact-fixes@v1``, a folder, ``atlas``, ``atlas#2`` or ``atlas~1``.
        b: the other side, of the same kind; None: ``a`` is compared with what was before it, a version with its parent
            and a state with the generation before.
        order: None: everything that needs no model.

    Raises:
        NotFoundError: there is no such package, model or generation, or nothing before it.
        UsageError: a name is malformed, or one side is a package and the other a state.
        IntegrityError: a package or a base is not what its digest says.
        PatchmgrError: for the answers, what asking a model raises.
    """
    wanted = order or DiffOrder()
    sides = find_sides(manager, a, b)
    if isinstance(sides, Packages):
        found = _packages(manager, sides, wanted.parts)
    else:
        found = _states(manager, sides, wanted.parts)
    if "answers" not in wanted.parts:
        return found
    from patchmgr.manager.diff.answers import answers_difference

    answers = answers_difference(manager, sides, limit=wanted.limit, seed=wanted.seed, device=wanted.device)
    return replace(found, answers=answers)


def _packages(manager: Manager, sides: Packages, parts: Collection[Part]) -> Difference:
    from patchmgr.manager.diff.scores import package_scores
    from patchmgr.manager.diff.weights import package_weights

    memories = [side.memory if side else None for side in (sides.a, sides.b)]
    configs = [memory.config if memory else None for memory in memories]
    manifests = [side.package.manifest if side else None for side in (sides.a, sides.b)]
    requests = [side.package.requests if side else () for side in (sides.a, sides.b)]
    entries = [memory.entries if memory else () for memory in memories]
    return Difference(
        "packages",
        _package(sides.a),
        _package(sides.b),
        fields=package_fields(
            *manifests, memory_a=configs[0], memory_b=configs[1], reference_of=lambda digest: _called(manager, digest)
        )
        if "about" in parts
        else None,
        edits=edits_difference(*requests, entries_a=entries[0], entries_b=entries[1]) if "edits" in parts else None,
        weights=package_weights(manager, sides) if "weights" in parts else None,
        scores=package_scores(manager, sides) if "scores" in parts else None,
    )


def _states(manager: Manager, sides: States, parts: Collection[Part]) -> Difference:
    from patchmgr.manager.diff.scores import state_scores
    from patchmgr.manager.diff.weights import state_weights

    about = "about" in parts
    return Difference(
        "states",
        _state(sides.a),
        _state(sides.b),
        fields=base_fields(_record(sides.a.model.base), _record(sides.b.model.base)) if about else None,
        stack=stack_difference(sides.a.stack, sides.b.stack) if about else None,
        edits=_state_edits(manager, sides) if "edits" in parts else None,
        weights=state_weights(manager, sides) if "weights" in parts else None,
        scores=state_scores(manager, sides) if "scores" in parts else None,
    )


def _state_edits(manager: Manager, sides: States) -> EditsDifference:
    """The edits of the packages that one side alone has; what both have is the same."""
    common = set(stacks.digests(sides.a.stack)) & set(stacks.digests(sides.b.stack))
    shared = sum(manifest.n_edits for manifest in sides.a.stack if manifest.digest in common)
    alone = [tuple(manifest for manifest in side.stack if manifest.digest not in common) for side in (sides.a, sides.b)]
    requests = [_requests(manager, stack) for stack in alone]
    entries = [_entries(manager, stack) for stack in alone]
    found = edits_difference(*requests, entries_a=entries[0], entries_b=entries[1])
    return replace(found, n_same=found.n_same + shared)


def _requests(manager: Manager, stack: Stack) -> tuple[EditRequest, ...]:
    return tuple(request for manifest in stack for request in manager.registry.edits(manifest.digest))


def _entries(manager: Manager, stack: Stack) -> tuple[Entry, ...]:
    opened = open_packages(manager, stacks.memories(stack))
    bundles = (read_bundle(package.manifest.reference, package.files) for package in opened)
    return tuple(entry for bundle in bundles for entry in bundle.entries)


def _package(side: PackageSide | None) -> Side:
    if side is None:
        return Side("nothing", None, {})
    manifest = side.package.manifest
    facts: dict[str, Any] = {
        "method": manifest.method.name,
        "n_edits": manifest.n_edits,
        "created": manifest.created,
        "author": manifest.author,
        "message": manifest.message,
    }
    return Side(side.name, manifest.digest, facts)


def _state(side: StateSide) -> Side:
    facts: dict[str, Any] = {
        "stack": [manifest.reference for manifest in side.stack],
        "action": side.generation.action,
        "created": side.generation.created,
        "message": side.generation.message,
    }
    return Side(side.name, side.generation.state_root, facts)


def _record(base: BaseRow) -> BaseRecord:
    """A registered base as packages name it."""
    return BaseRecord(
        source=base.source,
        revision=base.revision,
        fingerprint=base.fingerprint,
        config_sha256=base.config_sha256,
        tokenizer_sha256=base.tokenizer_sha256,
    )


def _called(manager: Manager, digest: str) -> str:
    version = manager.registry.version_by_digest(digest)
    return digest if version is None else version.reference
