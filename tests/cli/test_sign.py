"""``sign``, ``trust`` and the options about signatures: what is printed, and the exit codes."""

from __future__ import annotations

import pytest

from manager.conftest import stocked, template  # noqa: F401  # fixtures
from signing.conftest import keys  # noqa: F401


@pytest.fixture
def home_with_p1(stocked):  # noqa: F811
    return stocked


@pytest.fixture
def pem(keys):  # noqa: F811
    return keys


def test_a_package_is_signed_trusted_verified_and_applied(run, home_with_p1, pem):
    done = run("sign", "p1@v1", "--key", pem("ana.key"), "--json").json["signed"]
    assert done["reference"] == "p1@v1" and done["replaced"] is None and "patch.json" in done["files"]
    assert f"not proved: it names the {done['signer']}" in run("verify", "p1@v1").out
    refused = run("apply", "tiny", "p1@v1", "--signatures", "trusted")
    assert refused.code == 6 and "p2@v1 is not signed" in refused.err
    assert run("trust", "add", "ana", "--key", pem("ana.pub")).out == f"trusts ana: {done['signer']}\n"
    verified = run("verify", "p1@v1", "--json").json["verified"]["signature"]
    assert (verified["status"], verified["trusted_as"]) == ("trusted", "ana")
    assert "signature   by ana" in run("show", "p1@v1").out
    home_with_p1.manager.revert("tiny", ["p2"])
    assert run("apply", "tiny", "p1@v1", "--signatures", "trusted").code == 0
    assert run("trust", "remove", "ana").out == f"trusts ana no more: {done['signer']}\n"
    assert run("trust", "list").out == "nobody is trusted\n"


def test_verify_by_a_key_that_need_not_be_trusted(run, home_with_p1, pem):
    from patchmgr.signing.sign import SigningOrder

    unsigned = run("verify", "p1@v1", "--key", pem("ana.pub"))
    assert unsigned.code == 6 and "p1@v1 is not signed" in unsigned.err
    home_with_p1.manager.sign("p1@v1", SigningOrder(pem("ana.key")))
    assert run("verify", "p1@v1", "--key", pem("ana.pub")).code == 0
    assert run("verify", "p1@v1", "--key", pem("bob.pub")).code == 6
    assert run("verify", "tiny", "--key", pem("ana.pub")).code == 2
    run("sign", "p1@v1", "--key", pem("leaf.key"), "--certificate", pem("leaf.crt"), "--chain", pem("middle.crt"))
    assert run("verify", "p1@v1", "--certificate", pem("root.crt")).code == 0


def test_mistakes_are_told(run, home_with_p1, pem):
    private = run("trust", "add", "ana", "--key", pem("ana.key"))
    assert private.code == 2 and "private key; nothing of it was kept" in private.err
    assert not (home_with_p1.home / "trust").exists()
    assert run("sign", "p1@v1", "--key", "nowhere.pem").code == 1
    assert run("apply", "tiny", "p1", "--signatures", "signed").code == 2


def test_the_variable_asks_and_the_flag_has_the_last_word(run, home_with_p1, pem, monkeypatch):
    monkeypatch.setenv("PATCHMGR_SIGNATURES", "trusted")
    assert run("plan", "tiny", "p1@v1").code == 6
    assert run("plan", "tiny", "p1@v1", "--signatures", "any").code == 0
    assert run("trust", "list", "--json").json == {"schema_version": 1, "trusted": [], "signatures": "trusted"}
