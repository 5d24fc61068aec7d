"""Attestations: what is served is compared with what was approved, byte for byte."""

from __future__ import annotations

import base64
import json
import os

import pytest

from checkpoints import make_checkpoint
from manager.audit.conftest import NOBODY
from patchmgr.canonical import canonical_json
from patchmgr.errors import ConflictError, FormatError, IntegrityError
from patchmgr.manager.audit import attest as attest_module
from patchmgr.manager.audit.attest import check_folder, check_model, file_digests
from patchmgr.manager.audit.attestation import PREDICATE
from patchmgr.manager.manager import Manager


@pytest.fixture
def served(manager, tmp_path):
    """The folder of the present state, as it was shipped."""
    past = manager.audit.at("prod", "2900-01-01")
    return manager.audit.rebuild(past, tmp_path / "served").folder


@pytest.fixture
def attestation(manager, keys, tmp_path):
    file = tmp_path / "prod.intoto.json"
    file.write_bytes(canonical_json(manager.audit.attest("prod", key=keys("ana.key"))))
    return file


def test_what_is_attested_is_what_is_served(manager, attestation, served, ana):
    for found in (check_folder(attestation, served, ana), check_model(manager, attestation, "prod", ana)):
        assert found.state_root == manager.registry.generation("prod").state_root
        assert (found.model, found.generation) == ("prod", manager.registry.model("prod").generation)
        assert found.n_files == len(file_digests(served))


def test_the_statement_says_base_stack_scores_and_event(manager, attestation):
    statement = manager.audit.attest("prod")
    assert statement["predicateType"] == PREDICATE
    predicate, generation = statement["predicate"], manager.registry.generation("prod")
    assert [package["digest"] for package in predicate["stack"]] == list(generation.packages)
    assert predicate["base"]["fingerprint"] == manager.registry.model("prod").base.fingerprint
    event = manager.events()[predicate["event"]["sequence"] - 1]
    assert (event.sha256, event.action) == (predicate["event"]["sha256"], predicate["event"]["action"])
    signed = json.loads(base64.b64decode(json.loads(attestation.read_text())["payload"]))
    del signed["predicate"]["attested"], predicate["attested"]
    assert signed == statement


def test_a_folder_that_is_not_as_approved_is_told(attestation, served, ana, tmp_path):
    weights = next(served.glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    for change, told in (
        (lambda: weights.write_bytes(bytes([*data[:-1], data[-1] ^ 1])), f"{weights.name} is another"),
        (weights.unlink, f"{weights.name} is missing"),
        ((served / "pytorch_model.bin").touch, "pytorch_model.bin was not approved"),
        (lambda: (served / "memories").symlink_to(tmp_path), "memories was not approved"),
    ):
        change()
        with pytest.raises(IntegrityError, match=told):
            check_folder(attestation, served, ana)
        for surplus in ("pytorch_model.bin", "memories"):
            (served / surplus).unlink(missing_ok=True)
        weights.write_bytes(data)
    check_folder(attestation, served, ana)


def test_a_model_that_went_on_is_not_the_one_attested(manager, attestation, bob):
    with pytest.raises(IntegrityError, match="must be by"):
        check_model(manager, attestation, "prod", bob)
    manager.rollback("prod")
    with pytest.raises(IntegrityError, match="prod is at generation 21"):
        check_model(manager, attestation, "prod", NOBODY)


def test_a_forged_statement_is_refused(attestation, served, ana, tmp_path):
    envelope, other = json.loads(attestation.read_text()), tmp_path / "forged.json"
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["model"]["name"] = "other"
    forged = {**envelope, "payload": base64.b64encode(canonical_json(statement)).decode()}
    for value, told in (
        (forged, "signature of .* is bad"),
        (statement, "signed by nobody"),
        ({**envelope, "signatures": []}, "number of signatures"),
        ({**envelope, "payload": "?"}, "holds no statement"),
        ({**statement, "predicateType": "https://other"}, "predicateType"),
        ([], "holds no statement"),
    ):
        other.write_text(json.dumps(value))
        with pytest.raises(IntegrityError, match=told):
            check_folder(other, served, ana)
    plain = {**statement, "predicate": {**statement["predicate"]}}
    event, (state, first, *rest) = plain["predicate"]["event"], plain["subject"]
    for part, value, told in (
        ("model", [], "does not name its model"),
        ("model", {"name": "prod", "generation": -1}, "does not name its model"),
        ("event", [], "does not name its event"),
        ("event", {**event, "sequence": -3}, "does not name its event"),
        ("event", {**event, "sequence": 0}, "does not name its event"),
        ("event", {**event, "sha256": "zzz"}, "does not name its event"),
    ):
        other.write_text(json.dumps({**plain, "predicate": {**plain["predicate"], part: value}}))
        with pytest.raises(FormatError, match=told):
            check_folder(other, served, NOBODY)
    for subject, told in (
        ([first, *rest], "names no state"),
        ([state, state, first, *rest], "names no state"),
        ([state], "names no file"),
        ([state, first, *rest, first], "no digest, or two"),
        ([state, {**first, "digest": {"sha256": 5}}, *rest], "no digest, or two"),
        ([state, {**first, "digest": {"sha256": "a link"}}, *rest], "no digest, or two"),
    ):
        other.write_text(json.dumps({**plain, "subject": subject}))
        with pytest.raises(FormatError, match=told):
            check_folder(other, served, NOBODY)


def test_an_event_that_the_trail_has_not_is_refused(manager, tmp_path):
    statement, other = manager.audit.attest("prod"), tmp_path / "other.json"
    event = statement["predicate"]["event"]
    for fields, told in (({"sequence": 10_000}, "was removed"), ({"sha256": "0" * 64}, "is not as it was noted")):
        statement["predicate"]["event"] = {**event, **fields}
        other.write_bytes(canonical_json(statement))
        with pytest.raises(IntegrityError, match=told):
            check_model(manager, other, "prod", NOBODY)


@pytest.fixture
def odd(manager, tmp_path):
    """A model whose base's folder a test may put things into."""
    folder = tmp_path / "odd"
    make_checkpoint(folder, seed=7)
    manager.add_model("odd", str(folder))
    return folder


@pytest.mark.parametrize("to", ["elsewhere", "nowhere"])
def test_a_link_to_no_file_is_never_as_approved(manager, odd, tmp_path, to):
    (tmp_path / "elsewhere").mkdir()
    file, link = tmp_path / "odd.json", odd / "code"
    statement = manager.audit.attest("odd")
    file.write_bytes(canonical_json(statement))
    assert check_folder(file, odd, NOBODY).model == "odd"
    link.symlink_to(tmp_path / to)
    with pytest.raises(IntegrityError, match="code is a link to no file"):
        manager.audit.attest("odd")
    with pytest.raises(IntegrityError, match="code was not approved"):
        check_folder(file, odd, NOBODY)
    link.unlink()
    link.write_bytes(b"a file")
    file.write_bytes(canonical_json(manager.audit.attest("odd")))
    link.unlink()
    link.symlink_to(tmp_path / to)
    with pytest.raises(IntegrityError, match="code is another"):
        check_folder(file, odd, NOBODY)


def test_a_file_that_nobody_can_name_or_read_is_told(manager, odd, tmp_path, monkeypatch):
    file = tmp_path / "odd.json"
    file.write_bytes(canonical_json(manager.audit.attest("odd")))
    strange = odd / os.fsdecode(b"\xff.bin")
    strange.touch()
    for act in (lambda: manager.audit.attest("odd"), lambda: check_folder(file, odd, NOBODY)):
        with pytest.raises(IntegrityError, match=r"\\udcff.bin is no UTF-8"):
            act()
    strange.unlink()

    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(attest_module, "sha256_file", refused)  # a test may run as root, who may read everything
    with pytest.raises(IntegrityError, match=r"config.json cannot be read: Permission denied"):
        check_folder(file, odd, NOBODY)


def test_a_model_that_is_changed_meanwhile_is_not_called_broken(manager, monkeypatch):
    read = attest_module.read_state

    def overtaken(*asked):
        state = read(*asked)
        with Manager.open() as other:
            other.rollback("prod")
        return state

    monkeypatch.setattr(attest_module, "read_state", overtaken)
    with pytest.raises(ConflictError, match="prod was changed meanwhile"):
        manager.audit.attest("prod")
