"""A signature travels with its version, and decides elsewhere whether the version may be used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hub.packages import REPO, author, reader
from patchmgr.errors import IntegrityError
from patchmgr.signing.sign import SigningOrder
from signing.conftest import keys  # noqa: F401 (a fixture)


@pytest.fixture
def alice(tmp_path, as_user, hub):
    as_user("alice")
    with author(tmp_path) as manager:
        yield manager


def test_a_pulled_version_is_trusted_by_the_key_that_signed_it(hub, alice, keys, tmp_path):  # noqa: F811
    alice.sign("fixes@v1", SigningOrder(key=keys.folder / "ana.key"))
    assert alice.push("fixes@v1", REPO).is_signed
    alice.push("fixes@v2", REPO)
    assert "model.sig" in hub.files(REPO, "v1")
    assert "model.sig" not in hub.files(REPO, "v2")
    with reader(tmp_path) as other:
        other.settings = replace(other.settings, signatures="trusted")
        before = other.model("tiny").status.state_root
        for reference in (f"{REPO}@v1", f"{REPO}@v2"):
            with pytest.raises(IntegrityError):
                other.apply("tiny", [reference])
        assert other.list_packages() == ()
        other.trust.add("ana", key=keys.folder / "ana.pub")
        assert other.show(f"{REPO}@v1").signature.startswith("there is one")
        assert other.apply("tiny", [f"{REPO}@v1"]).state_root != before
        with pytest.raises(IntegrityError, match=r"fixes@v2 is not signed"):
            other.apply("tiny", [f"{REPO}@v2"])
        assert [package.name for package in other.list_packages()] == ["fixes"]
        assert len(other.registry.summaries("fixes")) == 1


def test_a_version_that_was_signed_after_it_was_published_is_left_as_it_is_and_that_is_told(hub, alice, keys):  # noqa: F811
    alice.push("fixes@v1", REPO)
    head = hub.head(REPO)
    alice.sign("fixes@v1", SigningOrder(key=keys.folder / "ana.key"))
    done = alice.push("fixes@v1", REPO)
    assert done.publication.was_there
    assert not done.signature_is_there
    assert hub.head(REPO) == head


def test_a_signature_that_reached_the_repository_later_is_taken_over(hub, alice, keys, as_user, tmp_path):  # noqa: F811
    alice.push("fixes@v1", REPO)
    with reader(tmp_path) as other:
        other.pull(REPO)
        assert other.registry.signature(other.registry.version("fixes@v1").digest) is None
        alice.sign("fixes@v1", SigningOrder(key=keys.folder / "ana.key"))
        record = alice.registry.signature(alice.registry.version("fixes@v1").digest)
        hub.commit(REPO, {"model.sig": alice.registry.blobs.read_bytes(record.sha256)})
        assert other.pull(f"{REPO}@main").was_there
        assert other.registry.signature(other.registry.version("fixes@v1").digest).sha256 == record.sha256
