"""A backup from elsewhere writes nothing outside the home that is restored, whatever its database says."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backups import forged, make_home
from checkpoints import file_digests
from patchmgr.errors import IntegrityError
from patchmgr.manager.backup.restore import restore
from patchmgr.manager.manager import Manager
from patchmgr.manager.settings import load_settings


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_home(tmp_path_factory.mktemp("foreign"))


@pytest.fixture
def there(made, tmp_path, monkeypatch):
    """Settings of an empty home deep in a folder of the test's own."""
    monkeypatch.setenv("PATCHMGR_HOME", str(tmp_path / "a" / "b" / "home"))
    return load_settings()


def outside(tmp_path: Path) -> set[str]:
    """Everything in the test's folder but the backup and the home."""
    names = (path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    return {name for name in names if not name.startswith(("backup", "a/b/home"))} - {"a", "a/b"}


@pytest.mark.parametrize("folder", ["victim/.config/x", "victim/models/tiny/generations/2"])
def test_generations_are_built_in_the_home_wherever_a_backup_says_that_they_lie(made, there, tmp_path, folder):
    victim = tmp_path / folder
    statement = f"UPDATE generations SET folder = '{victim}' WHERE folder IS NOT NULL"
    done = restore(there, forged(made / "backup", tmp_path / "backup", statement))
    assert [(model.generation, model.trouble) for model in done.models] == [(2, None)]
    assert outside(tmp_path) == set()
    with Manager.open() as manager:
        assert Path(manager.path("tiny")) == there.home / "models" / "tiny" / "generations" / "2"
        assert not manager.fsck(full=True).problems


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE models SET name = '../../../escaped'",
        "UPDATE models SET name = '/etc'",
        "UPDATE models SET name = x'ff00'",
        "UPDATE generations SET number = '../../../../../escaped' WHERE number = 2",
        "UPDATE generations SET number = -3 WHERE number = 1",
        "UPDATE models SET generation = 77",
        "UPDATE models SET generation = '../x'",
        "UPDATE generations SET folder = x'00ff' WHERE number = 2",
        "UPDATE generations SET status = 'removed' WHERE number = 2",
    ],
)
def test_names_and_numbers_that_cannot_be_are_refused_before_anything_is_in_place(made, there, tmp_path, statement):
    place = forged(made / "backup", tmp_path / "backup", statement)
    with pytest.raises(IntegrityError, match="registry"):
        restore(there, place)
    assert outside(tmp_path) == set()
    assert [path.name for path in there.home.iterdir()] == ["tmp"]


def test_a_home_that_was_used_through_a_link_is_restored_elsewhere_and_stays_as_it_was(tmp_path, there):
    made = make_home(tmp_path / "live")
    home = made / "home"
    (tmp_path / "link").symlink_to(home)
    with Manager.open(tmp_path / "link") as manager:
        manager.add_model("second", str(home / "models" / "tiny" / "generations" / "1"))
        manager.backup(tmp_path / "backup")
    before = file_digests(home / "models" / "tiny" / "generations" / "2")
    done = restore(there, tmp_path / "backup")
    assert [(model.model, model.trouble) for model in done.models] == [("second", None), ("tiny", None)]
    with Manager.open() as manager:
        for name in ("tiny", "second"):
            assert Path(manager.path(name)).is_relative_to(there.home)
        assert file_digests(Path(manager.path("tiny"))) == before
        assert not manager.fsck(full=True).problems
    with Manager.open(home) as live:
        assert not live.fsck(full=True).problems


def test_a_base_on_a_generation_moves_along_by_the_real_name_of_a_linked_home(tmp_path, there):
    """All generations were noted through the link, the base by the real name, which the new machine does not have."""
    made = make_home(tmp_path / "live")
    (tmp_path / "link").symlink_to(made / "home")
    with Manager.open(tmp_path / "link") as manager:
        manager.add_model("second", str(made / "home" / "models" / "tiny" / "generations" / "1"))
        for number in (1, 2):
            place = tmp_path / "link" / "models" / "tiny" / "generations" / str(number)
            with closing(sqlite3.connect(made / "home" / "registry.db")) as connection, connection:
                connection.execute("UPDATE generations SET folder = ? WHERE number = ?", (str(place), number))
        manager.backup(tmp_path / "backup")
    (made / "home").rename(made / "gone")
    done = restore(there, tmp_path / "backup")
    assert [(model.model, model.trouble) for model in done.models] == [("second", None), ("tiny", None)]


def test_a_backup_taken_while_a_model_is_changed_gives_that_change_up_and_restores(tmp_path, there):
    made = make_home(tmp_path / "live")
    with Manager.open(made / "home") as manager:
        with manager.registry.begin() as tx:
            tx.begin_generation("tiny", action="apply", packages=[])  # this process writes it, and goes on
            tx.commit()
        manager.backup(tmp_path / "backup")
        assert manager.registry.generation("tiny", 3).status == "pending"
    done = restore(there, tmp_path / "backup")
    assert [(model.generation, model.trouble) for model in done.models] == [(2, None)]
    with Manager.open() as manager:
        assert manager.registry.generation("tiny", 3).status == "failed"
        assert manager.events(None)[-1].action == "restore"
        assert manager.revert("tiny", ["two"])
        assert not manager.fsck(full=True).problems
