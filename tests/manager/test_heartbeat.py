"""A writer shows that it lives whatever it waits for, and ends in words when another process gave it up."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing

import pytest

from checkpoints import make_checkpoint, make_package
from patchmgr.errors import BusyError, StorageError
from patchmgr.manager import generation as generation_module
from patchmgr.manager.manager import Manager
from patchmgr_registry import GivenUpError

PATIENCE_S = 60.0


@pytest.fixture
def manager(home, tmp_path, monkeypatch):
    """A model ``tiny``, and a package to put on it; hearts beat fast."""
    monkeypatch.setattr(generation_module, "HEARTBEAT_S", 0.01)
    make_package(tmp_path / "one", make_checkpoint(tmp_path / "base"), name="one")
    with Manager.open() as opened:
        opened.add_model("tiny", str(tmp_path / "base"))
        yield opened


def pending(manager):
    return manager.registry.generations("tiny")[-1]


def give_up(manager):
    """What another process does that takes the writer for dead."""
    with manager.registry.begin() as tx:
        tx.fail_generation("tiny", pending(manager).number)
        tx.commit()


def instead(monkeypatch, name, do):
    """Do something before a step of the writing, which goes on with what comes back or raises."""
    real = getattr(generation_module, name)

    def step(*words):
        do(words)
        return real(*words)

    monkeypatch.setattr(generation_module, name, step)


@pytest.mark.parametrize("step", ["find_kept", "write_generation", "remember"])
def test_the_heart_beats_in_every_step(manager, tmp_path, monkeypatch, step):
    def wait(_words):
        first, until = pending(manager).heartbeat, time.monotonic() + PATIENCE_S
        while pending(manager).heartbeat == first:
            assert time.monotonic() < until, "no sign of life"
            time.sleep(0.005)

    instead(monkeypatch, step, wait)
    manager.apply("tiny", [f"{tmp_path}/one"])
    assert manager.registry.model("tiny").generation == 1


def test_a_beat_that_another_writer_keeps_out_is_made_up_for(manager, tmp_path, monkeypatch):
    real, refused = manager.registry.begin, []

    def begin():
        if pending(manager).status == "pending" and len(refused) < 3:
            refused.append(True)
            raise BusyError("another process is writing")
        return real()

    def wait(_words):
        monkeypatch.setattr(manager.registry, "begin", begin)
        first, until = pending(manager).heartbeat, time.monotonic() + PATIENCE_S
        while pending(manager).heartbeat == first:
            assert time.monotonic() < until, "no sign of life"
            time.sleep(0.005)

    instead(monkeypatch, "find_kept", wait)
    manager.apply("tiny", [f"{tmp_path}/one"])
    assert len(refused) == 3


def test_a_writer_that_was_given_up_notices_while_it_writes(manager, tmp_path, monkeypatch):
    def go_on(words):
        give_up(manager)
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            words[2](1, 2)
            time.sleep(0.005)

    instead(monkeypatch, "write_generation", go_on)
    with pytest.raises(GivenUpError, match="generation 1 of tiny is failed: another process gave it up") as caught:
        manager.apply("tiny", [f"{tmp_path}/one"])
    assert (caught.value.exit_code, manager.registry.model("tiny").generation) == (7, 0)


@pytest.mark.parametrize("beat_s", [0.01, 1000.0])
def test_a_folder_that_is_cleared_away_under_the_writers_hands_is_no_traceback(manager, tmp_path, monkeypatch, beat_s):
    monkeypatch.setattr(generation_module, "HEARTBEAT_S", beat_s)

    real = generation_module.write_generation

    def write(recipe, folder, advance):
        def clear_away(done, total):
            if folder.parent.exists():
                give_up(manager)
                shutil.rmtree(folder.parent)
            advance(done, total)

        return real(recipe, folder, clear_away)

    monkeypatch.setattr(generation_module, "write_generation", write)
    with pytest.raises(GivenUpError):
        manager.apply("tiny", [f"{tmp_path}/one"])


def test_what_goes_wrong_of_itself_is_told_as_it_is(manager, tmp_path, monkeypatch):
    def fail(_words):
        raise StorageError("the disk is full")

    instead(monkeypatch, "write_generation", fail)
    with pytest.raises(StorageError, match="the disk is full"):
        manager.apply("tiny", [f"{tmp_path}/one"])
    with closing(sqlite3.connect(manager.settings.home / "registry.db")) as connection:
        assert connection.execute("SELECT status FROM generations ORDER BY number").fetchall() == [
            ("ready",),
            ("failed",),
        ]
