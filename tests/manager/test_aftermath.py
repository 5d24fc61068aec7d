"""What commands clear up behind others, and what they leave alone."""

from __future__ import annotations

import os

import pytest

from checkpoints import EDITABLE, make_checkpoint, make_package
from patchmgr.manager import aftermath
from patchmgr.manager.aftermath import clear_leftovers, mend_links, point_current
from patchmgr.manager.manager import Manager


@pytest.fixture
def manager(home, tmp_path):
    """Two models on one base, ``tiny`` at generation 1."""
    base = make_checkpoint(tmp_path / "base", sharded=True)
    make_package(tmp_path / "one", base, name="one", tensors=EDITABLE[:1])
    make_package(tmp_path / "two", base, name="two", tensors=EDITABLE[1:])
    with Manager.open() as opened:
        opened.add_model("tiny", str(base))
        opened.add_model("other", str(base))
        opened.apply("tiny", [f"{tmp_path}/one"])
        yield opened


def test_folders_of_no_generation_go_and_those_of_the_user_stay(manager):
    generations = manager.settings.generations("tiny")
    for name in ("7", ".new-7-abc", ".new-1-abc", "backup", "1.orig", ".new-"):
        (generations / name).mkdir()
    clear_leftovers(manager)
    assert {path.name for path in generations.iterdir()} == {"1", "backup", "1.orig", ".new-"}


def test_old_scratch_folders_of_every_kind_go_and_young_ones_stay(manager):
    scratch = manager.settings.home / "tmp"
    for name in ("edit-a", "parent-b", "bisect-c", "compare-d"):
        (scratch / name).mkdir(parents=True)
        os.utime(scratch / name, (0, 0))
    (scratch / "edit-young").mkdir()
    clear_leftovers(manager)
    assert [path.name for path in scratch.iterdir()] == ["edit-young"]


@pytest.mark.parametrize("command", ["apply", "gc"])
def test_any_change_mends_the_link_that_a_killed_one_left_behind(manager, tmp_path, command):
    link = manager.settings.generations("tiny").parent / "current"
    link.unlink()
    link.symlink_to("generations/0")
    if command == "apply":
        manager.apply("other", [f"{tmp_path}/two"])
    else:
        manager.gc("other")
    assert str(link.readlink()) == "generations/1"


def test_the_link_ends_at_the_newest_of_two_changes_whoever_points_it_last(manager, tmp_path, monkeypatch):
    link = manager.settings.generations("tiny").parent / "current"
    real = aftermath.repoint

    def be_overtaken(link, target):
        monkeypatch.setattr(aftermath, "repoint", real)
        manager.apply("tiny", [f"{tmp_path}/two"])
        assert str(link.readlink()) == "generations/2"
        real(link, target)

    link.unlink()
    monkeypatch.setattr(aftermath, "repoint", be_overtaken)
    point_current(manager, "tiny", manager.settings.generations("tiny") / "1")
    assert str(link.readlink()) == "generations/2"


def test_a_model_that_is_removed_meanwhile_is_passed_over(manager, monkeypatch):
    listed = manager.registry.models()
    manager.remove_model("other")
    monkeypatch.setattr(type(manager.registry), "models", lambda _registry: listed)
    (manager.settings.generations("other") / "1").mkdir(parents=True)
    clear_leftovers(manager)
    mend_links(manager)
    assert (manager.settings.generations("tiny") / "1").is_dir()
