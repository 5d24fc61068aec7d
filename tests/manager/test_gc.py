"""Clearing away leaves what somebody still needs, and two who do it at once do it once."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from checkpoints import EDITABLE, make_checkpoint, make_package
from patchmgr.canonical import sha256_hex
from patchmgr.manager import gc
from patchmgr.manager.manager import Manager
from patchmgr_registry import EditorRecord, FileRecord, timestamp


@pytest.fixture
def manager(home, tmp_path):
    """A model ``tiny`` at generation 3, of which 1 and 2 are old."""
    base = make_checkpoint(tmp_path / "base", sharded=True)
    make_package(tmp_path / "one", base, name="one", tensors=EDITABLE[:1])
    make_package(tmp_path / "two", base, name="two", tensors=EDITABLE[1:])
    with Manager.open() as opened:
        opened.add_model("tiny", str(base))
        opened.apply("tiny", [f"{tmp_path}/one"])
        opened.apply("tiny", [f"{tmp_path}/two"])
        opened.revert("tiny", ["one", "two"])
        yield opened


def test_a_generation_that_another_model_stands_on_stays(manager):
    folder = manager.settings.generations("tiny") / "1"
    manager.add_model("second", str(folder))
    assert manager.gc(keep=1).generations == (("tiny", 2),)
    assert Path(manager.path("second")) == folder
    assert not manager.fsck(full=True).problems


@pytest.mark.parametrize(
    "named", ["generations/..", "../victim", "generations/3"], ids=["model", "elsewhere", "another"]
)
def test_a_folder_that_only_the_registry_calls_a_generation_s_stays(manager, named):
    victim = manager.settings.generations("tiny").parent.parent / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_text("mine")
    folder = manager.settings.generations("tiny").parent / named
    with closing(sqlite3.connect(manager.settings.home / "registry.db")) as database, database:
        database.execute("UPDATE generations SET folder = ? WHERE number = 2", (str(folder),))
    assert manager.gc("tiny", keep=0).generations == (("tiny", 1),)
    assert (victim / "thesis.txt").exists()
    assert (manager.settings.generations("tiny") / "3" / "config.json").exists()


def test_what_another_gc_has_cleared_is_neither_counted_nor_noted_twice(manager, monkeypatch):
    listed = gc._unneeded

    def list_and_be_overtaken(*arguments):
        found = listed(*arguments)
        monkeypatch.setattr(gc, "_unneeded", listed)
        assert len(manager.gc("tiny", keep=1).generations) == 2
        return found

    monkeypatch.setattr(gc, "_unneeded", list_and_be_overtaken)
    cleared = manager.gc("tiny", keep=1)
    assert (cleared.generations, cleared.busy) == ((), ())
    assert cleared.freed_bytes == 0
    assert [event.action for event in manager.events("tiny")].count("gc") == 2


def test_a_model_that_is_removed_meanwhile_is_passed_over(manager, monkeypatch):
    listed = gc._unneeded

    def list_and_remove(*arguments):
        found = listed(*arguments)
        manager.remove_model("tiny")
        return found

    monkeypatch.setattr(gc, "_unneeded", list_and_remove)
    assert manager.gc("tiny", keep=1).generations == ()


def test_blobs_are_listed_while_others_write_and_go_unless_they_came_to_be_needed(manager, monkeypatch):
    blobs, late = manager.registry.blobs, b"needed in a moment"
    for data in (late, *(f"rubbish {number}".encode() for number in range(5))):
        os.utime(blobs.path(blobs.put_bytes(data)), (0, 0))
    listed = type(blobs).listing

    def list_and_be_overtaken(store):
        yield from list(listed(store))
        with manager.registry.begin() as tx:  # busy, if gc held the lock
            files = (FileRecord("networks/a", sha256_hex(late), len(late)),)
            tx.add_editor(EditorRecord("late", 1, "e" * 64, "serac", timestamp(), len(late), "{}", files))
            tx.commit()

    monkeypatch.setattr(type(blobs), "listing", list_and_be_overtaken)
    monkeypatch.setattr(gc, "_BLOBS_AT_ONCE", 2)
    cleared = manager.gc()
    monkeypatch.undo()
    assert (cleared.n_blobs, sha256_hex(late) in blobs) == (5, True)
    counts = [thing.name for event in manager.registry.events() for thing in event.objects if thing.kind == "blobs"]
    assert sorted(counts) == ["1", "2", "2"]
