"""Anchors in a repository of the Hub: lines that are added, each by a commit, and that find a chain that was cut."""

from __future__ import annotations

import pytest

from hub.packages import author
from patchmgr.errors import ConflictError, HubError, IntegrityError, NotFoundError
from patchmgr.manager.audit.anchors import ANCHORS_FILE, read_anchors
from patchmgr_registry import Anchor

REPO = "alice/anchors"


@pytest.fixture
def alice(tmp_path, as_user, hub):
    as_user("alice")
    with author(tmp_path) as manager:
        yield manager


def test_anchors_are_added_to_a_private_repository_and_read_there(hub, alice):
    first = alice.audit.anchor(hub=REPO)
    alice.apply("tiny", ["fixes@v1"])
    second = alice.audit.anchor(hub=f"hf://{REPO}")
    assert read_anchors(f"hf://{REPO}") == (first.anchor, second.anchor)
    assert second.anchor.sequence == first.anchor.sequence + 1
    assert second.place is not None and REPO in second.place
    assert alice.audit.verify(read_anchors(f"hf://{REPO}")).n_anchors == 2
    assert read_anchors(f"hf://{REPO}@{hub.head(REPO)}") == (first.anchor, second.anchor)


def test_a_chain_that_is_shorter_than_what_was_noted_there_was_cut(hub, alice):
    alice.audit.anchor(hub=REPO)
    (noted,) = read_anchors(f"hf://{REPO}")
    longer = Anchor(noted.sequence + 3, "0" * 64)
    with pytest.raises(IntegrityError, match=f"event {noted.sequence + 1} was removed: the chain went on to event"):
        alice.audit.verify([noted, longer])


def test_a_repository_that_holds_something_else_is_left_alone(hub, alice, monkeypatch):
    alice.push("fixes@v1", "alice/fixes")
    head = hub.head("alice/fixes")
    with pytest.raises(ConflictError, match="alice/fixes holds something else"):
        alice.audit.anchor(hub="alice/fixes")
    assert hub.head("alice/fixes") == head
    with pytest.raises(NotFoundError, match=f"has no {ANCHORS_FILE}"):
        read_anchors("hf://alice/fixes")
    with pytest.raises(NotFoundError):
        read_anchors("hf://alice/nothing")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        alice.audit.anchor(hub=REPO)
