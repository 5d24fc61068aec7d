"""A small registry with a row in every table, and everything that can be asked of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from patchmgr.canonical import canonical_json
from patchmgr.request import EditRequest
from patchmgr_registry import (
    BaseRecord,
    EditorRecord,
    EventObject,
    FileRecord,
    Origin,
    Registry,
    ScoreRecord,
    SignatureRecord,
    TensorRecord,
    VersionRecord,
)

DIGEST = "0" * 64
MOMENT = "2026-01-02T03:04:05.000000Z"
FILE = "registry.db"


def database_seeds(folder: Path) -> Sequence[bytes]:
    """The file of that registry, its log taken in."""
    home = folder / "registry"
    if not (home / FILE).exists():
        with Registry.open(home) as registry:
            _fill(registry)
        for log in home.glob(f"{FILE}-*"):
            log.unlink()
    return [(home / FILE).read_bytes()]


def read_database(data: bytes, folder: Path) -> object:
    """Open it and ask everything; logs of another input are taken away first."""
    for old in folder.glob(f"{FILE}*"):
        old.unlink()
    (folder / FILE).write_bytes(data)
    with Registry.open(folder, busy_timeout_s=0.05) as registry:
        answers: list[object] = [registry.check_database(), registry.verify_events(), registry.event_head()]
        answers += [registry.events(), registry.bases(), registry.models(), registry.packages(), registry.editors()]
        answers += [registry.version("fixes"), registry.version("fixes@stable"), registry.scores("1" * 64)]
        answers += [registry.versions("fixes"), registry.summaries("fixes"), registry.edits("1" * 64)]
        answers += [registry.search("rome"), registry.signatures(), registry.remotes(), registry.tagged()]
        answers += [registry.generations("prod"), registry.generation("prod"), registry.blob_digests()]
        answers += [registry.stale_generations(), registry.tensors(registry.model("prod").base.key)]
        answers += [registry.scores_of_state(DIGEST), registry.applied_to("1" * 64)]
        with registry.begin() as tx:
            tx.tag("fixes@v1", "other")
            tx.record_event(ORIGIN, "tag", objects=[EventObject("package", "fixes@v1", "1" * 64)])
            tx.commit()
    return answers


ORIGIN = Origin("ana", "worker", "0", ("patchmgr", "apply"))


def _fill(registry: Registry) -> None:
    base = BaseRecord(DIGEST, DIGEST, DIGEST, "tiny", None, "/nowhere", "Tiny", 6, 12, MOMENT)
    version = VersionRecord(
        "fixes", 1, "1" * 64, None, "weights", "rome", "capital moved", "ana", MOMENT, DIGEST, DIGEST, (), 1, 3,
        canonical_json({"x": 1}).decode(), (FileRecord("edits.jsonl", "2" * 64, 3),),
    )  # fmt: skip
    score = ScoreRecord("reliability", "tf", "after", 0.5, 2, DIGEST, 0, DIGEST, 0.1, 0.9, created=MOMENT)
    editor = EditorRecord("scope", 1, "3" * 64, "serac", MOMENT, 3, "{}", (FileRecord("w", "4" * 64, 3),))
    with registry.begin() as tx:
        tx.add_base(base, [TensorRecord("w", "model.safetensors", "BF16", (2, 3), "5" * 64)])
        tx.add_model("prod", base.key, state_root=DIGEST)
        tx.add_version(version, [EditRequest(prompt="{} lies in", subject="Rome", target_new="Gaul")], [score])
        tx.add_scores(None, [score])
        tx.add_editor(editor)
        tx.set_signature(version.digest, SignatureRecord("6" * 64, 9, MOMENT))
        tx.tag("fixes@v1", "stable")
        tx.set_remote("fixes", "hf://org/fixes")
        made = tx.begin_generation("prod", action="apply", packages=[version.digest], message="hot fix")
        tx.finish_generation("prod", made.number, state_root="7" * 64, folder="/nowhere", tensors={"w": "8" * 64})
        tx.set_current("prod", made.number)
        for _ in range(3):
            tx.record_event(ORIGIN, "apply", objects=[EventObject("model", "prod", "7" * 64)], scores=[{"value": 0.5}])
        tx.commit()
