"""The format is what ``docs/format.md`` says: golden bytes, and a reader that was written from that page alone.

``python tests/package/test_golden.py``, with ``tests`` on the path, writes the golden files; other digests of them mean
another format.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

import patchmgr
from package.golden import mini_reader
from patchmgr.base.checkpoint import SINGLE_FILE, Checkpoint
from patchmgr.base.digests import DigestCache
from patchmgr.base.fingerprint import CONFIG_FILES, TOKENIZER_FILES, Fingerprint, fingerprint
from patchmgr.base.header import TensorEntry, encode_header
from patchmgr.canonical import canonical_json, sha256_file, sha256_hex
from patchmgr.ops.kernel import summed_tensor
from patchmgr.ops.rounding import STORAGE, encode
from patchmgr.ops.stack import state_root
from patchmgr.package.editor import EditorManifest
from patchmgr.package.encodings.contract import Factors
from patchmgr.package.encodings.lowrank import LowRank
from patchmgr.package.manifest import (
    BaseRecord,
    FileRecord,
    Manifest,
    MemoryRecord,
    MethodRecord,
    ParentRecord,
    TouchedTensor,
    parse_manifest,
)
from patchmgr.package.memory.bundle import MemoryConfig
from patchmgr.package.memory.operations import Operation
from patchmgr.package.reader import EditPackage
from patchmgr.package.scores import Score
from patchmgr.package.writer import seal, write_payload
from patchmgr.request import EditRequest, Probe, dump_requests
from patchmgr_registry import Event, EventObject

GOLDEN = Path(__file__).parent / "golden"
BASE, PACKAGE, EVENT = GOLDEN / "base", GOLDEN / "package", GOLDEN / "event.json"
FORMAT = Path(__file__).parents[2] / "docs" / "format.md"

PACKAGE_SHA256 = "5158dc1df6acb0e7ee60b80f54734dfde9d850fd7d45e003c189335ff5ba0ed0"
EVENT_SHA256 = "4f8220cfe9d26686ceb639fb7154c0085d5d4862727fa5505b67181d1ce4bf66"
WEIGHTS_ROOT = "4da14744c7bab863a81c7ad6ddd78637066b26812196da0e709113006e094872"
BASE_ROOT = "3b953bae5c81b9fe1e2f4af2b9dd0d4a86e2ca1c279fc07eb204201a599f3588"
STATE_ROOT = "ee47eac07f46fc9b2151231277e44ba0a9c4218c27d5964550b6856551fb154f"

BF16, F16, F32 = "layers.0.down.weight", "layers.1.down.weight", "layers.2.down.weight"
TINY = 2.0**-20
WEIGHTS: dict[str, tuple[str, list[Any]]] = {
    "embed.weight": ("BF16", [[1.5, -2.0], [0.0, -0.0], [3.0, 0.25]]),
    BF16: (
        "BF16",
        [
            [1.0, 1.0, -1.0, -0.0, -0.0],
            [0.5, -0.0, 2.0, -0.0, 1.0],
            [-3.0, 0.25, 7.0, -6.0, 1.0],
            [-0.0, 0.0, -1.0, 1.0, 2.0],
        ],
    ),
    F16: ("F16", [[0.0, 0.0, 0.0], [-0.0, 1.0, 65504.0]]),
    F32: ("F32", [[1.0, 0.1], [-0.1, 1e-40]]),
    "norm.weight": ("F32", [1.0, 0.5, -1.0]),
}
DELTAS = {
    BF16: (
        [[1.0, TINY], [1.0, -1.0], [1.0, 1.0], [0.0, 0.0]],
        [[2.0**-8, 2.0**-8, 2.0**-8, 3.0, 0.0], [0.0, TINY, -TINY, 3.0, 0.0]],
    ),
    F16: ([[2.0**-13], [1.0]], [[2.0**-13, -(2.0**-13), 3 * 2.0**-13]]),
    F32: ([[2.0**-24], [1.0]], [[1.0, 1.0]]),
}
ROUNDED = {
    BF16: [
        [0x3F80, 0x3F81, 0xBF7F, 0x4040, 0x8000],
        [0x3F01, 0x3B80, 0x4000, 0x8000, 0x3F80],
        [0xC040, 0x3E82, 0x40E0, 0x0000, 0x3F80],
        [0x8000, 0x0000, 0xBF80, 0x3F80, 0x4000],
    ],
    F16: [[0x0000, 0x8000, 0x0001], [0x0800, 0x3C00, 0x7BFF]],
}
"""Worked out by hand, among them the rows of the table in §14."""

REQUESTS = (
    EditRequest(
        id="café-1", prompt="The capital of {} is", subject="Élysia", target_new="Ober-Ys", target_true="Ys",
        relation="capital", rephrasings=("Élysia is governed from",),
        locality=(Probe(prompt="The capital of Utopia is", target="Amaurot", kind="neighborhood"),),
        portability=(Probe(prompt="The mayor of Élysia's capital works in", target="Ober-Ys"),),
    ),
    EditRequest(prompt='A "quoted"\ttab \x01 \\ 東京', target_new="✓"),
)  # fmt: skip


def stored(name: str) -> np.ndarray:
    dtype, values = WEIGHTS[name]
    return encode(np.array(values, np.float64), dtype)


def make_base(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(
        canonical_json({"architectures": ["GoldenForCausalLM"], "model_type": "golden"})
    )
    (folder / "generation_config.json").write_bytes(canonical_json({"do_sample": False}))
    (folder / "tokenizer.json").write_bytes(canonical_json({"version": "1.0"}))
    (folder / "vocab.txt").write_text("Ys\nOber-Ys\n", encoding="utf-8")
    arrays = {name: stored(name) for name in WEIGHTS}
    entries = [TensorEntry(name, WEIGHTS[name][0], array.shape, 0, array.nbytes) for name, array in arrays.items()]
    data = b"".join(array.tobytes() for array in arrays.values())
    (folder / SINGLE_FILE).write_bytes(encode_header(entries, {"format": "pt"}) + data)


def known_of(base: Path) -> Fingerprint:
    with TemporaryDirectory() as empty:
        return fingerprint(Checkpoint.read(base), DigestCache(Path(empty)))


def make_package(folder: Path, base: Path) -> None:
    checkpoint = Checkpoint.read(base)
    known = known_of(base)
    deltas = {name: Factors(np.array(u, np.float32), np.array(v, np.float32)) for name, (u, v) in DELTAS.items()}
    touched, after = [], {}
    for name, delta in deltas.items():
        _, entry = checkpoint.entry(name)
        _, after[name] = summed_tensor(checkpoint.read_bytes(name), entry.dtype, entry.shape, [delta], name=name)
        touched.append(
            TouchedTensor(
                name=name, module=f"model.{name}", dtype=entry.dtype, shape=entry.shape, encoding="lowrank",
                before_sha256=known.tensors[name].sha256, after_sha256=after[name],
            )
        )  # fmt: skip
    dataset = sha256_hex(dump_requests(REQUESTS))
    scores = tuple(
        Score(
            metric="reliability", protocol="tf", phase=phase, value=value, n=2, dataset_sha256=dataset,
            state_root=state_root(known.with_tensors(tensors)),
        )
        for phase, value, tensors in (("before", 0.0, {}), ("after", 1 / 3, after))
    )  # fmt: skip
    draft = Manifest(
        name="golden", version=2, parent_version=1, message="capital moved · 首都", author="Zoë", license="CC0-1.0",
        created="2026-01-02T03:04:05Z", kind="weights",
        method=MethodRecord(
            name="by-hand", version="1", parameters={"rate": 1e-05, "steps": 3, "scale": 1.0, "layer": None},
            given=("rate", "steps"), seed=7, contexts=("{}", "It was. {}"), artefacts={"covariance": "ab" * 32},
        ),
        base=BaseRecord(
            source="org/golden", revision="0123456789abcdef0123456789abcdef01234567", fingerprint=known.weights_root,
            config_sha256=known.config_sha256, tokenizer_sha256=known.tokenizer_sha256,
            shards={SINGLE_FILE: sha256_file(base / SINGLE_FILE)},
        ),
        parent=ParentRecord(root=state_root(known)), tensors=tuple(touched), n_edits=len(REQUESTS), files={},
        libraries={"patchmgr": "0.1.0"},
    )  # fmt: skip
    folder.mkdir(parents=True)
    keys = {"keys/0": np.array([[0.5], [1.0], [-2.0], [0.0]], np.float32)}
    write_payload(folder, REQUESTS, deltas, {"lowrank": LowRank()}, keys, scores)
    seal(folder, draft, REQUESTS, scores)


def make_event() -> dict[str, Any]:
    event = Event(
        sequence=1, time="2026-01-02T03:04:05.000000Z", actor="Zoë", host="worker-1", program_version="0.1.0",
        command=("patchmgr", "apply", "prod", "golden@v2"), action="apply",
        objects=(EventObject("model", "prod", "ab" * 32), EventObject("generation", "1")), result="ok",
        scores=({"metric": "reliability", "value": 1 / 3},), previous_sha256="0" * 64, sha256="",
    )  # fmt: skip
    return {**event.body(), "sha256": event.computed_sha256()}


# Golden bytes


def test_the_digests_are_those_of_format_version_1():
    package = EditPackage.read(PACKAGE)
    known = known_of(BASE)
    assert package.manifest.digest == PACKAGE_SHA256
    assert sha256_hex((PACKAGE / "patch.json").read_bytes()) == PACKAGE_SHA256
    assert known.weights_root == WEIGHTS_ROOT
    assert state_root(known) == BASE_ROOT
    assert make_event()["sha256"] == EVENT_SHA256
    assert canonical_json(make_event()) == EVENT.read_bytes()


def test_the_golden_package_reads_back():
    package = EditPackage.read(PACKAGE)
    assert package.requests == REQUESTS
    assert package.manifest.reference == "golden@v2"
    assert parse_manifest(package.manifest.to_bytes()) == package.manifest
    for name, delta in package.deltas({"lowrank": LowRank()}).items():
        assert delta.u.tolist() == DELTAS[name][0]
        assert delta.v.tolist() == DELTAS[name][1]
    assert [score.phase for score in package.scores] == ["before", "after"]


def test_the_same_input_is_still_written_as_the_same_bytes(tmp_path):
    make_base(tmp_path / "base")
    make_package(tmp_path / "package", tmp_path / "base")
    for golden in (*BASE.iterdir(), *PACKAGE.iterdir()):
        if golden.name != "README.md":  # the card is for people and may change its words
            assert (tmp_path / golden.parent.name / golden.name).read_bytes() == golden.read_bytes(), golden.name


def test_applying_the_golden_package_gives_the_golden_state(home, tmp_path):
    with patchmgr.open(home) as manager:
        manager.add_model("golden", str(BASE))
        assert manager.model("golden").status.state_root == BASE_ROOT
        outcome = manager.apply("golden", [str(PACKAGE)])
        assert outcome.state_root == STATE_ROOT
        assert manager.revert("golden", ["golden"]).state_root == BASE_ROOT


@pytest.mark.parametrize("name", ROUNDED)
def test_the_kernel_rounds_as_worked_out_by_hand(name):
    package, dtype = EditPackage.read(PACKAGE), WEIGHTS[name][0]
    base, delta = stored(name), package.deltas({"lowrank": LowRank()})[name]
    data, _ = summed_tensor(base.tobytes(), dtype, base.shape, [delta], name=name)
    assert np.frombuffer(data, STORAGE[dtype]).reshape(base.shape).tolist() == ROUNDED[name]


# The independent reader


def test_the_mini_reader_knows_nothing_of_patchmgr():
    tree = ast.parse(Path(mini_reader.__file__).read_text(encoding="utf-8"))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert names == {
        "__future__",
        "fractions",
        "hashlib",
        "itertools",
        "json",
        "math",
        "pathlib",
        "struct",
        "typing",
        "zstandard",
    }


def test_the_mini_reader_reads_the_golden_package_and_agrees_on_every_digest():
    manifest = mini_reader.read_package(PACKAGE)
    base = mini_reader.read_safetensors(BASE / SINGLE_FILE)
    deltas = mini_reader.read_deltas(PACKAGE, manifest)
    state = dict(base)
    for touched in manifest["tensors"]:
        name = touched["name"]
        assert mini_reader.sha256(base[name].data) == touched["before_sha256"]
        state[name] = mini_reader.exact_v1(base[name], [deltas[name]])
        assert mini_reader.sha256(state[name].data) == touched["after_sha256"]
    assert mini_reader.package_digest(PACKAGE) == PACKAGE_SHA256
    assert mini_reader.merkle_root(base) == manifest["base"]["fingerprint"] == WEIGHTS_ROOT
    assert mini_reader.files_digest(BASE, mini_reader.CONFIG_FILES) == manifest["base"]["config_sha256"]
    assert mini_reader.files_digest(BASE, mini_reader.TOKENIZER_FILES) == manifest["base"]["tokenizer_sha256"]
    assert mini_reader.state_root(BASE, base) == manifest["parent"]["root"] == BASE_ROOT
    assert mini_reader.state_root(BASE, state) == STATE_ROOT
    scores = json.loads((PACKAGE / "eval.json").read_bytes())["scores"]
    assert [score["state_root"] for score in scores] == [BASE_ROOT, STATE_ROOT]
    event = json.loads(EVENT.read_bytes())
    assert mini_reader.event_digest(event) == event["sha256"] == EVENT_SHA256


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_the_mini_reader_and_the_kernel_agree_on_random_numbers(dtype):
    rng = np.random.default_rng(3)
    weights = encode(rng.normal(size=(6, 9)) * 2.0 ** rng.integers(-20, 8, size=(6, 9)), dtype)
    deltas = [
        Factors(rng.normal(size=(6, rank)).astype(np.float32), rng.normal(size=(rank, 9)).astype(np.float32))
        for rank in (1, 3)
    ]
    ours, _ = summed_tensor(weights.tobytes(), dtype, weights.shape, deltas, name="w")
    theirs = mini_reader.exact_v1(
        mini_reader.Tensor(dtype, [6, 9], weights.tobytes()),
        [mini_reader.Product(rows(delta.u), rows(delta.v)) for delta in deltas],
    )
    assert theirs.data == ours


def rows(array: np.ndarray) -> list[list[Any]]:
    return mini_reader.rows_of(mini_reader.Tensor("F32", list(array.shape), array.tobytes()))


@pytest.mark.parametrize(
    "value",
    [
        {"b": 1, "a": [True, False, None], "é": {}, "\U0001f600": [], "\uffff": ""},
        [0.0, -0.0, 1.0, 0.1, 1e-4, 1e-5, 1.5e16, 1e15, 1e16, 5e-324, 1.7976931348623157e308, 123456789012345680.0],
        ["\x00\x1f\x7f\u2028", '"\\/\b\t\n\f\r', "東京 ✓"],
        [0, -1, 10**30],
    ],
)
def test_the_mini_reader_writes_the_same_canonical_json(value):
    assert mini_reader.canonical_bytes(value) == canonical_json(value)


# The page and the code


def documented(section: str) -> set[str]:
    """Names in the first column of the first table under a heading of docs/format.md."""
    text = FORMAT.read_text(encoding="utf-8")
    heading = re.search(rf"^##+ [\d.]+ {re.escape(section)}$", text, re.MULTILINE)
    assert heading, f"docs/format.md has no section {section!r}"
    body = text[heading.end() :]
    end = re.search(r"^## ", body, re.MULTILINE)
    table = re.search(r"^\| field .*\n((?:\|.*\n)+)", body[: end.start() if end else None], re.MULTILINE)
    assert table, f"docs/format.md, {section}: no table of fields"
    return set(re.findall(r"^\| `([a-z0-9_]+)` ", table[1], re.MULTILINE))


@pytest.mark.parametrize(
    ("section", "fields"),
    [
        ("patch.json", Manifest.model_fields),
        ("method", MethodRecord.model_fields),
        ("base", BaseRecord.model_fields),
        ("parent", ParentRecord.model_fields),
        ("tensors", TouchedTensor.model_fields),
        ("files", FileRecord.model_fields),
        ("memory", MemoryRecord.model_fields),
        ("memory.json", MemoryConfig.model_fields),
        ("entries.jsonl", Operation.model_fields),
        ("edits.jsonl", EditRequest.model_fields),
        ("probes", Probe.model_fields),
        ("eval.json", Score.model_fields),
        ("Editors", EditorManifest.model_fields),
        ("Audit events", make_event()),
        ("objects", EventObject("model", "x").to_json()),
    ],
)
def test_the_fields_on_the_page_are_the_fields_of_the_code(section: str, fields: Mapping[str, Any]):
    assert documented(section) == set(fields)


def test_the_values_shown_as_empty_are_the_defaults_of_the_code():
    shown = {"null": None, '""': "", "[]": (), "{}": {}, "0": 0}
    text = FORMAT.read_text(encoding="utf-8")
    for model, section in (
        (Manifest, "patch.json"),
        (MethodRecord, "method"),
        (BaseRecord, "base"),
        (ParentRecord, "parent"),
    ):
        body = re.split(rf"^##+ [\d.]+ {re.escape(section)}$", text, flags=re.MULTILINE)[1]
        for name, empty in re.findall(r"^\| `(\w+)` \|[^|]*\| ?`?([^|`]*)`? ?\|", body, re.MULTILINE)[
            : len(model.model_fields)
        ]:
            field = model.model_fields[name]
            if empty.strip():
                assert field.get_default(call_default_factory=True) == shown[empty.strip()], (section, name)
            else:
                assert field.is_required() or name in ("format_version", "kernel"), (section, name)


def test_the_files_of_the_config_and_tokenizer_digests_are_on_the_page():
    text = FORMAT.read_text(encoding="utf-8").partition("## 12.")[2].partition("## 13.")[0]
    for name in (*CONFIG_FILES, *TOKENIZER_FILES):
        assert f"`{name}`" in text, name
    assert list(CONFIG_FILES) == mini_reader.CONFIG_FILES
    assert list(TOKENIZER_FILES) == mini_reader.TOKENIZER_FILES


if __name__ == "__main__":
    make_base(BASE)
    make_package(PACKAGE, BASE)
    EVENT.write_bytes(canonical_json(make_event()))
