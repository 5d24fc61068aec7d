"""Whatever puts packages on a model asks for their signatures first; nothing is written where they are refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from checkpoints import make_package
from cli.conftest import everything
from manager.conftest import flip
from patchmgr.errors import FormatError, IntegrityError, UsageError
from patchmgr.manager.lay_out import package_folder
from patchmgr.manager.settings import load_settings
from patchmgr.manager.signing.ask import registered_signature
from patchmgr.package.reader import EditPackage
from patchmgr.signing.sign import SigningOrder


@pytest.fixture
def manager(stocked):
    """Model ``tiny`` has p2 on it; p1 is registered. Only ana is to be trusted."""
    return stocked.manager


def only_trusted(manager) -> None:
    manager.settings = replace(manager.settings, signatures="trusted")


def by(keys, name: str) -> SigningOrder:
    return SigningOrder(keys(f"{name}.key"))


def p3(stocked, folder: Path) -> Path:
    make_package(folder, stocked.base, name="p3", seed=3)
    return folder


# The registry


def test_a_signature_goes_through_the_registry_and_out_again(manager, keys, tmp_path):
    signed = manager.sign("p1@v1", by(keys, "ana"))
    manager.trust.add("ana", key=keys("ana.pub"))
    assert manager.verify("p1@v1").signature.trusted_as == "ana"
    laid = package_folder(manager, manager.registry.version("p1@v1"), tmp_path / "out")
    assert (tmp_path / "out" / "model.sig").read_bytes() == registered_signature(manager, signed.digest)
    assert "model.sig" in laid.files
    assert manager.verify(str(tmp_path / "out")).signature.trusted_as == "ana"
    assert manager.show("p1@v1").signature == f"by ana ({signed.signer})"
    assert manager.show("p2@v1").signature == "none"


def test_signing_again_takes_the_place_and_the_event_tells_both(manager, keys):
    first = manager.sign("p1@v1", by(keys, "ana"))
    second = manager.sign("p1@v1", by(keys, "bob"))
    assert second.replaced == first.signer
    told = [(about.kind, about.name) for about in manager.registry.events()[-1].objects]
    assert told == [("package", "p1@v1"), ("signature", str(second.signer)), ("replaced", str(first.signer))]
    assert [event.action for event in manager.registry.events()[-2:]] == ["sign", "sign"]
    assert len(manager.registry.signatures()) == 1


def test_a_dry_run_signs_nothing(manager, keys, tmp_path):
    n_events = len(manager.registry.events())
    assert manager.sign("p1@v1", by(keys, "ana"), dry_run=True).signer is None
    assert (manager.registry.signatures(), len(manager.registry.events())) == ({}, n_events)


def test_a_signature_comes_in_with_its_package_and_is_looked_after(stocked, manager, keys, tmp_path):
    folder = p3(stocked, tmp_path / "p3")
    assert manager.sign(str(folder), by(keys, "ana")).place == folder
    manager.apply("tiny", [str(folder)])
    digest = manager.registry.version("p3@v1").digest
    assert registered_signature(manager, digest) == (folder / "model.sig").read_bytes()
    assert [about.kind for event in manager.registry.events() if event.action == "import"
            for about in event.objects][-3:] == ["package", "signature", "base"]  # fmt: skip
    sha256 = manager.registry.signature(digest).sha256
    manager.gc()
    assert sha256 in manager.registry.blobs
    unused = {row.kind: row for row in manager.du().rows}["unused blobs"]
    assert unused.n_files == 0
    assert manager.fsck().problems == ()
    flip(manager.registry.blobs.path(sha256))
    (problem,) = manager.fsck().problems
    assert problem.object == "p3@v1/model.sig"
    assert manager.show("p3@v1").signature.startswith("BAD")


def test_a_signature_that_is_lost_or_damaged_can_be_made_or_brought_again(manager, keys, tmp_path):
    manager.sign("p1@v1", by(keys, "ana"))
    version = manager.registry.version("p1@v1")
    package_folder(manager, version, tmp_path / "p1")
    manager.registry.blobs.remove(manager.registry.signature(version.digest).sha256)
    with pytest.raises(IntegrityError, match="the signature of p1@v1 is bad: its blob is missing"):
        manager.apply("tiny", ["p1@v1"])
    manager.apply("tiny", [str(tmp_path / "p1")])
    assert manager.verify("p1@v1").signature.status == "unknown"


def test_a_better_signature_takes_the_place_of_a_worse_one(manager, keys, tmp_path):
    from patchmgr.manager.packages import adopt

    version = manager.registry.version("p1@v1")
    package_folder(manager, version, tmp_path / "p1")

    def signer_after_taking_in(name: str) -> str:
        by_whom[manager.sign(str(tmp_path / "p1"), by(keys, name)).signer] = name
        adopt(manager, tmp_path / "p1")
        return by_whom[manager.verify("p1@v1").signature.signer]

    by_whom: dict = {}
    assert signer_after_taking_in("bob") == "bob", "there was none"
    assert signer_after_taking_in("ana") == "bob", "neither is trusted, so the first stays"
    manager.trust.add("ana", key=keys("ana.pub"))
    assert signer_after_taking_in("ana") == "ana"
    assert signer_after_taking_in("bob") == "ana"


@pytest.mark.parametrize("which", ["p2", "garbage", "huge", "link"])
def test_a_signature_that_cannot_be_its_own_is_refused_with_its_package(stocked, manager, keys, tmp_path, which):
    folder = p3(stocked, tmp_path / "p3")
    place = folder / "model.sig"
    if which == "p2":
        package_folder(manager, manager.registry.version("p2@v1"), tmp_path / "p2")
        manager.sign(str(tmp_path / "p2"), by(keys, "ana"))
        shutil.copy(tmp_path / "p2" / "model.sig", place)
    elif which == "garbage":
        place.write_text("nonsense")
    elif which == "huge":
        place.write_bytes(b" " * (4 * 1024 * 1024 + 1))
    else:
        place.symlink_to(tmp_path / "elsewhere")
    before = everything(stocked.home)
    for attempt in (
        lambda: manager.apply("tiny", [str(folder)]),
        lambda: manager.plan("tiny", [str(folder)]),
        lambda: manager.load("tiny", [str(folder)]),
        lambda: manager.verify(str(folder)),
    ):
        with pytest.raises((IntegrityError, FormatError), match=r"signature of p3@v1 is bad|model\.sig"):
            attempt()
    assert everything(stocked.home) == before


def test_a_changed_byte_of_each_covered_file_is_refused(stocked, manager, keys, tmp_path):
    folder = p3(stocked, tmp_path / "p3")
    manager.sign(str(folder), by(keys, "ana"))
    manager.trust.add("ana", key=keys("ana.pub"))
    only_trusted(manager)
    before = everything(stocked.home)
    with pytest.raises(IntegrityError, match="p2@v1 is not signed"):  # it is on the model, and would stay
        manager.apply("tiny", [str(folder)])
    assert everything(stocked.home) == before
    manager.revert("tiny", ["p2"])
    for name in ("patch.json", *EditPackage.read(folder).manifest.files):
        other = Path(shutil.copytree(folder, tmp_path / f"other-{name}"))
        flip(other / name, at=len((other / name).read_bytes()) // 2)
        with pytest.raises(IntegrityError):
            manager.apply("tiny", [str(other)])
    (folder / "README.md").write_text("another card")
    manager.apply("tiny", [str(folder)])


# Only trusted ones


def attempts(manager, reference: str, out: Path):
    return {
        "apply": lambda: manager.apply("tiny", [reference]),
        "plan": lambda: manager.plan("tiny", [reference]),
        "apply -o": lambda: manager.write_out("tiny", [reference], out),
        "plan -o": lambda: manager.plan_out("tiny", [reference], out),
        "load": lambda: manager.load("tiny", [reference]),
        "generate --with": lambda: manager.generate("tiny", "Town 3 lies in", references=[reference]),
    }


@pytest.mark.parametrize("place", ["folder", "registry"])
def test_only_packages_by_trusted_keys_are_used(stocked, manager, keys, tmp_path, place):
    folder, reference = p3(stocked, tmp_path / "p3"), "p1@v1"
    if place == "folder":
        reference = str(folder)
    manager.trust.add("ana", key=keys("ana.pub"))
    manager.sign("p2@v1", by(keys, "ana"))  # what is on the model already
    only_trusted(manager)
    name = "p3@v1" if place == "folder" else "p1@v1"
    before, n_events = everything(stocked.home), len(manager.registry.events())
    for what, attempt in attempts(manager, reference, tmp_path / "out").items():
        with pytest.raises(IntegrityError, match=f"{name} is not signed") as told:
            attempt()
        assert f"patchmgr sign {name}" in told.value.hint, what
    assert (everything(stocked.home), len(manager.registry.events())) == (before, n_events)
    signer = manager.sign(reference, by(keys, "bob")).signer
    before = everything(stocked.home)
    for attempt in attempts(manager, reference, tmp_path / "out").values():
        with pytest.raises(IntegrityError, match=f"not trusted: key sha256:{signer.fingerprint}"):
            attempt()
    assert everything(stocked.home) == before
    assert not (tmp_path / "out").exists()
    manager.sign(reference, by(keys, "ana"))
    assert manager.apply("tiny", [reference]).added == (name,)


def test_every_package_of_the_stack_must_be_signed_and_all_can_be_taken_out(manager, keys):
    manager.trust.add("ana", key=keys("ana.pub"))
    manager.sign("p1@v1", by(keys, "ana"))
    only_trusted(manager)
    with pytest.raises(IntegrityError, match="p2@v1 is not signed"):
        manager.apply("tiny", ["p1@v1"])
    assert manager.revert("tiny", ["p2"]).stack == ()
    assert manager.apply("tiny", ["p1@v1"]).stack == ("p1@v1",)
    manager.trust.remove("ana")
    assert manager.rollback("tiny", 0).stack == (), "what is only taken out is not asked for"
    with pytest.raises(IntegrityError, match="p1@v1 is signed by a key that is not trusted"):
        manager.rollback("tiny")
    with pytest.raises(IntegrityError, match="p1@v1"):
        manager.plan_rollback("tiny", 5)


def test_a_hook_that_fails_can_always_take_its_change_back(manager, keys):
    from patchmgr.errors import HookError
    from patchmgr.manager.change_hook import parse_hooks

    hooks = parse_hooks([{"command": ["false"]}], where="test")
    manager.settings = replace(manager.settings, signatures="trusted", after_change=hooks)
    with pytest.raises(HookError):
        manager.revert("tiny", ["p2"])
    assert [package.reference for package in manager.status("tiny")[0].stack] == ["p2@v1"]


def test_sync_asks_before_anything_is_taken_in(stocked, manager, keys, tmp_path):
    folder = p3(stocked, tmp_path / "p3")
    (tmp_path / "patches.toml").write_text('[models.tiny]\npackages = [{ name = "p3", path = "./p3" }]\n')
    manager.lock(tmp_path)
    shutil.copytree(tmp_path, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("elsewhere"))
    manager.trust.add("ana", key=keys("ana.pub"))
    only_trusted(manager)
    before = everything(stocked.home)
    for attempt in (manager.plan_sync, manager.sync):
        with pytest.raises(IntegrityError, match="p3@v1 is not signed"):
            attempt(tmp_path)
    assert everything(stocked.home) == before
    manager.sign(str(folder), by(keys, "ana"))
    assert manager.sync(tmp_path)[0].stack == ("p3@v1",)


def test_without_a_demand_a_wrong_signature_by_a_trusted_key_is_refused_all_the_same(stocked, manager, keys, tmp_path):
    import json

    folder = p3(stocked, tmp_path / "p3")
    manager.sign(str(folder), by(keys, "bob"))
    ana, _ = manager.trust.add("ana", key=keys("ana.pub"))
    opened = json.loads((folder / "model.sig").read_text())
    opened["verificationMaterial"]["publicKey"]["hint"] = ana.fingerprint
    (folder / "model.sig").write_text(json.dumps(opened))
    before = everything(stocked.home)
    with pytest.raises(IntegrityError, match="the signature of p3@v1 is bad"):
        manager.apply("tiny", [str(folder)])
    assert everything(stocked.home) == before
    (folder / "model.sig").unlink()
    assert manager.apply("tiny", [str(folder)]).added == ("p3@v1",)


# The setting


def test_a_folder_may_ask_for_more_and_never_for_less(tmp_path, monkeypatch):
    own = load_settings.__globals__["platformdirs"].user_config_path("patchmgr")
    own.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    def setting(user: str | None, here: str | None) -> str:
        for place, value in ((own / "config.toml", user), (tmp_path / "patchmgr.toml", here)):
            place.write_text(f"[patchmgr]\nsignatures = '{value}'\n" if value else "")
        return load_settings().signatures

    assert setting(None, None) == "any"
    assert setting("trusted", "any") == "trusted"
    assert setting("any", "trusted") == "trusted"
    assert setting(None, "trusted") == "trusted"
    monkeypatch.setenv("PATCHMGR_SIGNATURES", "any")
    assert setting("trusted", "trusted") == "any"
    monkeypatch.setenv("PATCHMGR_SIGNATURES", "signed")
    with pytest.raises(UsageError, match="PATCHMGR_SIGNATURES"):
        setting(None, None)
    monkeypatch.delenv("PATCHMGR_SIGNATURES")
    with pytest.raises(UsageError, match=r"patchmgr\.toml"):
        setting(None, "none")
