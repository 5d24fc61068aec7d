"""A backup is one that can be restored; of a registry that is broken for good there is one that says so."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backups import execute, make_home, relist
from cli.conftest import run  # noqa: F401  # the fixture
from patchmgr.errors import IntegrityError
from patchmgr.manager.backup.contract import MANIFEST, parse_backup
from patchmgr.manager.backup.restore import restore
from patchmgr.manager.manager import Manager
from patchmgr.manager.settings import load_settings


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_home(tmp_path_factory.mktemp("unsound"))


@pytest.fixture
def damaged(made, tmp_path) -> Path:
    """A copy of the home, its log taken in, to be harmed."""
    shutil.copytree(made / "home", tmp_path / "damaged")
    execute(tmp_path / "damaged" / "registry.db")
    return tmp_path / "damaged"


def change_event(home: Path, sequence: int = 2) -> None:
    """As somebody does who may write to the file: the guard goes, and comes back afterwards."""
    with closing(sqlite3.connect(home / "registry.db")) as connection, connection:
        guards = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'"
        ).fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE events SET actor = 'nobody' WHERE sequence = ?", (sequence,))
        for _, sql in guards:
            connection.execute(sql)


def destroy_edits(home: Path) -> None:
    """Overwrite the first page of the table of edits."""
    with closing(sqlite3.connect(home / "registry.db")) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'edits'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with (home / "registry.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


@pytest.mark.parametrize("harm", [change_event, destroy_edits])
@pytest.mark.parametrize("name", ["b", "b.tar"])
def test_a_registry_that_could_not_be_restored_makes_no_backup(damaged, tmp_path, harm, name):
    harm(damaged)
    with Manager.open(damaged) as manager:
        with pytest.raises(IntegrityError, match="could not be restored") as refused:
            manager.backup(tmp_path / name)
        with pytest.raises(IntegrityError):
            manager.backup(tmp_path / name, dry_run=True)
    assert "--force" in str(refused.value.hint)
    assert not (tmp_path / name).exists()


def test_a_chain_that_is_broken_for_good_is_copied_and_restored_when_both_are_told_to(damaged, tmp_path):
    change_event(damaged)
    with Manager.open(damaged) as manager:
        done = manager.backup(tmp_path / "b", force=True)
        assert manager.events(None)[-1].action == "backup"
    assert "event 2 was changed" in done.problems[0]
    assert parse_backup((tmp_path / "b" / MANIFEST).read_bytes()).problems == done.problems
    with pytest.raises(IntegrityError, match="event 2 was changed") as refused:
        restore(load_settings(), tmp_path / "b")
    assert "--force" in str(refused.value.hint)
    restored = restore(load_settings(), tmp_path / "b", force=True)
    assert restored.problems == done.problems and restored.models[0].trouble is None
    with Manager.open() as manager:
        problem = manager.registry.verify_events()
        assert problem is not None and "event 2 was changed" in problem.message
        assert manager.events(None)[-1].action == "restore"


def test_a_chain_whose_end_takes_no_event_is_copied_and_restored_all_the_same(damaged, tmp_path):
    execute(damaged / "registry.db", "UPDATE event_head SET sequence = 1")
    with Manager.open(damaged) as manager:
        before = manager.events(None)
        assert manager.backup(tmp_path / "b", force=True).problems
    done = restore(load_settings(), tmp_path / "b", force=True)
    assert done.models[0].trouble is None
    with Manager.open() as manager:
        assert manager.events(None) == before


def test_damage_that_a_backup_does_not_tell_of_is_never_accepted(made, tmp_path):
    shutil.copytree(made / "backup", tmp_path / "b")
    change_event(tmp_path / "b")
    relist(tmp_path / "b")
    with pytest.raises(IntegrityError, match="is damaged") as refused:
        restore(load_settings(), tmp_path / "b", force=True)
    assert "--force" not in str(refused.value.hint)


def test_a_whole_registry_makes_the_same_backup_with_and_without_force(made, tmp_path):
    with Manager.open(made / "home") as manager:
        done = manager.backup(tmp_path / "b", force=True)
    assert done.problems == ()
    assert b"problems" not in (tmp_path / "b" / MANIFEST).read_bytes()


def test_the_commands_say_what_is_wrong_with_what_they_were_forced_to_take(damaged, tmp_path, run, monkeypatch):  # noqa: F811
    change_event(damaged)
    here = load_settings().home
    monkeypatch.setenv("PATCHMGR_HOME", str(damaged))
    assert run("backup", tmp_path / "b").code == 6
    made = run("backup", tmp_path / "b", "--force")
    assert (made.code, "the registry is damaged: event 2 was changed" in made.out) == (0, True), made
    monkeypatch.setenv("PATCHMGR_HOME", str(here))
    assert run("restore", tmp_path / "b", "--dry-run").code == 6
    told = run("restore", tmp_path / "b", "--force", "--json")
    assert told.code == 0 and "event 2 was changed" in told.json["restored"]["problems"][0]
    assert "its registry is damaged: event 2" in run("restore", tmp_path / "b", "--force", "--replace").out
