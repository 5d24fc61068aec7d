"""Hostile repositories: `pull` and `apply` refuse each, and leave nothing behind."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from checkpoints import make_checkpoint, make_package
from hub.hostile import (
    EVIL,
    LYING_HEADERS,
    Files,
    entry,
    forged,
    good_files,
    good_memory,
    lie,
    safetensors,
    serve,
    state_of,
)
from hub.packages import reader
from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.errors import BaseMismatchError, ConflictError, FormatError, IntegrityError, NotFoundError, PatchmgrError
from patchmgr.signing.sign import SigningOrder
from signing.conftest import Keys, keys  # noqa: F401  # a fixture

VERSION = f"{EVIL}@v1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("attacks")


@pytest.fixture(scope="module")
def good(folder) -> Files:
    return good_files(folder)


@pytest.fixture(scope="module")
def memory(folder) -> Files:
    return good_memory(folder)


@pytest.fixture(scope="module")
def victim(folder):
    """One home for all attacks: each must leave it as it is."""
    with reader(folder, "victim") as manager:
        yield manager


@pytest.fixture(autouse=True)
def user(as_user):
    return as_user("bob")


@pytest.fixture
def newcomer(tmp_path, folder):
    """A home of the test's own, for what is not refused."""
    with reader(folder, f"newcomer-{tmp_path.name}") as manager:
        yield manager


def refused(victim, error: type[PatchmgrError], match: str, reference: str = VERSION) -> None:
    before = state_of(victim)
    for attempt in (lambda: victim.pull(reference, model="tiny"), lambda: victim.apply("tiny", [reference])):
        with pytest.raises(error, match=match) as raised:
            attempt()
        assert raised.value.exit_code == error.exit_code
        assert state_of(victim) == before


def downloaded(hub) -> list[str]:
    return [request.path for request in hub.requests if request.method == "GET" and "weights.saf" in request.path]


def test_what_is_forged_from_nothing_is_let_in(hub, good, memory, newcomer):
    serve(hub, forged(good))
    assert newcomer.pull(VERSION).version.reference == "fixes@v1"
    hub.add_repo("alice/kb", forged(memory))
    assert newcomer.pull("alice/kb@main").version.kind == "memory"


@pytest.mark.parametrize(
    "path",
    ["../x", "/x", "a\\..\\x", "memory/../../x", "./x", "a//x", "C:x", "a/", "", "a\nb", "patch.json", "model.sig"],
)
def test_a_path_outside_the_folder(hub, good, victim, path):
    manifest = json.loads(good["patch.json"])
    manifest["files"][path] = {"sha256": sha256_hex(b"x"), "size_bytes": 1}
    serve(hub, {**good, path: b"x", "patch.json": canonical_json(manifest)})
    refused(victim, FormatError, "is not a path inside the package|is never listed")


def test_a_file_in_a_file(hub, memory, victim):
    serve(hub, forged(memory, {"memory/a": b"x", "memory/a/b": b"y"}))
    refused(victim, FormatError, "'memory/a/b' lies in a file")


def test_a_link_as_git_keeps_it(hub, good, victim):
    serve(hub, forged(good, {"weights.safetensors": b"../../../../etc/passwd"}))
    refused(victim, FormatError, "not a whole safetensors file")
    hub.replace_file(EVIL, "v1", "weights.safetensors", None)
    refused(victim, IntegrityError, "lacks weights.safetensors")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "memory/model.PT", "run.py", "memory/lib.so"])
def test_a_pickle_or_code_that_is_listed(hub, good, victim, name):
    serve(hub, forged(good, {name: LYING_HEADERS["pickle"]()}))
    refused(victim, FormatError, "is a pickle or code")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "notes.txt", "memory/keys.safetensors", "README.md/x", ".git/x"])
def test_a_file_that_is_not_listed(hub, good, victim, name):
    serve(hub, {**good, name: b"x"})
    refused(victim, FormatError, "which patch.json does not list")
    assert downloaded(hub) == []


@pytest.mark.parametrize("header", LYING_HEADERS)
def test_a_header_that_lies(hub, good, victim, header):
    serve(hub, forged(good, {"weights.safetensors": LYING_HEADERS[header]()}))
    refused(victim, FormatError, "not a whole safetensors file")


@pytest.mark.parametrize("file", ["state.safetensors", "memory/keys.safetensors", "memory/router.safetensors"])
def test_a_header_that_lies_of_what_is_read_later(hub, good, memory, victim, file):
    serve(hub, forged(good if file.startswith("state") else memory, {file: LYING_HEADERS["overlapping"]()}))
    refused(victim, FormatError, "not a whole safetensors file")


def test_a_long_header_is_not_read(hub, good, victim, tmp_path):
    import tracemalloc

    from patchmgr.base.header import read_header

    place = tmp_path / "x.safetensors"
    place.write_bytes(LYING_HEADERS["header-of-17-MiB"]())
    tracemalloc.start()
    with pytest.raises(FormatError):
        read_header(place, limit_bytes=1 << 20)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "arrays",
    [
        {"stray/a": entry(0, 4, (1,), "F32")},
        {"layers.0.down.weight/a": entry(0, 0, (0,), "F32")},
    ],
)
def test_arrays_that_do_not_fit_the_manifest(hub, good, victim, arrays):
    serve(
        hub,
        forged(
            good,
            {"weights.safetensors": safetensors(arrays, bytes(max(e["data_offsets"][1] for e in arrays.values())))},
        ),
    )
    refused(victim, FormatError, "lacks the array|belongs to no tensor")


def test_weights_that_were_swapped(hub, good, victim):
    swapped = good["weights.safetensors"][:-4] + b"\0\0\0\1"
    assert len(swapped) == len(good["weights.safetensors"])
    serve(hub, {**good, "weights.safetensors": swapped})
    refused(victim, IntegrityError, "weights.safetensors is not what patch.json says")
    assert downloaded(hub) == []


def test_weights_that_were_swapped_while_the_hub_says_nothing_of_it(hub, good, victim, newcomer):
    data = good["weights.safetensors"]
    serve(hub, good)
    hub.store.contents[sha256_hex(data)] = data[:-4] + b"\0\0\0\1"
    refused(victim, IntegrityError, "weights.safetensors has digest")
    hub.store.contents[sha256_hex(data)] = data
    assert newcomer.pull(VERSION).version.number == 1  # what came damaged is not kept in the Hub's cache


def test_edits_that_were_swapped_while_the_hub_says_nothing_of_it(hub, good, victim):
    serve(hub, {**good, "edits.jsonl": good["edits.jsonl"].replace(b"Nowhere", b"Anyhere")})
    refused(victim, IntegrityError, "edits.jsonl has digest")
    before = state_of(victim)
    with pytest.raises(IntegrityError, match=r"edits.jsonl has digest"):
        victim.show(VERSION)
    assert state_of(victim) == before


def test_a_cache_that_leads_elsewhere(hub, good, newcomer, user, tmp_path):
    from huggingface_hub import snapshot_download

    serve(hub, good)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"s" * len(good["weights.safetensors"]))
    cached = Path(snapshot_download(EVIL, revision="v1")) / "weights.safetensors"
    cached.unlink()
    cached.symlink_to(elsewhere)
    before = state_of(newcomer)
    with pytest.raises(IntegrityError, match=r"weights.safetensors has digest"):
        newcomer.pull(VERSION)
    assert state_of(newcomer) == before
    assert elsewhere.read_bytes() == b"s" * len(good["weights.safetensors"])
    assert elsewhere.stat().st_nlink == 1
    assert newcomer.pull(VERSION).version.number == 1


def test_manifests_that_are_no_manifests(hub, good, victim):
    deep = b'{"a":' * 100_000
    for manifest in (b"", b"[]", b"null", deep, good["patch.json"] + b" ", b"\xff\xfe", b'{"format_version":1}'):
        hub.reset()
        serve(hub, {**good, "patch.json": manifest})
        refused(victim, FormatError, "patch.json")


def test_a_manifest_that_is_too_large(hub, good, victim, monkeypatch):
    serve(hub, good)
    lie(hub, "patch.json", size=200 * 10**6)
    refused(victim, FormatError, "patch.json of alice/evil takes 200000000 bytes")
    monkeypatch.setattr("patchmgr.hub.fetch.MOST_MANIFEST_BYTES", 1000)
    lie(hub, "patch.json", size=10)  # and is served as it is
    refused(victim, FormatError, "patch.json of alice/evil takes")


def test_a_manifest_of_very_many_files(hub, good, victim, monkeypatch):
    manifest = json.loads(good["patch.json"])
    record = {"sha256": "0" * 64, "size_bytes": 0}
    manifest["files"] |= {f"memory/{number}": record for number in range(3000)}
    serve(hub, {**good, "patch.json": canonical_json(manifest)})
    refused(victim, IntegrityError, "lacks memory/0")
    monkeypatch.setattr("patchmgr.hub.fetch.MOST_FILES", 4)
    refused(victim, FormatError, "has more than 4 files")


@pytest.mark.parametrize("fields", [{"version": 2**70}, {"version": 10**400}, {"n_edits": -1}, {"author": "\ud800"}])
def test_fields_that_nothing_can_hold(hub, good, victim, fields):
    serve(hub, {**forged(good), "patch.json": _raw(good, fields)})
    refused(victim, FormatError, "patch.json", f"{EVIL}@main")


@pytest.mark.parametrize(
    ("edits", "match"),
    [
        (b'{"a":' * 100_000, "not JSON|RecursionError"),
        (b"\n" * 1_000_000, "no request"),
        (b'{"prompt":' + b"9" * 100_000 + b"}", "not JSON"),
        (b"\xff\xff", "not JSON"),
        (b'{"withheld":"' + b"0" * 64 + b'"}\n' * 3, "not a digest|not JSON|edits"),
    ],
)
def test_edits_that_are_none(hub, good, victim, edits, match):
    serve(hub, forged(good, {"edits.jsonl": edits}))
    refused(victim, FormatError, match)


def test_more_edits_than_are_said(hub, good, victim):
    serve(hub, forged(good, {"edits.jsonl": good["edits.jsonl"] * 2}))
    refused(victim, FormatError, "holds 2 edits, patch.json says 1")


def test_a_package_for_another_base(hub, folder, victim):
    other = folder / "other"
    if not other.exists():
        make_package(other / "package", make_checkpoint(other / "base", seed=9), name="fixes")
    serve(hub, {p.name: p.read_bytes() for p in (other / "package").iterdir()})
    refused(victim, BaseMismatchError, "fixes@v1 was made for the base")
    assert BaseMismatchError.exit_code == 5
    assert downloaded(hub) == []


def test_a_tag_on_another_version(hub, good, victim):
    serve(hub, good, tag="v2")
    refused(victim, IntegrityError, "the tag v2 of alice/evil is on fixes@v1", f"{EVIL}@v2")


def test_a_tag_that_was_moved_after_it_was_pulled(hub, good, newcomer):
    serve(hub, good)
    newcomer.pull(VERSION)
    hub.commit(EVIL, forged(good, message="another"))
    hub.move_tag(EVIL, "v1", "main")
    refused(newcomer, ConflictError, "the registry has another package of that name and number")


def test_parents_that_go_round_in_a_circle(hub, good, victim):
    serve(hub, good, tag="v5")
    hub.commit(EVIL, {"patch.json": _raw(good, {"parent_version": 6, "version": 6})})
    hub.move_tag(EVIL, "v6", "main")
    refused(victim, NotFoundError, "no version of alice/evil is", f"{EVIL}@^4")


def test_signatures(hub, good, victim, newcomer, keys, tmp_path):  # noqa: F811
    """In a home that lets in what ana has signed: nothing unsigned, by bob, or with her signature of something else."""
    newcomer.trust.add("ana", key=keys("ana.pub"))
    serve(hub, good)
    version = newcomer.pull(VERSION).version
    signed = {}
    for who in ("bob", "ana"):
        newcomer.sign("fixes@v1", SigningOrder(keys(f"{who}.key")))
        signature = newcomer.registry.signature(version.digest)
        signed[who] = newcomer.registry.blobs.read_bytes(signature.sha256)
    victim.trust.add("ana", key=keys("ana.pub"))
    settings, victim.settings = victim.settings, replace(victim.settings, signatures="trusted")
    try:
        refused(victim, IntegrityError, "fixes@v1 is not signed")
        hub.commit(EVIL, {"model.sig": signed["bob"]})
        hub.move_tag(EVIL, "v1", "main")
        refused(victim, IntegrityError, "signed by a key that is not trusted")
        hub.commit(EVIL, {**forged(good, message="other"), "model.sig": signed["ana"]})
        hub.move_tag(EVIL, "v1", "main")
        refused(victim, IntegrityError, "signature")
        lie(hub, "model.sig", size=10**9)
        refused(victim, FormatError, "model.sig of alice/evil@v1 is larger than any")
    finally:
        victim.settings = settings
        victim.trust.remove("ana")


def test_companions_that_are_garbage_are_passed_over(hub, good, newcomer):
    serve(hub, {**good, "adapter_config.json": b"\x80garbage", "adapter_model.safetensors": b"\0" * 9})
    hub.requests.clear()
    assert newcomer.apply("tiny", [VERSION]).stack == ("fixes@v1",)
    assert not [request for request in hub.requests if "resolve" in request.path and "adapter" in request.path]


def test_names_that_another_file_system_takes_for_one(hub, memory, newcomer):
    accent = "memory/caf\u00e9.txt"
    names = {accent: b"1", unicodedata.normalize("NFD", accent): b"2", "memory/A.txt": b"3", "memory/a.txt": b"4"}
    serve(hub, forged(memory, names))
    version = newcomer.pull(VERSION).version
    there = {file.path: newcomer.registry.blobs.read_bytes(file.sha256) for file in version.files}
    assert {name: there[name] for name in names} == names


def _raw(files: Files, fields: dict[str, object]) -> bytes:
    """The manifest with these fields, canonical or not."""
    manifest = json.loads(files["patch.json"]) | fields
    return (json.dumps(manifest, sort_keys=True, separators=(",", ":")) + "\n").encode()
