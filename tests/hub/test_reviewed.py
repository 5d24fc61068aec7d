"""What a review found: strangers under known names, caches that were damaged, and what a push leaves alone or takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.packages import REPO, add_version, author, reader
from patchmgr.errors import ConflictError, HubError, UsageError
from patchmgr.manager.manager import Manager


@pytest.fixture
def alice(tmp_path, as_user, hub):
    as_user("alice")
    with author(tmp_path) as manager:
        yield manager


def test_a_stranger_s_repository_adds_no_version_to_a_name_that_is_known(hub, alice, as_user, tmp_path):
    alice.push("fixes@v1", REPO, private=False)
    with reader(tmp_path, "stranger") as stranger:
        add_version(stranger, tmp_path, 99)
        as_user("bob")
        stranger.push("fixes@v99", "bob/evil", private=False)
    with reader(tmp_path) as victim:
        victim.pull(REPO)
        for call in (lambda: victim.pull("bob/evil"), lambda: victim.apply("tiny", ["bob/evil"])):
            with pytest.raises(ConflictError, match=r"the versions of fixes here come from hf://alice/fixes"):
                call()
        assert victim.registry.version("fixes@latest").number == 1
        assert victim.outdated() == ()
        assert victim.pull("bob/evil", any_source=True).version.number == 99


def test_a_damaged_manifest_in_the_cache_is_fetched_again(hub, alice, as_user, tmp_path):
    alice.push("fixes@v1", REPO)
    cache = as_user("alice", cache=tmp_path / "cache")
    with reader(tmp_path) as other:
        other.show(REPO)
        (manifest,) = {path.resolve() for path in Path(cache).rglob("patch.json")}
        manifest.write_bytes(manifest.read_bytes()[:100])
        assert other.pull(REPO).version.number == 1


def test_what_is_no_hub_is_said_in_words(hub, alice):
    alice.push("fixes@v1", REPO)
    hub.faults.every("html")
    with pytest.raises(HubError, match="is no Hub"):
        alice.pull(REPO)


def test_terms_of_a_repository_stay_and_other_files_are_told(hub, alice, as_user):
    alice.push("fixes@v1", REPO, private=False)
    hub.commit(REPO, {"LICENSE": b"terms", "notes.txt": b"mine"})
    assert alice.push("fixes@v2", REPO, dry_run=True).publication.removed == ("notes.txt",)
    assert alice.push("fixes@v2", REPO).publication.removed == ("notes.txt",)
    assert hub.files(REPO)["LICENSE"] == b"terms"
    assert "notes.txt" not in hub.files(REPO)
    assert alice.pull(REPO).was_there


def test_an_older_version_is_no_pull_request_and_the_same_one_is_opened_once(hub, alice):
    alice.push("fixes@v2", REPO, private=False)
    with pytest.raises(ConflictError, match="would put its main branch back"):
        alice.push("fixes@v1", REPO, create_pr=True)
    with Manager.open(alice.settings.home) as again:
        add_version(again, alice.settings.home.parent, 3)
        first = again.push("fixes@v3", REPO, create_pr=True).publication
        second = again.push("fixes@v3", REPO, create_pr=True).publication
    assert first.pull_request == second.pull_request
    assert second.was_there
    assert len(hub.repo(REPO).pulls) == 1


def test_a_dry_run_of_pulling_takes_nothing_in(hub, alice, tmp_path):
    alice.push("fixes@v2", REPO)
    with reader(tmp_path) as other:
        assert other.pull(REPO, dry_run=True).version.reference == "fixes@v2"
        assert other.list_packages() == ()
        assert other.registry.remotes() == ()


def test_a_private_repository_that_shall_be_public_is_told(hub, alice):
    alice.push("fixes@v1", REPO)
    assert alice.push("fixes@v2", REPO, private=False).stays_private


def test_a_folder_that_could_be_a_repository_is_asked_about(hub, alice, tmp_path, monkeypatch):
    from patchmgr.manager.lay_out import package_folder

    (tmp_path / "alice").mkdir()
    package_folder(alice, alice.registry.version("fixes@v1"), tmp_path / "alice" / "fixes")
    alice.push("fixes@v1", REPO)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"is a folder here, and could be a repository; write \./alice/fixes or hf://"):
        alice.pull(REPO)
    assert alice.pull(f"hf://{REPO}").was_there


def test_a_tag_that_nobody_took_is_no_success(hub, alice):
    hub.faults.every("html", r"POST .*/tag/")
    with pytest.raises(HubError, match="did not take the tag v1"):
        alice.push("fixes@v1", REPO)
    hub.faults.clear()
    assert alice.push("fixes@v1", REPO).publication.commit == hub.head(REPO, "v1")
