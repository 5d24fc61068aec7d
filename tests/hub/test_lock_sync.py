"""A lock that names packages of the Hub: the same bytes in an empty home, whatever happens to the repository."""

from __future__ import annotations

import re

import pytest

from hub.hostile import state_of
from hub.packages import REPO, add_version, author, reader
from patchmgr.errors import HubError, IntegrityError, NotFoundError, UsageError
from patchmgr.manager.lock.lockfile import Lock, read_lock
from patchmgr.manager.lock.patches import parse_patches


@pytest.fixture
def alice(tmp_path, as_user, hub):
    """Both versions of `fixes` are on the Hub."""
    as_user("alice")
    with author(tmp_path) as manager:
        for number in (1, 2):
            manager.push(f"fixes@v{number}", REPO, private=False)
        yield manager


@pytest.fixture
def project(tmp_path):
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def want(project, version: str) -> None:
    line = f'{{ name = "fixes", version = "{version}", hub = "{REPO}" }}'
    (project / "patches.toml").write_text(f"[models.tiny]\npackages = [{line}]\n")


@pytest.fixture
def locked(alice, project, as_user, tmp_path, hub):
    """Locked in a home that had nothing, to version 1; the same home with an empty cache afterwards."""
    want(project, "==1")
    as_user("bob")
    with reader(tmp_path, "locker") as manager:
        before = state_of(manager)
        assert manager.lock(project).changes == ("tiny: new", "tiny: +fixes@v1")
        manager.close()
        assert state_of(manager) == before
    as_user("bob", cache=tmp_path / "empty-cache")
    return read_lock(project).model("tiny")


def test_an_empty_home_gets_the_locked_state(alice, locked, project, tmp_path, hub):
    (package,) = locked.packages
    assert (package.hub, package.commit) == (REPO, hub.head(REPO, "v1"))
    assert package.digest == alice.registry.version("fixes@v1").digest
    with reader(tmp_path) as other:
        assert other.plan_sync(project)["tiny"].added
        assert other.list_packages() == ()
        (done,) = other.sync(project)
        assert done.state_root == locked.state_root
        assert [event.action for event in other.events()] == ["model-add", "pull", "sync"]
        hub.requests.clear()
        assert not other.sync(project)[0].changed
        assert not hub.requests  # what is here is not asked for


def test_newer_versions_are_taken_when_asked_for(alice, locked, project, tmp_path, hub):
    with reader(tmp_path) as other:
        want(project, ">=1")
        assert other.lock(project).changes == ("tiny: the same packages, asked for otherwise",)
        assert other.lock(project, write=False, upgrade=True).changes[:2] == ("tiny: -fixes@v1", "tiny: +fixes@v2")
        for version in ("latest", "^1", "*", "sha256:" + alice.registry.version("fixes@v2").digest[:12]):
            want(project, version)
            assert other.lock(project, upgrade=True, write=False).lock.model("tiny").packages[0].version == 2
        want(project, "==3")
        with pytest.raises(NotFoundError, match=r"no version of alice/fixes is ==3"):
            other.lock(project)
        assert other.list_packages() == ()


def test_a_tag_that_was_moved_after_locking_brings_nothing_in(alice, locked, project, tmp_path, hub):
    """While the commit is there, it is taken; and what the tag serves in its place is refused by its digest."""
    (tmp_path / "mallory").mkdir()
    with reader(tmp_path, "mallory/home") as mallory:
        add_version(mallory, tmp_path, 1, seed=66)
        stranger = {file.path: mallory.registry.blobs.read_bytes(file.sha256) for file in
                    mallory.registry.version("fixes@v1").files}  # fmt: skip
        stranger["patch.json"] = mallory.registry.version("fixes@v1").manifest.encode()
    hub.commit(REPO, stranger)
    kept = hub.repo(REPO).tags["v1"]
    hub.move_tag(REPO, "v1", "main")
    with reader(tmp_path) as other:
        before = state_of(other)
        hub.repo(REPO).branches["main"] = hub.repo(REPO).tags["v2"] = _orphan(hub.repo(REPO).tags["v1"])
        hub.move_tag(REPO, "v1", "main")
        assert kept.oid not in hub.repo(REPO).commits()
        with pytest.raises(IntegrityError, match=r"the Hub serves fixes@v1, sha256:\w+, in its place"):
            other.sync(project)
        assert state_of(other) == before
        hub.repo(REPO).branches["old"] = kept
        (done,) = other.sync(project)
        assert done.state_root == locked.state_root


def _orphan(commit):
    from dataclasses import replace

    return replace(commit, parent=None, oid="f" * 40)


def test_history_that_was_rewritten_to_the_same_bytes_is_taken(alice, locked, project, tmp_path, hub):
    repository = hub.repo(REPO)
    repository.tags["v1"] = repository.branches["main"] = _orphan(repository.tags["v1"])
    repository.tags.pop("v2")
    with reader(tmp_path) as other:
        assert other.sync(project)[0].state_root == locked.state_root


def test_what_cannot_be_had_is_said(alice, locked, project, tmp_path, hub):
    with reader(tmp_path) as other:
        before = state_of(other)
        hub.faults.every("500")
        with pytest.raises(HubError):
            other.sync(project)
        hub.faults.clear()
        del hub.store.repositories[REPO]
        with pytest.raises(NotFoundError, match="the Hub has no repository"):
            other.sync(project)
        assert state_of(other) == before


def test_a_repository_of_another_package(alice, project, tmp_path, hub):
    (project / "patches.toml").write_text(
        f'[models.tiny]\npackages = [{{ name = "cities", version = "*", hub = "{REPO}" }}]\n'
    )
    with reader(tmp_path) as other, pytest.raises(IntegrityError, match=r"has fixes@v\d where cities@v\d is wanted"):
        other.lock(project)


def test_locks_without_the_hub_read_as_before(locked):
    text = re.sub(r"(hub|commit) = .*\n", "", Lock(model=(locked,)).to_text())
    import tomllib

    (package,) = Lock.model_validate(tomllib.loads(text)).models[0].packages
    assert (package.hub, package.commit, package.digest) == (None, None, locked.packages[0].digest)


@pytest.mark.parametrize(
    ("package", "match"),
    [
        ('{ name = "a", hub = "org/a", path = "a" }', "a has a path and a hub"),
        ('{ name = "a", hub = "org/a@v1" }', "is no repository of the Hub"),
        ('{ name = "a", hub = "../a" }', "is no repository of the Hub"),
    ],
)
def test_a_hub_that_is_none(tmp_path, package, match):
    with pytest.raises(UsageError, match=match):
        parse_patches(f"[models.tiny]\npackages = [{package}]\n", tmp_path)
