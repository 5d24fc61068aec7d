"""An edit in the making: what is at hand, what it comes to, and what the package will say of itself."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.base.shards import known_shards
from patchmgr.manager.editors.use import ARTEFACT
from patchmgr.manager.order import EditOrder
from patchmgr.manager.parent import Parent
from patchmgr.manager.states import ModelState
from patchmgr.methods.contract import LoadedModel, Method, MethodParameters, Payload
from patchmgr.ops import stack as stacks
from patchmgr.package.manifest import BaseRecord, Manifest, MemoryRecord, MethodRecord, ParentRecord, TouchedTensor
from patchmgr.package.scores import Score
from patchmgr.request import EditRequest

if TYPE_CHECKING:
    from patchmgr.evaluate.engine import Engine
    from patchmgr.manager.manager import Manager
    from patchmgr.methods.training import Editor
    from patchmgr_registry import BaseRecord as RegisteredBase

LIBRARIES = ("patchmgr", "numpy", "safetensors", "tokenizers", "torch", "transformers")


@dataclass(frozen=True)
class Making:
    """What is at hand."""

    manager: Manager
    state: ModelState
    parent: Parent
    loaded: LoadedModel
    """The parent, in memory."""
    method: Method
    parameters: MethodParameters
    order: EditOrder
    folder: Path
    """Where the payload is written."""
    engine: Engine
    """What measures."""


@dataclass(frozen=True)
class Workpiece:
    """A package whose payload is written and measured; its number and its list of files come last."""

    draft: Manifest
    requests: tuple[EditRequest, ...]
    """Those of the order, and of a memory also what it remembers from before."""
    scores: tuple[Score, ...]
    cost: tuple[Score, ...] = ()
    """What the method took; kept in the registry, for the package shall not differ by it."""


def method_record(method: Method, payload: Payload, order: EditOrder, editor: Editor | None = None) -> MethodRecord:
    """How a method made a package, with all that decides its result."""
    return MethodRecord(
        name=method.name,
        version=method.version,
        parameters=dict(payload.parameters),
        given=order.given,
        seed=order.seed,
        contexts=tuple(payload.contexts),
        artefacts={**payload.artefacts, **({} if editor is None else {ARTEFACT: editor.digest})},
    )


def base_record(base: RegisteredBase) -> BaseRecord:
    """What a manifest says of a base."""
    return BaseRecord(
        source=base.source,
        revision=base.revision,
        fingerprint=base.fingerprint,
        config_sha256=base.config_sha256,
        tokenizer_sha256=base.tokenizer_sha256,
        shards=known_shards(Path(base.folder)),
    )


def draft(
    manager: Manager,
    state: ModelState,
    parent: Parent,
    order: EditOrder,
    method: MethodRecord,
    *,
    n_edits: int,
    tensors: tuple[TouchedTensor, ...] = (),
    memory: MemoryRecord | None = None,
) -> Manifest:
    """What a package says of itself: of a weights package the tensors that it touches, of a memory what it needs."""
    return Manifest(
        name=order.name,
        version=1,
        message=order.message,
        author=manager.settings.actor,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        license=order.license,
        kind="weights" if memory is None else "memory",
        method=method,
        base=base_record(state.record.base),
        parent=ParentRecord(root=parent.root, packages=stacks.digests(parent.stack)),
        tensors=tensors,
        memory=memory,
        n_edits=n_edits,
        files={},
        libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
    )
