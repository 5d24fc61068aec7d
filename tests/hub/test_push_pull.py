"""A version goes to the Hub and comes to another home as the same bytes, through the real client."""

from __future__ import annotations

import pytest

from hub.packages import REPO, add_version, author, reader
from patchmgr.errors import ConflictError, HubError, NotFoundError
from patchmgr.package.reader import EditPackage


@pytest.fixture
def alice(tmp_path, as_user, hub):
    as_user("alice")
    with author(tmp_path) as manager:
        yield manager


@pytest.mark.parametrize("hub", ["lfs", "xet"], indirect=True)
def test_what_is_pushed_is_pulled_applied_and_has_the_same_state(hub, alice, as_user, tmp_path):
    for number in (1, 2):
        done = alice.push(f"fixes@v{number}", REPO)
        assert (done.publication.tag, done.publication.was_there) == (f"v{number}", False)
        assert done.publication.is_new_repository == (number == 1)
    here = alice.apply("tiny", ["fixes@v2"]).state_root
    as_user("alice", cache=tmp_path / "empty-cache")
    with reader(tmp_path) as other:
        pulled = other.pull(f"{REPO}@v2")
        assert pulled.version.digest == alice.registry.version("fixes@v2").digest
        assert not pulled.was_there
        assert other.apply("tiny", ["fixes@v2"]).state_root == here
        assert other.pull(REPO).was_there
        assert [event.action for event in other.events()] == ["model-add", "pull", "apply"]


def test_pushing_a_version_again_does_nothing(hub, alice):
    first = alice.push("fixes@v1", REPO)
    hub.requests.clear()
    again = alice.push("fixes@v1", REPO)
    assert again.publication.was_there
    assert again.publication.commit == first.publication.commit
    assert {request.method for request in hub.requests} <= {"GET", "HEAD"}
    assert [event.action for event in alice.events()].count("push") == 1


def test_a_version_that_was_published_stays_as_it_is(hub, alice, tmp_path):
    alice.push("fixes@v1", REPO)
    with reader(tmp_path, "other") as other:
        add_version(other, tmp_path, 1, seed=77)
        with pytest.raises(ConflictError, match=f"{REPO} has another v1"):
            other.push("fixes@v1", REPO)
        with pytest.raises(ConflictError, match="another package of that name and number"):
            other.pull(f"{REPO}@v1")
        add_version(other, tmp_path, 1, name="cities")
        with pytest.raises(ConflictError, match="holds the versions of fixes, not of cities"):
            other.push("cities@v1", REPO)
    assert hub.head(REPO) == hub.head(REPO, "v1")


def test_an_older_version_that_is_pushed_later_does_not_become_the_newest(hub, alice, as_user, tmp_path):
    alice.push("fixes@v2", REPO)
    newest = hub.head(REPO)
    alice.push("fixes@v1", REPO)
    assert hub.head(REPO) == newest
    as_user("alice", cache=tmp_path / "empty-cache")
    with reader(tmp_path) as other:
        assert other.pull(f"{REPO}@v1").version.number == 1
        assert other.pull(f"{REPO}@latest").version.number == 2
        assert other.pull(f"{REPO}@<2").version.number == 1
        assert other.pull(f"{REPO}@{newest}").version.number == 2
        digest = alice.registry.version("fixes@v1").digest
        assert other.pull(f"{REPO}@sha256:{digest[:12]}").version.number == 1
        with pytest.raises(NotFoundError, match=r"no version of alice/fixes is >=3"):
            other.pull(f"{REPO}@>=3")


def test_apply_pulls_by_itself_and_a_package_on_trial_is_not_taken_in(hub, alice, as_user, tmp_path):
    alice.push("fixes@v1", REPO)
    with reader(tmp_path) as other:
        assert [one.reference for one in other.plan("tiny", [f"{REPO}@v1"]).added] == ["fixes@v1"]
        view = other.show(f"{REPO}@v1")
        assert view.manifest.digest == alice.registry.version("fixes@v1").digest
        assert view.requests[0].target_new == "Town 1"
        assert other.show_edits(f"{REPO}@v1").requests == view.requests
        assert other.list_packages() == ()
        assert list((other.settings.home / "tmp").iterdir()) == [] or "nearby" in other.__dict__
        assert other.apply("tiny", [f"{REPO}@v1"]).stack == ("fixes@v1",)


def test_what_is_shown_is_not_downloaded(hub, alice, as_user, tmp_path):
    alice.push("fixes@v1", REPO)
    as_user("alice", cache=tmp_path / "empty-cache")
    hub.requests.clear()
    with reader(tmp_path) as other:
        other.show(f"{REPO}@v1")
    assert not [request for request in hub.requests if "weights.safetensors" in request.path]


def test_offline_a_version_comes_from_the_cache(hub, alice, as_user, tmp_path, monkeypatch):
    alice.push("fixes@v1", REPO, private=False)
    as_user("bob")
    with reader(tmp_path, "first") as first:
        commit = first.pull(f"{REPO}@v1").commit
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.requests.clear()
    with reader(tmp_path, "second") as second:
        for reference in (f"{REPO}@{commit}", f"{REPO}@v1", REPO):
            assert second.pull(reference).version.number == 1
        with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
            second.push("fixes@v1", REPO)
        with pytest.raises(HubError, match=r"publishing takes a network|not in the Hub's cache"):
            second.pull("alice/unseen@v1")
    assert not hub.requests


def test_outdated_tells_what_is_newer_here_and_there(hub, alice, tmp_path):
    alice.push("fixes@v1", REPO)
    with reader(tmp_path) as other:
        other.apply("tiny", [f"{REPO}@v1"])
        assert other.outdated() == ()
        alice.push("fixes@v2", REPO)
        (found,) = other.outdated("tiny")
        assert (found.package, found.applied, found.here, found.there) == ("fixes", 1, 1, 2)
        hub.faults.every("500")
        (found,) = other.outdated("tiny")
        assert found.there is None
        assert "500" in (found.trouble or "")


def test_packages_are_found_by_base_method_and_author(hub, alice):
    alice.push("fixes@v1", REPO, private=False)
    assert [one.repo_id for one in alice.search_hub()] == [REPO]
    assert [one.repo_id for one in alice.search_hub("fix", method="random", author="alice")] == [REPO]
    assert alice.search_hub(method="rome") == ()
    assert alice.search_hub(base="org/other") == ()


def test_a_pull_request_waits_for_the_owner(hub, alice, as_user, tmp_path):
    alice.push("fixes@v1", REPO, private=False)
    as_user("bob")
    with author(tmp_path / "bob") as bob:
        done = bob.push("fixes@v2", REPO, create_pr=True)
        assert done.publication.pull_request
        assert hub.head(REPO) == hub.head(REPO, "v1")
        assert bob.pull(f"{REPO}@refs/pr/1").version.number == 2


def test_a_dry_run_sends_nothing(hub, alice):
    hub.requests.clear()
    done = alice.push("fixes@v1", REPO, dry_run=True)
    assert done.publication.is_new_repository
    assert set(done.files) == {"README.md", "edits.jsonl", "eval.json", "patch.json", "weights.safetensors"}
    assert {request.method for request in hub.requests} <= {"GET", "HEAD"}


def test_a_plain_snapshot_is_a_package_that_reads(hub, alice, tmp_path):
    from huggingface_hub import ModelCard, snapshot_download

    alice.push("fixes@v1", REPO)
    folder = tmp_path / "plain"
    snapshot_download(REPO, revision="v1", local_dir=folder)
    card = ModelCard.load(folder / "README.md")
    card.validate()
    assert card.data.library_name == "patchmgr"
    assert card.data.license == "apache-2.0"
    assert card.data.eval_results[0].metric_value == pytest.approx(0.9)
    assert f"patchmgr apply mymodel {REPO}@v1" in card.text
    package = EditPackage.read(_without_cache(folder))
    assert package.manifest.digest == alice.registry.version("fixes@v1").digest


def _without_cache(folder):
    """The client keeps its notes on a folder in it."""
    import shutil

    shutil.rmtree(folder / ".cache")
    return folder


def test_access_that_is_missing_is_said_with_what_to_do(hub, alice, as_user, tmp_path):
    alice.push("fixes@v1", REPO)
    as_user("bob")
    with reader(tmp_path) as bob:
        with pytest.raises(NotFoundError, match=r"no repository 'alice/fixes', or it is private.*hf auth login"):
            bob.pull(REPO)
        hub.repo(REPO).private = False
        hub.repo(REPO).gated = True
        with pytest.raises(NotFoundError, match=r"gated and this account has no access; accept its terms"):
            bob.pull(REPO)
        hub.grant(REPO, "bob")
        assert bob.pull(REPO).version.number == 1
        as_user("alice_read")
        with pytest.raises(NotFoundError, match=r"may not do that with alice/fixes"):
            alice.push("fixes@v2", REPO)
        assert list(hub.repo(REPO).tags) == ["v1"]
