"""Exported trails: what was done to one is found, on another machine too."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil

import pytest

from manager.audit.conftest import checked, with_head
from patchmgr.canonical import canonical_json
from patchmgr.errors import ConflictError, FormatError, IntegrityError, NotFoundError, UsageError
from patchmgr.manager.audit.anchors import Noted
from patchmgr.manager.audit.signers import signers_named


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


def test_what_is_no_signature_and_no_head_is_refused(manager, exported, ana, tmp_path):
    plain, other = manager.audit.export(tmp_path / "plain.jsonl").file, tmp_path / "other.jsonl"
    for line in (b'{"signature":null}\n', b'{"signature":{}}\n', b'{"signature":[]}\n'):
        other.write_bytes(plain.read_bytes() + line)
        with pytest.raises(FormatError, match="holds no statement"):
            checked(other)
    none = manager.audit.export(tmp_path / "none.jsonl", first=5, last=4).file
    for fields in (
        {"previous_sha256": "1" * 64},
        {"sha256": "\x1b[2J"},
        {"chain": {"sequence": 10**4299, "sha256": "0" * 64}},
        {"actor": 5},
        {"exported": "yesterday"},
        {"host": "h" * 2**16},
    ):
        for file in (plain, none):
            with pytest.raises(IntegrityError, match=r"line 1 of .* is not|is broken"):
                checked(with_head(file, other, **fields))
    begin = with_head(none, other, first=1, last=0, sha256="1" * 64, previous_sha256="1" * 64)
    with pytest.raises(FormatError, match="not the head"):
        checked(begin)
    head = json.loads(plain.read_bytes().splitlines()[0])
    for chain in ({**head["chain"], "sha256": "1" * 64}, {**head["chain"], "sequence": 3}):
        with pytest.raises(IntegrityError, match="its first line contradicts itself"):
            checked(with_head(plain, other, chain=chain))


def test_the_first_problem_is_told_whatever_stands_behind_it(exported, tmp_path):
    lines, other = exported.read_bytes().splitlines(keepends=True), tmp_path / "other.jsonl"
    changed = canonical_json({**json.loads(lines[3]), "actor": "eve"})
    other.write_bytes(b"".join([*lines[:3], changed, *lines[4:9], b"garbage\n", *lines[10:]]))
    with pytest.raises(IntegrityError, match="event 3 was changed"):
        checked(other)


def test_a_line_too_long_for_any_event_is_not_parsed(exported, tmp_path, monkeypatch):
    lines, other = exported.read_bytes().splitlines(keepends=True), tmp_path / "other.jsonl"
    other.write_bytes(b"".join([*lines[:2], b"[" + b"{}," * (6 * 2**20) + b"{}]\n", *lines[2:]]))
    sizes, loads = [], json.loads
    monkeypatch.setattr(json, "loads", lambda text: sizes.append(len(text)) or loads(text))
    with pytest.raises(FormatError, match=r"line 3 of .* is not canonical JSON"):
        checked(other)
    assert max(sizes) <= 16 * 2**20


def test_a_part_of_the_chain_is_checked_as_that(manager, tmp_path):
    part = manager.audit.export(tmp_path / "part.jsonl", first=4, last=9)
    assert (part.head.first, part.head.last) == (4, 9)
    head = manager.registry.event_head()
    found = checked(part.file, noted=[Noted(head)])
    assert (found.head.chain, found.n_anchors) == (head, 1), "the head says where the chain ended"
    empty = manager.audit.export(tmp_path / "empty.jsonl", first=head.sequence + 1)
    assert checked(empty.file).head.last == head.sequence
    with pytest.raises(UsageError, match="there are no events"):
        manager.audit.export(tmp_path / "none.jsonl", first=3, last=10_000)
    with pytest.raises(ConflictError, match="is there already"):
        manager.audit.export(part.file)
    with pytest.raises(NotFoundError):
        checked(tmp_path / "nothing.jsonl")
