"""Keys of users: each mistake is told, a private key is never kept, and the list changes in one step."""

from __future__ import annotations

import pytest

from patchmgr.errors import ConflictError, IntegrityError, NotFoundError, PatchmgrError, UsageError
from patchmgr.manager.manager import Manager
from patchmgr.signing import library
from patchmgr.signing.sign import SigningOrder
from patchmgr_registry import Transaction


@pytest.fixture
def manager():
    with Manager.open() as opened:
        yield opened


def trusted_files(manager) -> list[str]:
    return sorted(path.name for path in manager.settings.trust.glob("*"))


def test_keys_are_added_listed_and_removed_each_by_an_event(manager, keys):
    ana, new = manager.trust.add("ana", key=keys("ana.pub"))
    assert new and manager.trust.add("ana", key=keys("ana.pub")) == (ana, False)
    acme, _ = manager.trust.add("acme", certificate=keys("root.crt"))
    assert manager.trust.list() == (acme, ana)
    manager.trust.remove("ana")
    assert manager.trust.list() == (acme,)
    events = [(event.action, event.objects[0]) for event in manager.registry.events()]
    assert [(action, about.kind, about.name, about.digest) for action, about in events] == [
        ("trust-add", "key", "ana", ana.fingerprint),
        ("trust-add", "certificate", "acme", acme.fingerprint),
        ("trust-remove", "key", "ana", ana.fingerprint),
    ]
    assert trusted_files(manager) == ["acme.pem"]


def test_fingerprints_are_those_that_openssl_tells(manager, keys):
    import hashlib

    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    assert manager.trust.add("ana", key=keys("ana.pub"))[0].fingerprint == (
        hashlib.sha256(keys("ana.pub").read_bytes()).hexdigest()
    )
    root = x509.load_pem_x509_certificate(keys("root.crt").read_bytes())
    assert manager.trust.add("root", certificate=keys("root.crt"))[0].fingerprint == root.fingerprint(SHA256()).hex()


@pytest.mark.parametrize(
    ("how", "file", "told"),
    [
        ("key", "ana.key", "private key"), ("certificate", "ana.key", "private key"),
        ("key", "root.crt", "certificate"),
        ("key", "rsa.pub", "RSA"), ("key", "odd.pub", "secp256k1"), ("key", "nonsense", "no public key"),
        ("certificate", "ana.pub", "no certificate"), ("certificate", "leaf.crt", "was issued by 'CN=middle'"),
        ("certificate", "stale-root.crt", "expired on"), ("certificate", "both", "2 certificates"),
        ("key", "mixed", "private key"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_trusted_is_told_and_nothing_of_it_is_kept(manager, keys, how, file, told):
    keys("nonsense").write_bytes(b"\x00\xff nonsense")
    keys("both").write_bytes(keys("root.crt").read_bytes() + keys("other.crt").read_bytes())
    keys("mixed").write_bytes(keys("ana.pub").read_bytes() + keys("ana.key").read_bytes())
    with pytest.raises(UsageError, match=told):
        manager.trust.add("x", **{how: keys(file)})
    assert trusted_files(manager) == []
    assert manager.registry.events() == ()


def test_a_name_stands_for_one_key(manager, keys):
    manager.trust.add("ana", key=keys("ana.pub"))
    with pytest.raises(ConflictError, match="ana is the key"):
        manager.trust.add("ana", key=keys("bob.pub"))
    with pytest.raises(ConflictError, match="trusted as ana"):
        manager.trust.add("anna", key=keys("ana.pub"))
    with pytest.raises(UsageError, match="cannot be a name"):
        manager.trust.add("../ana", key=keys("ana.pub"))
    with pytest.raises(UsageError, match="whom to trust"):
        manager.trust.add("bob")
    with pytest.raises(NotFoundError, match="cannot be read"):
        manager.trust.add("bob", key=keys("absent"))
    with pytest.raises(NotFoundError, match="bob"):
        manager.trust.remove("bob")
    assert trusted_files(manager) == ["ana.pem"]


def test_a_dry_run_changes_nothing(manager, keys):
    assert manager.trust.add("ana", key=keys("ana.pub"), dry_run=True)[1]
    assert not manager.settings.trust.exists()
    manager.trust.add("ana", key=keys("ana.pub"))
    manager.trust.remove("ana", dry_run=True)
    assert trusted_files(manager) == ["ana.pem"]
    assert len(manager.registry.events()) == 1


def test_a_damaged_list_is_told(manager, keys):
    manager.trust.add("ana", key=keys("ana.pub"))
    (manager.settings.trust / "bob.pem").write_text("nonsense")
    with pytest.raises(IntegrityError, match=r"bob\.pem"):
        manager.trust.list()
    (manager.settings.trust / "bob.pem").unlink()
    (manager.settings.trust / "x.pem").mkdir()
    with pytest.raises(IntegrityError, match=r"x\.pem is no trusted key"):
        manager.trust.list()


def test_nobody_is_trusted_of_whom_no_event_says_so_whatever_is_interrupted(manager, keys, monkeypatch):
    def interrupted(*_words, **_more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Transaction, "commit", interrupted)
        manager.trust.add("ana", key=keys("ana.pub"))
    assert trusted_files(manager) == [] and manager.registry.events() == ()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("patchmgr.manager.signing.trust.store_trusted", interrupted)
        manager.trust.add("ana", key=keys("ana.pub"))
    assert trusted_files(manager) == [] and len(manager.registry.events()) == 1
    assert manager.trust.add("ana", key=keys("ana.pub"))[1]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Transaction, "commit", interrupted)
        manager.trust.remove("ana")
    assert trusted_files(manager) == ["ana.pem"]
    assert [event.action for event in manager.registry.events()] == ["trust-add", "trust-add"]


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({}, "by what"), ({"key": "ana.key", "keyless": True}, "by what"), ({"key": "ana.pub"}, "no private key"),
        ({"key": "rsa.key"}, "RSA"), ({"key": "odd.key"}, "secp256k1"), ({"key": "locked.key"}, "encrypted"),
        ({"key": "ana.key", "certificate": "leaf.crt"}, "another key"),
        ({"key": "leaf.key", "certificate": "stale.crt"}, "expired on"),
        ({"key": "leaf.key", "certificate": "mute.crt"}, "not for signing"),
        ({"key": "leaf.key", "certificate": "leaf.pub"}, "no certificate"),
        ({"key": "leaf.key", "certificate": "leaf.crt", "chain": ("leaf.pub",)}, "no certificate"),
        ({"key": "leaf.key", "chain": ("middle.crt",)}, "goes with a certificate"),
        ({"keyless": True, "certificate": "leaf.crt"}, "does not go"),
    ],
)  # fmt: skip
def test_what_cannot_sign_is_told(keys, order, told):
    files = {
        name: tuple(map(keys, value)) if name == "chain" else keys(value) if isinstance(value, str) else value
        for name, value in order.items()
    }
    with pytest.raises(UsageError, match=told):
        SigningOrder(**files).check()


def test_keyless_signing_without_sigstore_says_what_it_needs(monkeypatch):
    from model_signing import signing

    def unreachable(*_words, **_more):
        raise OSError("Name or service not known")

    monkeypatch.setattr(signing.Config, "sign", unreachable)
    monkeypatch.setattr(signing.Config, "use_sigstore_signer", lambda self: self)
    with pytest.raises(PatchmgrError, match="nothing was signed") as told:
        library.sign_keyless("facts@v1", {"patch.json": "a" * 64})
    assert "network" in told.value.hint
