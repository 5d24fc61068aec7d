"""Small checkpoints and random packages, made without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from patchmgr.base.checkpoint import INDEX_FILE, SINGLE_FILE, Checkpoint
from patchmgr.base.digests import DigestCache
from patchmgr.base.fingerprint import Fingerprint, fingerprint
from patchmgr.base.header import TensorEntry, encode_header
from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.ops.kernel import summed_tensor
from patchmgr.ops.rounding import STORAGE, encode
from patchmgr.ops.stack import state_root
from patchmgr.ops.sums import collect
from patchmgr.package.encodings import patchmgr_register_encodings
from patchmgr.package.encodings.contract import Delta, Encoding, Factors
from patchmgr.package.manifest import BaseRecord, Manifest, MethodRecord, ParentRecord, TouchedTensor
from patchmgr.package.reader import EditPackage
from patchmgr.package.writer import seal, write_payload
from patchmgr.request import EditRequest

SHAPES = {"embed.weight": (11, 6), "layers.0.down.weight": (6, 9), "layers.1.down.weight": (6, 9), "norm.weight": (6,)}
ENCODINGS: dict[str, Encoding] = {}
patchmgr_register_encodings(lambda encoding: ENCODINGS.update({encoding.name: encoding}))
EDITABLE = ("layers.0.down.weight", "layers.1.down.weight")


def make_checkpoint(folder: Path, *, dtype: str = "BF16", sharded: bool = False, seed: int = 0) -> Path:
    """A folder with a config, a tokenizer file and four tensors, in one file or in two shards."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(canonical_json({"architectures": ["TinyForCausalLM"], "model_type": "tiny"}))
    (folder / "tokenizer.json").write_bytes(canonical_json({"version": "1.0"}))
    tensors = {name: encode(rng.normal(size=shape), dtype) for name, shape in SHAPES.items()}
    names = list(tensors)
    groups = [names[:2], names[2:]] if sharded else [names]
    files = {}
    for number, group in enumerate(groups, start=1):
        file = f"model-{number:05d}-of-00002.safetensors" if sharded else SINGLE_FILE
        write_tensors(folder / file, {name: tensors[name] for name in group}, dtype)
        files |= dict.fromkeys(group, file)
    if sharded:
        (folder / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": files}))
    return folder


def write_tensors(path: Path, tensors: dict[str, np.ndarray], dtype: str) -> None:
    entries = [TensorEntry(name, dtype, array.shape, 0, array.nbytes) for name, array in tensors.items()]
    path.write_bytes(encode_header(entries, {"format": "pt"}) + b"".join(array.tobytes() for array in tensors.values()))


def fingerprint_of(base: Path) -> Fingerprint:
    """The digests of a checkpoint, which is left as it was."""
    with TemporaryDirectory() as folder:
        return fingerprint(Checkpoint.read(base), DigestCache(Path(folder)))


def make_package(
    folder: Path,
    base: Path,
    *,
    name: str = "random",
    seed: int = 0,
    rank: int = 2,
    tensors: tuple[str, ...] = EDITABLE,
    deltas: Mapping[str, Delta] | None = None,
    requests: Sequence[EditRequest] | None = None,
    state: Mapping[str, np.ndarray] | None = None,
    on: Sequence[Path] = (),
) -> Manifest:
    """A package of these deltas, or of random low-rank ones, computed on the base with the packages of some folders."""
    rng = np.random.default_rng(seed)
    checkpoint = Checkpoint.read(base)
    known = fingerprint_of(base)
    if deltas is None:
        deltas = {tensor: random_factors(rng, checkpoint.entry(tensor)[1].shape, rank) for tensor in tensors}
    below = [EditPackage.read(other) for other in on]
    sums = collect(below, ENCODINGS, checkpoint)

    def digest(tensor: str, *added: Delta) -> str:
        _, entry = checkpoint.entry(tensor)
        terms = [*sums.get(tensor, ()), *added]
        data, _ = summed_tensor(checkpoint.read_bytes(tensor), entry.dtype, entry.shape, terms, name=tensor)
        return sha256_hex(data)

    entries = {tensor: checkpoint.entry(tensor)[1] for tensor in deltas}
    touched = [
        TouchedTensor(
            name=tensor, module=tensor, dtype=entries[tensor].dtype, shape=entries[tensor].shape,
            encoding=delta.encoding, before_sha256=digest(tensor), after_sha256=digest(tensor, delta),
        )
        for tensor, delta in deltas.items()
    ]  # fmt: skip
    parent = known.with_tensors({tensor: digest(tensor) for tensor in sums})
    if requests is None:
        requests = (EditRequest(prompt="{} lies in", subject=f"Town {seed}", target_new="Nowhere"),)
    draft = Manifest(
        name=name, version=1, message="random", author="tests", created="2026-01-02T03:04:05Z", kind="weights",
        method=MethodRecord(name="random", version="1"),
        base=BaseRecord(
            source="tiny", fingerprint=known.weights_root, config_sha256=known.config_sha256,
            tokenizer_sha256=known.tokenizer_sha256,
        ),
        parent=ParentRecord(root=state_root(parent), packages=tuple(each.manifest.digest for each in below)),
        tensors=tuple(touched), n_edits=len(requests), files={},
    )  # fmt: skip
    folder.mkdir(parents=True)
    write_payload(folder, requests, deltas, ENCODINGS, state or {}, ())
    return seal(folder, draft, requests, ())


def random_factors(rng: np.random.Generator, shape: tuple[int, ...], rank: int) -> Factors:
    rows, columns = shape
    return Factors(
        (0.1 * rng.normal(size=(rows, rank))).astype(np.float32), rng.normal(size=(rank, columns)).astype(np.float32)
    )


def stored(path: Path, dtype: str) -> np.ndarray:
    return np.frombuffer(path.read_bytes(), STORAGE[dtype])


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint."""
    return {path.name: sha256_hex(path.read_bytes()) for path in folder.iterdir() if path.is_file()}
