"""What can go wrong on the test Hub's side of the wire, and what a hostile repository can do there."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

REPO = "alice/facts"


def committed(api: HfApi, data: bytes = b"2", parent: str | None = None):
    change = [CommitOperationAdd("manifest.json", data)]
    return api.create_commit(REPO, change, commit_message="Second", parent_commit=parent)


@pytest.mark.parametrize(
    ("kind", "error", "lands"),
    [
        ("500", HfHubHTTPError, False),
        ("503", HfHubHTTPError, False),
        ("drop", httpx2.RemoteProtocolError, False),
        ("hang", httpx2.HTTPError, False),
        ("cut", httpx2.RemoteProtocolError, True),
        ("lost", httpx2.HTTPError, True),
    ],
)
def test_a_commit_meets_a_fault(hub, as_user, kind, error, lands):
    first = hub.add_repo(REPO, {"manifest.json": b"{}"})
    as_user("alice")
    hub.faults.hang_s = 0.2
    hub.faults.at(1, kind, match="POST .*/commit/")
    with pytest.raises(error):
        committed(HfApi())
    assert (hub.head(REPO) != first) is lands
    assert [request.fault for request in hub.requests if "/commit/" in request.path] == [kind]
    assert hub.faults.pending == 0
    committed(HfApi(), b"3")
    assert hub.files(REPO)["manifest.json"] == b"3"


@pytest.mark.parametrize("kind", ["500", "drop", "hang", "cut"])
def test_a_client_that_tries_again_gets_past_one_fault(hub, as_user, kind):
    hub.add_repo(REPO)
    as_user("alice", timeout_s=0.3)
    hub.faults.hang_s = 0.2
    hub.faults.at(2, kind)
    assert len(list(HfApi().list_models())) == 1
    assert len(list(HfApi().list_models())) == 1
    assert [request.fault for request in hub.requests] == [None, kind, None]


def test_requests_are_counted_from_now_and_by_their_own_pattern(hub, as_user):
    hub.add_repo(REPO, {"a": b"a", "b": b"b"})
    as_user("bob")
    hub.faults.at(2, "500", match="HEAD")
    assert Path(hf_hub_download(REPO, "a")).read_bytes() == b"a"
    assert Path(hf_hub_download(REPO, "b")).read_bytes() == b"b"
    assert [(request.method, request.status) for request in hub.requests] == [
        ("HEAD", 200), ("GET", 200), ("HEAD", 500), ("HEAD", 200), ("GET", 200),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="counted from 1"):
        hub.faults.at(0, "500")
    with pytest.raises(ValueError, match="no fault 'slow'"):
        hub.faults.at(1, "slow")


def test_a_network_that_is_down_stays_down_until_it_is_mended(hub, as_user):
    hub.add_repo(REPO, {"a": b"a"})
    as_user("bob")
    hub.faults.every("503", after=1)
    with pytest.raises(LocalEntryNotFoundError):
        snapshot_download(REPO)
    assert [request.status for request in hub.requests] == [200] + [503] * 6
    hub.faults.clear()
    assert (Path(snapshot_download(REPO)) / "a").read_bytes() == b"a"


def test_a_download_that_hangs_ends_with_the_clients_time_limit(hub, as_user):
    hub.add_repo(REPO, {"a": b"a"})
    as_user("bob", timeout_s=0.1)
    hub.faults.hang_s = 20
    hub.faults.every("hang", match="HEAD")
    with pytest.raises(LocalEntryNotFoundError):
        hf_hub_download(REPO, "a")
    assert {request.status for request in hub.requests} == {None}


def test_a_push_that_is_overtaken_is_refused(hub, as_user):
    parent = hub.add_repo(REPO, {"manifest.json": b"{}"})
    as_user("alice")
    api = HfApi()
    theirs = [CommitOperationAdd("other.json", b"theirs")]
    hub.before_commit(lambda: api.create_commit(REPO, theirs, commit_message="Theirs"))
    with pytest.raises(HfHubHTTPError) as stale:
        committed(api, parent=parent)
    assert stale.value.response.status_code == 412
    assert hub.files(REPO).items() >= {"other.json": b"theirs", "manifest.json": b"{}"}.items()
    committed(api, b"ours", parent=hub.head(REPO))
    assert hub.files(REPO).items() >= {"other.json": b"theirs", "manifest.json": b"ours"}.items()


def test_a_tag_is_moved_to_other_bytes(hub, as_user, tmp_path):
    first = hub.add_repo(REPO, {"manifest.json": b"{}", "w.safetensors": b"weights"})
    as_user("alice")
    HfApi().create_tag(REPO, tag="v1")
    second = hub.replace_file(REPO, "v1", "w.safetensors", b"others!")
    assert (hub.head(REPO), hub.head(REPO, "v1")) == (first, second)
    as_user("bob")
    assert (Path(snapshot_download(REPO, revision="v1")) / "w.safetensors").read_bytes() == b"others!"
    hub.move_tag(REPO, "v1", first)
    assert (Path(snapshot_download(REPO, revision="v1")) / "w.safetensors").read_bytes() == b"weights"
    hub.replace_file(REPO, "main", "manifest.json", None)
    assert "manifest.json" not in hub.files(REPO)
