"""Every reader of bytes that come from others: whole inputs to begin with, and the call that reads one.

A call may return anything or raise a PatchmgrError. It gets a folder of its own and may write nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from checkpoints import ENCODINGS, make_checkpoint, make_package, write_tensors
from fuzz.backups import backup_seeds, list_seeds, mutate_backup, read_backup, read_list
from fuzz.databases import database_seeds, read_database
from fuzz.mutations import Mutation, mutate, mutate_database
from fuzz.trails import (
    anchor_seeds,
    attestation_seeds,
    export_seeds,
    read_anchor_lines,
    read_attested,
    read_export,
    read_trusted,
    trust_seeds,
)
from memory_packages import make_memory_package
from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.header import read_header
from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.manager.lock.lockfile import LOCK, Lock, LockedBase, LockedModel, LockedPackage, read_lock
from patchmgr.manager.lock.patches import PATCHES, read_patches
from patchmgr.manager.settings import load_settings
from patchmgr.package.editor import DataRecord, EditorManifest, parse_editor
from patchmgr.package.fields import FileRecord
from patchmgr.package.manifest import BaseRecord, Manifest, parse_manifest
from patchmgr.package.memory.bundle import read_bundle
from patchmgr.package.reader import EditPackage
from patchmgr.package.scores import Score, dump_scores, parse_scores
from patchmgr.package.withheld import count_commitments, withhold
from patchmgr.request import EditRequest, Probe, dump_requests, parse_requests

DIGEST = "0" * 64


@dataclass(frozen=True)
class Reader:
    """One reader: where its whole inputs come from, how they are broken, and how one is read."""

    name: str
    seeds: Callable[[Path], Sequence[bytes]]
    read: Callable[[bytes, Path], object]
    mutation: Mutation = mutate


def _requests() -> tuple[EditRequest, ...]:
    probe = Probe(prompt="The capital of Spain is", target="Madrid", kind="neighborhood")
    return (
        EditRequest(prompt="{} lies in", subject="Rome", target_new="Gaul", target_true="Italy", id="r"),
        EditRequest(prompt="Where is Oslo?", target_new="Norway", rephrasings=("Oslo is in",), locality=(probe,)),
    )


def _package(folder: Path) -> Path:
    if not (folder / "package").exists():
        make_package(folder / "package", make_checkpoint(folder / "base"), requests=_requests())
    return folder / "package"


def _bundle(folder: Path) -> Path:
    if not (folder / "memory").exists():
        make_memory_package(folder / "memory", make_checkpoint(folder / "memory-base"))
    return folder / "memory"


def _manifests(folder: Path) -> Sequence[bytes]:
    return [(place / "patch.json").read_bytes() for place in (_package(folder), _bundle(folder))]


def _read_manifest(data: bytes, folder: Path) -> object:
    manifest = parse_manifest(data)
    return manifest.digest, manifest.reference, manifest.bundle_root


def _edits(folder: Path) -> Sequence[bytes]:
    return [dump_requests(_requests()), withhold(_requests()).commitments]


def _read_edits(data: bytes, folder: Path) -> object:
    if count_commitments(data, where="edits.jsonl") is None:
        return dump_requests(parse_requests(data, name="edits.jsonl")), None
    return None


def _scores(folder: Path) -> Sequence[bytes]:
    made = [
        Score(
            metric=metric, protocol="tf", phase="after", value=0.5, n=3, low=0.1, high=0.9, dataset_sha256=DIGEST,
            state_root=DIGEST,
        )
        for metric in ("reliability", "locality/same_subject")
    ]  # fmt: skip
    return [dump_scores(made)]


def _checkpoint_header(folder: Path) -> Sequence[bytes]:
    _package(folder)
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros((0, 4), np.int8)}
    return [(folder / "base" / "model.safetensors").read_bytes(), save(arrays, {"format": "pt"})]


def _read_header(data: bytes, folder: Path) -> object:
    (folder / "x.safetensors").write_bytes(data)
    return read_header(folder / "x.safetensors")


def _read_config(data: bytes, folder: Path) -> object:
    """A checkpoint whose index, or whose configuration, is this."""
    (folder / "config.json").write_bytes(data)
    (folder / "model.safetensors.index.json").write_bytes(data)
    for name, place in (("w", "a.safetensors"), ("v", "b.safetensors")):
        write_tensors(folder / place, {name: np.zeros((2,), np.float32)}, "F32")
    checkpoint = Checkpoint.read(folder)
    return checkpoint.architecture, checkpoint.size_bytes


def _configs(folder: Path) -> Sequence[bytes]:
    return [
        canonical_json({"architectures": ["Tiny"], "model_type": "tiny", "weight_map": {"w": "a.safetensors"}}),
        canonical_json({"metadata": {}, "weight_map": {"w": "a.safetensors", "v": "b.safetensors"}}),
    ]


def _weights(folder: Path) -> Sequence[bytes]:
    return [(_package(folder) / "weights.safetensors").read_bytes()]


def _read_weights(data: bytes, folder: Path) -> object:
    """The arrays of a package whose manifest lists exactly these bytes."""
    (folder / "weights.safetensors").write_bytes(data)
    manifest = _manifest_of(folder)
    edits = folder / "edits.jsonl"
    edits.write_bytes(dump_requests(_requests()))
    files = {
        name: FileRecord(sha256=sha256_hex((folder / name).read_bytes()), size_bytes=(folder / name).stat().st_size)
        for name in ("weights.safetensors", "edits.jsonl")
    }
    package = EditPackage.open(
        manifest.model_copy(update={"files": files}).to_bytes(), {name: folder / name for name in files}
    )
    return package.deltas(ENCODINGS), package.requests


def _manifest_of(folder: Path) -> Manifest:
    """What the whole package says; it is made once beside the folder."""
    beside = folder.parent / "whole"
    beside.mkdir(exist_ok=True)
    return parse_manifest((_package(beside) / "patch.json").read_bytes())


def _memory_files(folder: Path) -> dict[str, bytes]:
    inside = _bundle(folder) / "memory"
    return {name: (inside / name).read_bytes() for name in ("memory.json", "entries.jsonl", "keys.safetensors")}


def _memories(folder: Path) -> Sequence[bytes]:
    return list(_memory_files(folder).values())


def _read_memory(data: bytes, folder: Path) -> object:
    """A bundle of which the file that this looks like is this."""
    whole = _memory_files_beside(folder)
    if data[:1] == b"{" and b'"runtime"' in data:
        whole["memory.json"] = data
    elif data[:1] == b"{" or b'"op"' in data:
        whole["entries.jsonl"] = data
    else:
        whole["keys.safetensors"] = data
    for name, content in whole.items():
        (folder / name).write_bytes(content)
    bundle = read_bundle("kb@v1", {f"memory/{name}": folder / name for name in whole})
    return bundle.entries, bundle.keys, dict(bundle.arrays("keys.safetensors"))


def _memory_files_beside(folder: Path) -> dict[str, bytes]:
    beside = folder.parent / "whole"
    beside.mkdir(exist_ok=True)
    return _memory_files(beside)


def _locks(folder: Path) -> Sequence[bytes]:
    package = LockedPackage(name="fixes", wanted="^1", version=1, digest=DIGEST, path="./fixes")
    base = LockedBase(source="org/base", revision="0123abc", fingerprint=DIGEST, config_sha256=DIGEST,
                      tokenizer_sha256=DIGEST)  # fmt: skip
    model = LockedModel(name="prod", state_root=DIGEST, base=base, package=(package,), tensors={"w": DIGEST})
    return [Lock(model=(model,)).to_text().encode()]


def _read_lock(data: bytes, folder: Path) -> object:
    (folder / LOCK).write_bytes(data)
    lock = read_lock(folder)
    return None if lock is None else lock.to_text()


def _patches(folder: Path) -> Sequence[bytes]:
    return [
        b'[models.prod]\nbase = { source = "openai-community/gpt2-xl", revision = "15ea56d" }\npackages = [\n'
        b'  "geography@^2",\n  "house-style@stable",\n  "x@>=2,<4",\n'
        b'  { name = "hot-fix", version = "==1", path = "packages/hot-fix" },\n]\n',
        b'[models."a.b"]\nbase = "gpt2-xl"\npackages = ["x@sha256:0123456", "y@v3", "z"]\n',
    ]


def _read_patches(data: bytes, folder: Path) -> object:
    (folder / PATCHES).write_bytes(data)
    return read_patches(folder)


def _editors(folder: Path) -> Sequence[bytes]:
    made = EditorManifest(
        name="scope", version=1, author="tests", created="2026-01-02T03:04:05Z", method="serac", method_version="1",
        parameters={"lr": 0.5, "layers": [1, 2]}, seed=0,
        base=BaseRecord(source="tiny", fingerprint=DIGEST, config_sha256=DIGEST, tokenizer_sha256=DIGEST),
        training=DataRecord(n=3, sha256=DIGEST), validation=DataRecord(n=1, sha256=DIGEST), steps=7,
        figures={"loss": 0.25}, files={"weights.safetensors": FileRecord(sha256=DIGEST, size_bytes=3)},
    )  # fmt: skip
    return [made.to_bytes()]


def _read_editor(data: bytes, folder: Path) -> object:
    manifest = parse_editor(data)
    return manifest.digest, manifest.size_bytes


def _settings(folder: Path) -> Sequence[bytes]:
    return [
        b'[patchmgr]\nhome = "~/registry"\nactor = "ana"\nsignatures = "trusted"\n'
        b'[[patchmgr.after_change]]\nurl = "http://localhost:8080/reload?x=1"\nmethod = "POST"\ntimeout_s = 3.5\n'
        b'models = ["prod", "llama-*"]\non_failure = "rollback"\nretries = 2\nname = "server"\n',
        b'[patchmgr]\nhome = "x"\n[[patchmgr.after_change]]\ncommand = ["/bin/true", "x"]\n',
    ]


def _read_settings(data: bytes, folder: Path) -> object:
    """The user's own file; XDG_CONFIG_HOME names a folder of the test's (``where_settings_lie``)."""
    from platformdirs import user_config_path

    place = user_config_path("patchmgr")
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.toml").write_bytes(data)
    return load_settings()


READERS = {
    reader.name: reader
    for reader in (
        Reader("manifest", _manifests, _read_manifest),
        Reader("edits", _edits, _read_edits),
        Reader("scores", _scores, lambda data, _folder: parse_scores(data)),
        Reader("header", _checkpoint_header, _read_header),
        Reader("checkpoint", _configs, _read_config),
        Reader("weights", _weights, _read_weights),
        Reader("memory", _memories, _read_memory),
        Reader("lock", _locks, _read_lock),
        Reader("patches", _patches, _read_patches),
        Reader("editor", _editors, _read_editor),
        Reader("settings", _settings, _read_settings),
        Reader("export", export_seeds, read_export),
        Reader("anchors", anchor_seeds, read_anchor_lines),
        Reader("attestation", attestation_seeds, read_attested),
        Reader("trust", trust_seeds, read_trusted),
        Reader("database", database_seeds, read_database, mutate_database),
        Reader("backup-list", list_seeds, read_list),
        Reader("backup", backup_seeds, read_backup, mutate_backup),
    )
}
