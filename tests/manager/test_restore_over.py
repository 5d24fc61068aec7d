"""Restoring over a registry: a damaged one is no obstacle, a used one is, and a kill at any moment loses nothing."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backups import execute, make_home
from patchmgr.errors import BusyError, ConflictError, IntegrityError, PatchmgrError
from patchmgr.manager.backup import placing
from patchmgr.manager.backup.restore import restore
from patchmgr.manager.manager import Manager
from patchmgr.manager.settings import load_settings
from patchmgr_registry import Registry


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_home(tmp_path_factory.mktemp("over"))


@pytest.fixture
def used(made, home):
    """Settings of a home that has a registry with a model, and blobs."""
    with Manager.open() as manager:
        manager.add_model("mine", str(made / "base"))
        manager.registry.blobs.put_bytes(b"mine")
    with closing(sqlite3.connect(home / "registry.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return load_settings()


def cut(place: Path) -> None:
    place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])


def scribbled(place: Path) -> None:
    data = place.read_bytes()
    place.write_bytes(data[:4096] + b"\xa5" * 3 * 4096 + data[4 * 4096 :])


def no_database(place: Path) -> None:
    place.write_bytes(b"no database at all\n" * 500)


def newer(place: Path) -> None:
    execute(place, "UPDATE alembic_version SET version_num = '9999'")


def nameless(place: Path) -> None:
    execute(place, "DELETE FROM alembic_version")


@pytest.mark.parametrize("harm", [cut, scribbled, no_database, newer, nameless])
def test_a_registry_that_cannot_be_read_is_moved_aside_when_asked_and_not_before(made, used, harm):
    database = used.home / "registry.db"
    harm(database)
    before = database.read_bytes()
    with pytest.raises(PatchmgrError), Manager.open() as manager:
        manager.registry.events()
    with pytest.raises(ConflictError, match=r"cannot be read|has a registry already") as refused:
        restore(used, made / "backup")
    assert "--replace moves it aside" in str(refused.value)
    assert database.read_bytes() == before
    done = restore(used, made / "backup", replace=True)
    assert done.aside is not None and (done.aside / "registry.db").read_bytes() == before
    with Manager.open() as manager:
        assert [model.name for model in manager.registry.models()] == ["tiny"]
        assert not manager.fsck(full=True).problems


def test_a_registry_that_somebody_writes_to_stays_where_it_is(made, used, monkeypatch):
    class Impatient(Registry):
        @classmethod
        def open(cls, home, url=None, **more):
            return Registry.open(home, url, **more, busy_timeout_s=0.1)

    monkeypatch.setattr(placing, "Registry", Impatient)
    with closing(sqlite3.connect(used.home / "registry.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError):
            restore(used, made / "backup", replace=True)
        connection.execute("ROLLBACK")
    with Manager.open() as manager:
        assert [model.name for model in manager.registry.models()] == ["mine"]


class Killed(BaseException):
    """The process ended here."""


def killed_at(monkeypatch, moment: int) -> None:
    """Let the process die before this rename, counted from 1; the note of a restore counts too."""
    counted = iter(range(1, 1000))

    def dying(real):
        def rename(path, target):
            if next(counted) == moment:
                raise Killed
            return real(path, target)

        return rename

    for name in ("rename", "replace"):
        monkeypatch.setattr(Path, name, dying(getattr(Path, name)))


def test_a_kill_at_any_moment_leaves_a_home_that_says_so_and_is_restored_without_loss(made, used, monkeypatch):
    kept = used.home.with_name("kept")
    shutil.copytree(used.home, kept)
    mine, n_refused = (used.home / "registry.db").read_bytes(), 0
    for moment in range(1, 40):
        shutil.rmtree(used.home)
        shutil.copytree(kept, used.home)
        with monkeypatch.context() as dying:
            killed_at(dying, moment)
            try:
                restore(used, made / "backup", replace=True)
                break
            except Killed:
                pass
        try:
            with Manager.open() as manager:
                names = [model.name for model in manager.registry.models()]
            assert names in (["mine"], ["tiny"])  # before the first move, or after the last
        except IntegrityError as error:
            n_refused += 1
            assert "has not ended" in error.message and "--replace" in str(error.hint)
            with pytest.raises(ConflictError, match="has not ended"):
                restore(used, made / "backup")
        restore(used, made / "backup", replace=True)
        found = [path for path in used.home.glob("replaced-*/registry.db") if path.read_bytes() == mine]
        assert len(found) == 1, moment
        assert list((found[0].parent / "blobs").rglob("*")), moment  # together, in one folder
        with Manager.open() as manager:
            assert [model.name for model in manager.registry.models()] == ["tiny"]
    else:
        pytest.fail("it never ended")
    assert n_refused >= 5


def test_a_kill_while_an_empty_home_is_filled_is_told_too(made, monkeypatch):
    settings = load_settings()
    with monkeypatch.context() as dying:
        killed_at(dying, 3)  # after the note and the blobs
        with pytest.raises(Killed):
            restore(settings, made / "backup")
    assert (settings.home / "blobs").exists()
    with pytest.raises(IntegrityError, match="has not ended"):
        Manager.open()
    assert restore(settings, made / "backup", replace=True).models[0].trouble is None
    assert not (settings.home / "restoring").exists()


def test_several_replacements_within_one_second_keep_everything(made, used, monkeypatch):
    monkeypatch.setattr(placing, "timestamp", lambda: "2026-01-02T03:04:05.000000Z")
    asides = [restore(used, made / "backup", replace=True).aside for _ in range(3)]
    assert [aside.name for aside in asides if aside] == [
        "replaced-20260102T030405Z", "replaced-20260102T030405Z-2", "replaced-20260102T030405Z-3",
    ]  # fmt: skip
    assert all((aside / "registry.db").is_file() for aside in asides if aside)
