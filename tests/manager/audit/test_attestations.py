"""Attestations: what is served is compared with what was approved, byte for byte."""

from __future__ import annotations

import base64
import json

import pytest

from manager.audit.conftest import NOBODY
from patchmgr.canonical import canonical_json
from patchmgr.errors import FormatError, IntegrityError
from patchmgr.manager.audit.attest import PREDICATE, check_folder, check_model, file_digests


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
    for part in ("model", "event"):
        other.write_text(json.dumps({**statement, "predicate": {**statement["predicate"], part: []}}))
        if part == "model":
            with pytest.raises(FormatError, match="does not name its model"):
                check_folder(other, served, NOBODY)
