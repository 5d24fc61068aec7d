"""A model that was changed twenty times, a day apart; its clock is the test's."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checkpoints import EDITABLE, file_digests, make_checkpoint, make_package
from manager.conftest import stocked, template  # noqa: F401  # fixtures
from patchmgr.canonical import canonical_json
from patchmgr.manager.audit.anchors import read_notes
from patchmgr.manager.audit.chain_file import check_chain_file
from patchmgr.manager.audit.signers import Signers, signers_named
from patchmgr.manager.manager import Manager
from patchmgr_registry import transaction
from signing.conftest import keys  # noqa: F401  # the fixture

FIRST_DAY = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
N_CHANGES = 20


def day(number: int) -> str:
    """The date of a change; number 0 is that on which the model was added."""
    return (FIRST_DAY + timedelta(days=number)).strftime("%Y-%m-%d")


class History:
    """What the model was after each change: the bytes of its folder, its root and its stack."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[dict[str, str]] = []
        self.roots: list[str] = []
        self.stacks: list[tuple[str, ...]] = []

    @property
    def home(self) -> Path:
        return self.root / "home"

    def note(self, manager: Manager) -> None:
        generation = manager.registry.generation("prod")
        folder = Path(generation.folder or manager.registry.model("prod").base.folder)
        self.files.append(file_digests(folder))
        self.roots.append(generation.state_root or "")
        names = manager.registry.references(generation.packages)
        self.stacks.append(tuple(names[digest] for digest in generation.packages))


@pytest.fixture(scope="session")
def made_history(tmp_path_factory) -> History:
    """Made once: three packages put on and taken off in many ways; on day 15 the home is cleared of old folders."""
    history = History(tmp_path_factory.mktemp("history") / "root")
    base = make_checkpoint(history.root / "base", sharded=True)
    for number, tensors in ((1, EDITABLE), (2, EDITABLE[:1]), (3, EDITABLE[1:])):
        make_package(history.root / f"p{number}", base, name=f"p{number}", seed=number, tensors=tensors)
    with pytest.MonkeyPatch.context() as patch, Manager.open(history.home) as manager:

        def at(number: int) -> None:
            moment = (FIRST_DAY + timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            patch.setattr(transaction, "timestamp", lambda *_: moment)

        at(0)
        manager.add_model("prod", str(base))
        history.note(manager)
        for number in range(1, N_CHANGES + 1):
            at(number)
            package = f"p{number % 3 + 1}"
            on = {reference.partition("@")[0] for reference in history.stacks[-1]}
            if number % 7 == 0:
                manager.rollback("prod")
            elif package in on:
                manager.revert("prod", [package])
            else:
                manager.apply("prod", [str(history.root / package)], message=f"change {number}")
            history.note(manager)
            if number == 15:
                manager.gc(keep=1)
    assert len(set(history.roots)) > 5
    history.root.rename(history.root.with_name("template"))
    return history


@pytest.fixture
def history(made_history, monkeypatch) -> History:
    """A copy of it in force, at the place that the registry has noted."""
    subprocess.run(["cp", "-a", str(made_history.root.with_name("template")), str(made_history.root)], check=True)
    monkeypatch.setenv("PATCHMGR_HOME", str(made_history.home))
    yield made_history
    shutil.rmtree(made_history.root)


@pytest.fixture
def manager(history):
    with Manager.open() as opened:
        yield opened


@pytest.fixture
def stocked_events(history):
    """Statements past the triggers."""

    def execute(*statements: str) -> None:
        with closing(sqlite3.connect(history.home / "registry.db")) as connection, connection:
            for name in ("events_refuse_update", "events_refuse_delete"):
                connection.execute(f"DROP TRIGGER IF EXISTS {name}")
            for statement in statements:
                connection.execute(statement)

    return execute


NOBODY = Signers((), required=False)


@pytest.fixture
def ana(keys, tmp_path):  # noqa: F811  # a fixture
    return signers_named(str(keys("ana.pub")), tmp_path / "trust")


@pytest.fixture
def bob(keys, tmp_path):  # noqa: F811  # a fixture
    return signers_named(str(keys("bob.pub")), tmp_path / "trust")


@pytest.fixture
def exported(manager, keys, tmp_path):  # noqa: F811  # a fixture
    return manager.audit.export(tmp_path / "audit.jsonl", key=keys("ana.key")).file


def checked(file, signers=NOBODY, noted=(), *, whole=False):
    return check_chain_file(file, noted=noted, keys=signers.keys, must_be_signed=signers.required, must_be_whole=whole)


def noted(file):
    return read_notes(str(file)).noted


def with_head(file, other, **fields):
    """The same file with a first line that says something else."""
    head, *lines = file.read_bytes().splitlines(keepends=True)
    other.write_bytes(b"".join([canonical_json({**json.loads(head), **fields}), *lines]))
    return other
