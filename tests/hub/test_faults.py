"""The network fails at every request of push and pull in turn: nothing is left half-written, and a retry works."""

from __future__ import annotations

import random
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.packages import REPO, author
from hub.testhub import Hub
from hub.testhub.faults import KINDS
from patchmgr.errors import ConflictError, PatchmgrError
from patchmgr.manager.manager import Manager

HANG_S = 0.15
LASTING = ("503 for ever", "drop for ever")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A home with two versions of `fixes`, and one with nothing; made once."""
    folder = tmp_path_factory.mktemp("faults")
    with author(folder):
        pass
    with Manager.open(folder / "empty"):
        pass
    return folder


class Pulling:
    """Version 1 comes to an empty home with an empty cache, anew each time."""

    def __init__(self, hub: Hub, as_user, made: Path, folder: Path) -> None:
        self.hub, self.as_user, self.made, self.folder = hub, as_user, made, folder
        self.n = 0
        as_user("alice", cache=folder / "pushing")
        with Manager.open(Path(shutil.copytree(made / "author", folder / "author"))) as manager:
            self.digest = manager.push("fixes@v1", REPO).digest

    def begin(self) -> None:
        self.n += 1
        self.home = shutil.copytree(self.made / "empty", self.folder / f"home-{self.n}")
        self.as_user("alice", cache=self.folder / f"cache-{self.n}", timeout_s=HANG_S)
        self.hub.requests.clear()

    def run(self) -> str:
        with Manager.open(self.home) as manager:
            return manager.pull(f"{REPO}@v1").version.digest

    def check(self, *, done: bool) -> None:
        with Manager.open(self.home) as manager:
            versions = [package.latest.digest for package in manager.registry.packages()]
            assert versions == [self.digest] * done
            assert [event.action for event in manager.events()] == ["pull"] * done
            blobs = [path for path in (self.home / "blobs").rglob("*") if path.is_file()]
            assert bool(blobs) == done
            if done:
                manager.verify(f"sha256:{self.digest}")
        assert list((self.home / "tmp").glob("*")) == []

    def end(self) -> None:
        shutil.rmtree(self.home)
        shutil.rmtree(self.folder / f"cache-{self.n}", ignore_errors=True)


class Pushing:
    """Version 2 goes to a repository that has version 1, or version 1 to one that is not there."""

    def __init__(self, hub: Hub, as_user, made: Path, folder: Path, *, number: int) -> None:
        self.hub, self.as_user, self.made, self.folder, self.number, self.n = hub, as_user, made, folder, number, 0
        self.manager = Manager.open(Path(shutil.copytree(made / "author", folder / "home-0")))
        self.digest = self.manager.registry.version(f"fixes@v{number}").digest
        as_user("alice", cache=folder / "cache-0")
        self.manager.push("fixes@v1", REPO)
        self.first = dict(hub.files(REPO, "v1"))

    def pushes(self) -> int:
        return [event.action for event in self.manager.events()].count("push")

    def begin(self) -> None:
        self.hub.reset(xet=self.hub.xet)
        if self.number == 2:
            self.hub.add_repo(REPO, self.first, private=True)
            self.hub.move_tag(REPO, "v1", "main")
        self.n += 1
        self.as_user("alice", cache=self.folder / f"cache-{self.n}", timeout_s=HANG_S)
        self.hub.faults.hang_s = HANG_S
        self.manager.close()
        self.manager = Manager.open(Path(shutil.copytree(self.made / "author", self.folder / f"home-{self.n}")))

    def run(self) -> str:
        return self.manager.push(f"fixes@v{self.number}", REPO).digest

    def check(self, *, done: bool) -> None:
        """A version that is tagged is whole, and so is every commit but the Hub's own first one."""
        repositories = self.hub.store.repositories
        tags = repositories[REPO].tags if REPO in repositories else {}
        assert self.pushes() == int(done)
        if done:
            assert f"v{self.number}" in tags
        for commit in repositories[REPO].commits().values() if tags or REPO in repositories else ():
            if commit.parent is not None:
                assert set(self.first) == set(commit.tree)
        for tag, commit in tags.items():
            files = self.hub.files(REPO, commit.oid)
            version = self.manager.registry.version(f"fixes@{tag}")
            assert files["patch.json"] == version.manifest.encode()
            for file in version.files:
                assert files[file.path] == self.manager.registry.blobs.read_bytes(file.sha256)
        assert list((self.manager.settings.home / "tmp").glob("*")) == []

    def end(self) -> None: ...


@pytest.fixture
def pulling(hub, as_user, made, tmp_path) -> Pulling:
    hub.faults.hang_s = HANG_S
    return Pulling(hub, as_user, made, tmp_path)


@pytest.fixture(params=[1, 2])
def pushing(request, hub, as_user, made, tmp_path) -> Iterator[Pushing]:
    pushing = Pushing(hub, as_user, made, tmp_path, number=request.param)
    yield pushing
    pushing.manager.close()


def count_requests(work: Pulling | Pushing) -> int:
    work.begin()
    work.hub.requests.clear()
    assert work.run() == work.digest
    work.check(done=True)
    work.end()
    return len(work.hub.requests)


def with_fault(work: Pulling | Pushing, number: int, kind: str) -> bool:
    """Run once with a fault, and again without; whether the first got through."""
    work.begin()
    plain = kind.removesuffix(" for ever")
    if kind == plain:
        work.hub.faults.at(number, plain)
    else:
        work.hub.faults.every(plain, after=number - 1)
    try:
        done = work.run() == work.digest
    except PatchmgrError as error:
        done = False
        assert error.message
    assert work.hub.faults.pending == 0
    work.check(done=done)
    work.hub.faults.clear()
    assert work.run() == work.digest
    work.check(done=True)
    work.end()
    return done


def everywhere(work: Pulling | Pushing, kinds: tuple[str, ...], share: int) -> None:
    n_requests = count_requests(work)
    assert n_requests > 5
    chosen = random.Random(0)
    outcomes = {
        (number, kind): with_fault(work, number, kind)
        for number in range(1, n_requests + 1)
        for kind in kinds
        if chosen.randrange(share) == 0
    }
    assert any(outcomes.values())
    assert not all(done for (_, kind), done in outcomes.items() if kind in LASTING)


def test_pull_meets_a_fault_at_any_request(pulling):
    everywhere(pulling, (*KINDS, *LASTING), share=14)


def test_push_meets_a_fault_at_any_request(pushing):
    everywhere(pushing, (*KINDS, *LASTING), share=16)


@pytest.mark.slow
@pytest.mark.parametrize("hub", ["lfs", "xet"], indirect=True)
def test_pull_meets_every_fault_at_every_request(pulling):
    everywhere(pulling, (*KINDS, *LASTING), share=1)


@pytest.mark.slow
@pytest.mark.parametrize("hub", ["lfs", "xet"], indirect=True)
def test_push_meets_every_fault_at_every_request(pushing):
    everywhere(pushing, (*KINDS, *LASTING), share=1)


@pytest.mark.parametrize("hub", ["xet"], indirect=True)
def test_pull_by_xet_meets_faults(pulling):
    everywhere(pulling, ("500", "drop", *LASTING), share=8)


def interrupting(hub: Hub, number: int) -> Callable[..., str | None]:
    """Let Ctrl-C come while the n-th request from now is on its way."""
    main, due, take = threading.main_thread().ident, [number], hub.faults.take

    def wrapped(method: str, path: str) -> str | None:
        due[0] -= 1
        if due[0] == 0:
            signal.pthread_kill(main, signal.SIGINT)
            return "drop"
        return take(method, path)

    return wrapped


def interrupted_everywhere(work: Pulling | Pushing, monkeypatch, step: int) -> None:
    for number in range(1, count_requests(work) + 1, step):
        work.begin()
        with monkeypatch.context() as patched:
            patched.setattr(work.hub.faults, "take", interrupting(work.hub, number))
            with pytest.raises(KeyboardInterrupt):
                work.run()
        work.check(done=False)
        assert work.run() == work.digest
        work.check(done=True)
        work.end()


def test_ctrl_c_while_pulling(pulling, monkeypatch):
    interrupted_everywhere(pulling, monkeypatch, step=2)


def test_ctrl_c_while_pushing(pushing, monkeypatch):
    interrupted_everywhere(pushing, monkeypatch, step=4)


def test_a_push_that_was_overtaken_changes_nothing(pushing):
    """Somebody else's commit lands just before: theirs stays, and running it again says what to do."""
    pushing.begin()
    theirs = {**pushing.first, "patch.json": b"theirs"}

    def overtake() -> None:
        pushing.hub.commit(REPO, theirs)

    pushing.hub.before_commit(overtake)
    with pytest.raises(ConflictError, match="changed by somebody else meanwhile"):
        pushing.run()
    assert pushing.hub.files(REPO)["patch.json"] == b"theirs"
    assert f"v{pushing.number}" not in pushing.hub.repo(REPO).tags or pushing.number == 1
    assert pushing.pushes() == 0
    with pytest.raises(ConflictError, match="holds the versions of something else, not of fixes"):
        pushing.run()
