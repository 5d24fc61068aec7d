"""A small memory package, made without torch or an encoder: entries, keys, and files of a runtime that nobody has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from checkpoints import fingerprint_of
from patchmgr.ops.stack import state_root
from patchmgr.package.manifest import BaseRecord, Manifest, MemoryRecord, MethodRecord, ParentRecord
from patchmgr.package.memory.bundle import MemoryConfig, MemoryDraft
from patchmgr.package.memory.operations import operations_after
from patchmgr.package.scores import Score
from patchmgr.package.writer import seal, write_payload
from patchmgr.request import EditRequest

REQUESTS = tuple(
    EditRequest(prompt="The capital of {} is", subject=name, target_new="Rome", id=name) for name in ("France", "Spain")
)
SCORES = (
    Score(
        metric="reliability", protocol="tf", phase="after", value=1.0, n=2, dataset_sha256="0" * 64, state_root="1" * 64
    ),
)  # fmt: skip
KEYS = np.arange(6, dtype=np.float32).reshape(2, 3)


def memory_draft(**changes) -> MemoryDraft:
    config = MemoryConfig(runtime="echo", runtime_version="1", level="text", settings={"threshold": 0.5})
    given = {"keys": KEYS, "arrays": {"router.safetensors": {"w": KEYS}}, "texts": {"more/words.txt": b"hello"}}
    return MemoryDraft(config, operations_after((), REQUESTS), **{**given, **changes})


def make_memory_package(folder: Path, base: Path, memory: MemoryDraft | None = None) -> Manifest:
    memory = memory or memory_draft()
    known = fingerprint_of(base)
    folder.mkdir()
    write_payload(folder, REQUESTS, {}, {}, {}, SCORES, memory)
    manifest = Manifest(
        name="kb", version=1, author="tests", created="2026-01-02T03:04:05Z", kind="memory",
        method=MethodRecord(name="echo", version="1"),
        base=BaseRecord(
            source="tiny", fingerprint=known.weights_root, config_sha256=known.config_sha256,
            tokenizer_sha256=known.tokenizer_sha256,
        ),
        parent=ParentRecord(root=state_root(known)), files={}, n_edits=2,
        memory=MemoryRecord(runtime="echo", level=memory.config.level, n_entries=2),
    )  # fmt: skip
    return seal(folder, manifest, REQUESTS, SCORES)
