"""Exported trails, anchors and attestations: what was done to one is found, on another machine too."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil

import pytest

from patchmgr.canonical import canonical_json
from patchmgr.errors import ConflictError, FormatError, IntegrityError, NotFoundError, UsageError
from patchmgr.manager.audit.anchors import read_anchors
from patchmgr.manager.audit.attest import PREDICATE, check_folder, check_model, file_digests
from patchmgr.manager.audit.chain_file import check_chain_file
from patchmgr.manager.audit.signers import Signers, signers_named

NOBODY = Signers((), required=False)


@pytest.fixture
def ana(keys, tmp_path):
    return signers_named(str(keys("ana.pub")), tmp_path / "trust")


@pytest.fixture
def bob(keys, tmp_path):
    return signers_named(str(keys("bob.pub")), tmp_path / "trust")


@pytest.fixture
def exported(manager, keys, tmp_path):
    return manager.audit.export(tmp_path / "audit.jsonl", key=keys("ana.key")).file


def checked(file, signers=NOBODY, anchors=()):
    return check_chain_file(file, anchors=anchors, keys=signers.keys, must_be_signed=signers.required)


# Exported files


@pytest.mark.parametrize("name", ["ana", "p384", "p521"])
def test_an_exported_file_is_checked_without_the_registry(manager, history, keys, tmp_path, name):
    file = manager.audit.export(tmp_path / "audit.jsonl", key=keys(f"{name}.key")).file
    head, n_events = manager.registry.event_head(), len(manager.events())
    manager.close()
    shutil.rmtree(history.home)
    signers = signers_named(str(keys(f"{name}.pub")), tmp_path / "no-trust")
    found = checked(file, signers)
    assert (found.head.last, found.head.sha256) == (n_events, head.sha256) == (head.sequence, head.sha256)
    assert found.signed_by == str(keys(f"{name}.pub"))
    assert checked(file).signed_by is None
    signed = b"".join(file.read_bytes().splitlines(keepends=True)[:-1])
    envelope = json.loads(file.read_bytes().splitlines()[-1])["signature"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["subject"][0]["digest"]["sha256"] == hashlib.sha256(signed).hexdigest()
    history.home.mkdir()


def test_the_signature_is_what_others_call_dsse(exported, keys):
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from model_signing._signing.sign_sigstore_pb import pae

    envelope = json.loads(exported.read_bytes().splitlines()[-1])["signature"]
    (signature,) = envelope["signatures"]
    public = serialization.load_pem_public_key(keys("ana.pub").read_bytes())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    signed = pae(base64.b64decode(envelope["payload"]))  # of another program; it raises where the signature is bad
    public.verify(base64.b64decode(signature["sig"]), signed, ec.ECDSA(hashes.SHA256()))


def test_any_byte_of_a_signed_file_that_is_changed_is_found(exported, ana, tmp_path):
    data, rng = exported.read_bytes(), random.Random(0)
    other = tmp_path / "other.jsonl"
    for _ in range(150):
        place = rng.randrange(len(data))
        flipped = bytearray(data)
        flipped[place] ^= 1 << rng.randrange(8)
        other.write_bytes(flipped)
        with pytest.raises(IntegrityError):
            checked(other, ana)


def test_lines_removed_inserted_reordered_and_cut_are_told(exported, ana, tmp_path):
    lines, other = exported.read_bytes().splitlines(keepends=True), tmp_path / "other.jsonl"
    swapped = [*lines[:3], lines[4], lines[3], *lines[5:]]
    for what, told in (
        ([*lines[:5], *lines[6:]], "event 5 was removed"),
        ([*lines[:5], lines[2], *lines[5:]], "event 5 was inserted"),
        (swapped, "events were reordered: event 3 stands at number 3, behind event 4"),
        ([*lines[:8], lines[-1]], "event 8 was removed: the chain went on"),
        ([*lines[:-1], lines[-2], lines[-1]], "was inserted"),
        ([*lines, lines[-2]], "goes on behind its signature"),
        (lines[1:], "line 1 of .* is not the head"),
        ([lines[0], b" " + lines[1], *lines[2:]], "line 2 of .* is not canonical JSON"),
        ([lines[0], b'{"a":1}\n', *lines[2:]], "line 2 of .* is not an event"),
        ([b"[" * 100_000], "is not canonical JSON"),
        ([], "is not the head"),
    ):
        other.write_bytes(b"".join(what))
        with pytest.raises(IntegrityError, match=told):
            checked(other, ana)


def test_who_must_have_signed_is_asked_for(manager, exported, ana, bob, keys, tmp_path):
    with pytest.raises(IntegrityError, match=r"is signed by the key sha256:.*, and must be by"):
        checked(exported, bob)
    plain = manager.audit.export(tmp_path / "plain.jsonl").file
    assert checked(plain).key_id is None
    with pytest.raises(IntegrityError, match="signed by nobody"):
        checked(plain, ana)
    with pytest.raises(IntegrityError, match="nobody is trusted here"):
        checked(exported, signers_named("trusted", manager.settings.trust))
    manager.trust.add("ana", key=keys("ana.pub"))
    assert checked(exported, signers_named("trusted", manager.settings.trust)).signed_by == "ana"
    grafted = tmp_path / "grafted.jsonl"
    with exported.open("rb") as signed, plain.open("rb") as other:
        grafted.write_bytes(other.read() + signed.readlines()[-1])
    with pytest.raises(IntegrityError, match="it is that of other bytes"):
        checked(grafted, ana)


def test_a_part_of_the_chain_is_checked_as_that(manager, tmp_path):
    part = manager.audit.export(tmp_path / "part.jsonl", first=4, last=9)
    assert (part.head.first, part.head.last) == (4, 9)
    head = manager.registry.event_head()
    assert checked(part.file, anchors=[head]).head.chain == head
    empty = manager.audit.export(tmp_path / "empty.jsonl", first=head.sequence + 1)
    assert checked(empty.file).head.last == head.sequence
    with pytest.raises(UsageError, match="there are no events"):
        manager.audit.export(tmp_path / "none.jsonl", first=3, last=10_000)
    with pytest.raises(ConflictError, match="is there already"):
        manager.audit.export(part.file)
    with pytest.raises(NotFoundError):
        checked(tmp_path / "nothing.jsonl")


# Anchors


def test_an_anchor_finds_a_chain_that_was_cut(manager, stocked_events, tmp_path):
    file = tmp_path / "anchors.jsonl"
    for _ in range(2):
        done = manager.audit.anchor(file=file)
    assert read_anchors(str(file)) == (done.anchor, done.anchor)
    assert manager.audit.verify(read_anchors(str(file))).n_anchors == 2
    exported = manager.audit.export(tmp_path / "whole.jsonl").file
    last = "(SELECT sha256 FROM events WHERE sequence = 10)"
    stocked_events("DELETE FROM events WHERE sequence > 10", f"UPDATE event_head SET sequence = 10, sha256 = {last}")
    assert manager.audit.verify().n_events == 10
    with pytest.raises(IntegrityError, match="event 11 was removed: the chain went on to event"):
        manager.audit.verify(read_anchors(str(file)))
    cut = manager.audit.export(tmp_path / "cut.jsonl").file
    assert checked(cut).head.last == 10
    with pytest.raises(IntegrityError, match="event 11 was removed"):
        checked(cut, anchors=read_anchors(str(file)))
    assert checked(exported, anchors=read_anchors(str(file))).n_anchors == 2


@pytest.fixture
def stocked_events(history):
    """Statements past the triggers."""
    import sqlite3
    from contextlib import closing

    def execute(*statements: str) -> None:
        with closing(sqlite3.connect(history.home / "registry.db")) as connection, connection:
            for name in ("events_refuse_update", "events_refuse_delete"):
                connection.execute(f"DROP TRIGGER IF EXISTS {name}")
            for statement in statements:
                connection.execute(statement)

    return execute


def test_nobody_notes_a_broken_chain(manager, stocked_events, tmp_path):
    stocked_events("UPDATE events SET actor = 'eve' WHERE sequence = 3")
    for act in (lambda: manager.audit.anchor(file=tmp_path / "a"), lambda: manager.audit.export(tmp_path / "b")):
        with pytest.raises(IntegrityError, match="event 3 was changed"):
            act()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["", "[]", '{"sequence":1}', '{"sequence":"1","sha256":"' + "0" * 64 + '"}', "["])
def test_a_line_that_is_no_anchor_is_refused(tmp_path, line):
    file = tmp_path / "anchors.jsonl"
    file.write_text(line)
    with pytest.raises(FormatError, match="no anchor"):
        read_anchors(str(file))


# Attestations


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
