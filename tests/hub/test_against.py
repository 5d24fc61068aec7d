"""Whether a package fits a base on the Hub, told by digests and by a few bytes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from checkpoints import make_package, write_tensors
from cli.conftest import run  # noqa: F401  # a fixture
from hub.hostile import LYING_HEADERS
from hub.testhub import content
from memory_packages import make_memory_package
from patchmgr.base.checkpoint import INDEX_FILE
from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.errors import BaseMismatchError, FormatError, HubError, NotFoundError, UsageError
from patchmgr.hub.remote_base import FIRST_BYTES
from patchmgr.manager.manager import Manager
from patchmgr.ops.rounding import encode
from patchmgr.package.manifest import parse_manifest

BASE = "alice/base"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
TOUCHED = ("layers.0.down.weight", "layers.1.down.weight")
TOUCHED_BYTES = 64 * 90 * 2


def make_base(folder: Path, *, seed: int = 0, layers: int = 0, columns: int = 90, dtype: str = "BF16") -> Path:
    """Two shards of 500 kB, of which 11 kB each are touched; ``seed`` is that of the rest, ``layers`` of these."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(canonical_json({"architectures": ["TinyForCausalLM"], "model_type": "tiny"}))
    (folder / "tokenizer.json").write_bytes(canonical_json({"version": "1.0"}))
    rest, touched = np.random.default_rng(seed), np.random.default_rng(100 + layers)
    shard_of = {}
    for number, shard in enumerate(SHARDS):
        arrays = {
            f"rest.{number}": encode(rest.normal(size=(500, 500)), dtype),
            TOUCHED[number]: encode(touched.normal(size=(64, columns)), dtype),
        }
        write_tensors(folder / shard, arrays, dtype)
        shard_of |= dict.fromkeys(arrays, shard)
    (folder / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": shard_of}))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The base and other ones, and packages: ``fixes``, ``more`` on it, the memory ``kb``, ``recorded`` with shards."""
    root = tmp_path_factory.mktemp("against")
    base = make_base(root / "base")
    for name, changes in {
        "other-rest": {"seed": 1}, "other-layers": {"layers": 1}, "wider": {"columns": 91}, "half": {"dtype": "F16"},
    }.items():  # fmt: skip
        make_base(root / name, **changes)
    make_package(root / "fixes", base, name="fixes", tensors=TOUCHED)
    make_package(root / "more", base, name="more", tensors=TOUCHED[:1], on=[root / "fixes"])
    make_memory_package(root / "kb", base)
    make_package(root / "recorded", base, name="recorded", tensors=TOUCHED)
    place = root / "recorded" / "patch.json"
    manifest = parse_manifest(place.read_bytes())
    shards = {name: sha256_hex((base / name).read_bytes()) for name in SHARDS}
    place.write_bytes(
        manifest.model_copy(update={"base": manifest.base.model_copy(update={"shards": shards})}).to_bytes()
    )
    return root


@pytest.fixture
def manager(tmp_path, as_user, hub):
    as_user("bob")
    with Manager.open(tmp_path / "home") as manager:
        yield manager


@pytest.fixture
def served(monkeypatch) -> list[int]:
    """Bytes of each answer with a file, of weights and of others, as the Hub sent them."""
    sizes, ranged = [], content.ranged

    def counting(ask, data, headers):
        response = ranged(ask, data, headers)
        sizes.append(len(response.body))
        return response

    monkeypatch.setattr(content, "ranged", counting)
    return sizes


def test_the_shards_that_the_author_recorded_tell(hub, made, manager, served):
    hub.add_repo(BASE, made / "base")
    found = manager.verify_against(str(made / "recorded"), BASE)
    assert (found.by, found.fits, found.same_config, found.same_tokenizer) == ("shards", True, True, True)
    assert (found.commit, found.fetched_bytes) == (hub.head(BASE), 0)
    assert sum(served) < 1000  # the configuration and the tokenizer
    assert not [request for request in hub.requests if "_cdn" in request.path]


@pytest.mark.parametrize("hub", ["lfs", "xet"], indirect=True)
@pytest.mark.parametrize(("package", "base"), [("fixes", "base"), ("recorded", "other-rest")])
def test_only_the_touched_tensors_are_read(hub, made, manager, served, package, base):
    hub.add_repo(BASE, made / base)
    found = manager.verify_against(str(made / package), BASE)
    assert (found.by, found.fits) == ("tensors", True)
    assert [(tensor.name, tensor.status, tensor.shard) for tensor in found.tensors] == [
        (TOUCHED[0], "fits", SHARDS[0]),
        (TOUCHED[1], "fits", SHARDS[1]),
    ]
    assert found.fetched_bytes == 2 * (FIRST_BYTES + TOUCHED_BYTES)
    assert sum(served) < found.fetched_bytes + 2000  # of a megabyte
    found.check()


@pytest.mark.parametrize(
    ("base", "status"),
    [("other-layers", "other bytes"), ("wider", "other shape"), ("half", "other dtype")],
)
def test_a_base_that_is_another_one(hub, made, manager, base, status):
    hub.add_repo(BASE, made / base)
    found = manager.verify_against(str(made / "fixes"), BASE)
    assert [tensor.status for tensor in found.misfits] == [status, status]
    with pytest.raises(BaseMismatchError, match=f"{TOUCHED[0]}' has {status}, and 1 more"):
        found.check()


def test_one_tensor_is_another_or_is_not_there(hub, made, manager):
    hub.add_repo(BASE, made / "base")
    index = json.loads((made / "base" / INDEX_FILE).read_text())
    hub.commit(BASE, {SHARDS[1]: (made / "other-layers" / SHARDS[1]).read_bytes()})
    found = manager.verify_against(str(made / "fixes"), BASE)
    assert [tensor.status for tensor in found.tensors] == ["fits", "other bytes"]
    del index["weight_map"][TOUCHED[1]]
    hub.commit(BASE, {INDEX_FILE: json.dumps(index).encode()})
    found = manager.verify_against(str(made / "fixes"), BASE)
    assert [tensor.status for tensor in found.tensors] == ["fits", "missing"]
    with pytest.raises(BaseMismatchError, match=r"there is no 'layers\.1"):
        found.check()


def test_a_revision_can_be_named(hub, made, manager):
    first = hub.add_repo(BASE, made / "base")
    hub.commit(BASE, {SHARDS[0]: (made / "other-layers" / SHARDS[0]).read_bytes()})
    assert not manager.verify_against(str(made / "fixes"), BASE).fits
    assert manager.verify_against(str(made / "fixes"), f"{BASE}@{first}").fits
    with pytest.raises(NotFoundError, match="has no revision"):
        manager.verify_against(str(made / "fixes"), f"{BASE}@v9")
    with pytest.raises(UsageError):
        manager.verify_against(str(made / "fixes"), "base")


def test_tokenizer_and_configuration(hub, made, manager):
    hub.add_repo(BASE, made / "base")
    hub.commit(BASE, {"config.json": b"{}"})
    found = manager.verify_against(str(made / "recorded"), BASE)
    assert (found.fits, found.same_config) == (True, False)
    hub.commit(BASE, {"vocab.json": b"{}"})
    found = manager.verify_against(str(made / "recorded"), BASE)
    assert (found.fits, found.same_tokenizer) == (False, False)
    with pytest.raises(BaseMismatchError, match="the tokenizer is another"):
        found.check()


def test_what_the_cache_has_is_not_fetched(hub, made, manager):
    from huggingface_hub import hf_hub_download

    hub.add_repo(BASE, made / "base")
    hf_hub_download(BASE, SHARDS[0])
    found = manager.verify_against(str(made / "fixes"), BASE)
    assert (found.fits, found.fetched_bytes) == (True, FIRST_BYTES + TOUCHED_BYTES)


def test_a_package_on_others_is_traced_to_the_base(hub, made, manager):
    from patchmgr.manager.packages import adopt

    hub.add_repo(BASE, made / "base")
    with pytest.raises(NotFoundError, match=r"was computed on the package \w+, which is not here"):
        manager.verify_against(str(made / "more"), BASE)
    adopt(manager, made / "fixes")
    assert manager.verify_against(str(made / "more"), BASE).fits
    assert manager.verify_against("fixes@v1", BASE).fits


def test_a_memory_of_texts_works_on_any(hub, made, manager):
    hub.add_repo(BASE, made / "half")
    found = manager.verify_against(str(made / "kb"), BASE)
    assert (found.by, found.fits, found.fetched_bytes) == ("nothing", True, 0)


def test_a_package_on_the_hub_is_not_downloaded_either(hub, made, manager):
    hub.add_repo(BASE, made / "base")
    hub.add_repo("alice/fixes", made / "fixes")
    hub.move_tag("alice/fixes", "v1", "main")
    assert manager.verify_against("alice/fixes@v1", BASE).fits
    assert not [request for request in hub.requests if "resolve" in request.path and "weights.saf" in request.path]


@pytest.mark.parametrize("kind", ["500", "drop", "cut", "hang"])
def test_a_network_that_fails(hub, made, manager, as_user, kind):
    hub.add_repo(BASE, made / "base")
    as_user("bob", timeout_s=0.2)
    hub.faults.hang_s = 0.3
    hub.faults.at(2, kind, match="_cdn")
    found = manager.verify_against(str(made / "fixes"), BASE)
    assert found.fits
    assert hub.faults.pending == 0
    hub.faults.every(kind, match="_cdn")
    with pytest.raises(HubError):
        manager.verify_against(str(made / "fixes"), BASE)


def test_a_hub_without_ranges_is_said(hub, made, manager, monkeypatch):
    hub.add_repo(BASE, made / "base")
    ranged = content.ranged

    def whole(ask, data, headers):
        ask.headers.pop("range", None)
        return ranged(ask, data, headers)

    monkeypatch.setattr(content, "ranged", whole)
    with pytest.raises(HubError, match="does not serve parts of model-00001"):
        manager.verify_against(str(made / "fixes"), BASE)


@pytest.mark.parametrize("header", LYING_HEADERS)
def test_a_shard_that_lies(hub, made, manager, header):
    hub.add_repo(BASE, made / "base")
    hub.commit(BASE, {SHARDS[0]: LYING_HEADERS[header]()})
    with pytest.raises(FormatError, match="not a whole safetensors file"):
        manager.verify_against(str(made / "fixes"), BASE)


def test_a_header_that_is_longer_than_the_first_bytes(hub, made, manager, monkeypatch):
    monkeypatch.setattr("patchmgr.hub.remote_base.FIRST_BYTES", 100)
    hub.add_repo(BASE, made / "base")
    found = manager.verify_against(str(made / "fixes"), BASE)
    assert (found.fits, found.fetched_bytes) == (True, 2 * (4096 + TOUCHED_BYTES))


def test_an_index_that_leads_astray(hub, made, manager):
    hub.add_repo(BASE, made / "base")
    for shard in ("../x.safetensors", "absent.safetensors"):
        hub.commit(BASE, {INDEX_FILE: json.dumps({"weight_map": dict.fromkeys(TOUCHED, shard)}).encode()})
        with pytest.raises(FormatError, match=r"outside its folder|which is not there"):
            manager.verify_against(str(made / "fixes"), BASE)
    hub.commit(BASE, {INDEX_FILE: None})
    with pytest.raises(NotFoundError, match=r"has neither model\.safetensors nor"):
        manager.verify_against(str(made / "fixes"), BASE)


def test_the_command(hub, made, manager, run):  # noqa: F811
    hub.add_repo(BASE, made / "base")
    hub.add_repo("alice/other", made / "other-layers")
    done = run("verify", made / "fixes", "--against", BASE)
    assert (done.code, done.err) == (0, "")
    assert "fits alice/base" in done.out
    assert "2 tensor(s)" in done.out
    done = run("verify", made / "fixes", "--against", "alice/other")
    assert done.code == 5
    assert done.out.count("other bytes") == 2
    done = run("verify", made / "fixes", "--against", "alice/other", "--json")
    assert (done.code, done.json["fits"]) == (5, False)
    assert [tensor["status"] for tensor in done.json["against"]["tensors"]] == ["other bytes", "other bytes"]
    assert run("verify", made / "fixes", "--against", BASE, "--key", "x.pem").code == 2
