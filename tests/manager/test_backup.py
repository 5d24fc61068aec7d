"""A backup gives the same registry at another place, with every model's state byte for byte, or nothing at all."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from checkpoints import EDITABLE, file_digests, make_checkpoint, make_package
from memory_packages import make_memory_package
from patchmgr.errors import ConflictError, FormatError, IntegrityError, NotFoundError, UsageError
from patchmgr.manager import generation
from patchmgr.manager.backup.contract import MANIFEST, parse_backup
from patchmgr.manager.backup.restore import restore
from patchmgr.manager.manager import Manager
from patchmgr.manager.settings import load_settings


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """``tiny`` with two packages, ``second`` on a generation of it, and a memory that nobody has; made once."""
    root = tmp_path_factory.mktemp("backup")
    base = make_checkpoint(root / "base", sharded=True)
    make_package(root / "one", base, name="one", seed=1)
    make_package(root / "two", base, name="two", seed=2, tensors=EDITABLE[:1])
    make_memory_package(root / "memory", base)
    with Manager.open(root / "home") as manager:
        manager.add_model("tiny", str(base))
        manager.apply("tiny", [str(root / "one")])
        manager.add_model("second", str(root / "home" / "models" / "tiny" / "generations" / "1"))
        manager.apply("tiny", [str(root / "two")])
        manager.tag("one@v1", "stable")
        (root / "home" / "trust").mkdir()
        (root / "home" / "trust" / "notes.txt").write_text("a key")
        (root / "home" / "artefacts").mkdir()
        (root / "home" / "artefacts" / "c.safetensors").write_bytes(b"statistics")
        for place in (root / "folder", root / "file.tar"):
            manager.backup(place, artefacts=True)
    return root


@pytest.fixture
def there(made, home, monkeypatch):
    """Settings of an empty home."""
    return load_settings()


def copied(made: Path, place: Path) -> Path:
    shutil.copytree(made / "folder", place)
    return place


@pytest.mark.parametrize("name", ["folder", "file.tar"])
def test_a_restored_home_has_every_state_byte_for_byte_and_nothing_to_complain_of(made, there, name):
    done = restore(there, made / name)
    with Manager.open(made / "home") as before, Manager.open() as after:
        assert after.settings.home == there.home != before.settings.home
        assert not after.fsck(full=True).problems
        assert [(model.model, model.trouble) for model in done.models] == [("second", None), ("tiny", None)]
        for model in ("tiny", "second"):
            assert file_digests(Path(after.path(model))) == file_digests(Path(before.path(model)))
            assert Path(after.path(model)).is_relative_to(there.home)
            assert after.status(model)[0].state_root == before.status(model)[0].state_root
        assert after.registry.tags("one") == {"stable": 1}
        assert after.registry.events()[: done.events] == before.registry.events()[: done.events]
        assert after.events(None)[-1].action == "restore"
        assert before.events(None)[-1].action == "backup"
        after.rollback("tiny", 1)
        after.revert("tiny", ["one"])
    assert (there.home / "trust" / "notes.txt").read_text() == "a key"
    assert (there.home / "artefacts" / "c.safetensors").read_bytes() == b"statistics"


def test_the_event_of_a_backup_names_it_by_its_digest(made):
    with Manager.open(made / "home") as manager:
        events = [event for event in manager.events(None) if event.action == "backup"]
    assert [event.objects[0].name for event in events] == ["folder", "file.tar"]
    assert events[0].objects[0].digest == parse_backup((made / "folder" / MANIFEST).read_bytes()).digest


def test_statistics_are_left_out_unless_asked_for(made, tmp_path):
    with Manager.open(made / "home") as manager:
        head = manager.registry.event_head()
        told = manager.backup(tmp_path / "b", dry_run=True)
        assert not (tmp_path / "b").exists() and manager.registry.event_head() == head
        done = manager.backup(tmp_path / "b")
    assert (told.n_files, (tmp_path / "b" / "artefacts").exists()) == (done.n_files, False)


def test_a_backup_overwrites_nothing(made):
    with Manager.open(made / "home") as manager:
        for name in ("folder", "file.tar"):
            with pytest.raises(ConflictError, match="something at"):
                manager.backup(made / name)


def test_a_damaged_blob_makes_no_backup(made, there, tmp_path):
    restore(there, made / "folder")
    with Manager.open() as manager:
        blob = manager.registry.blobs.path(manager.registry.version("two").files[-1].sha256)
        blob.chmod(0o644)
        data = bytearray(blob.read_bytes())
        data[-1] ^= 1
        blob.write_bytes(data)
        for name in ("b", "b.tar"):
            with pytest.raises(IntegrityError, match="not what its digest says"):
                manager.backup(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_home_with_a_registry_is_not_touched_unless_asked_and_then_moved_aside(made, there):
    with Manager.open() as manager:
        manager.add_model("mine", str(made / "base"))
    before = (there.home / "registry.db").read_bytes()
    with pytest.raises(ConflictError, match="has a registry already"):
        restore(there, made / "folder")
    assert (there.home / "registry.db").read_bytes() == before
    done = restore(there, made / "folder", replace=True)
    assert done.aside is not None and (done.aside / "registry.db").is_file()
    with Manager.open() as manager:
        assert [model.name for model in manager.registry.models()] == ["second", "tiny"]
        assert not manager.fsck(full=True).problems


def test_a_registry_that_nothing_was_ever_done_with_is_no_obstacle(made, there):
    Manager.open().close()
    assert restore(there, made / "folder").aside is not None


def test_a_dry_run_checks_every_byte_and_changes_nothing(made, there):
    told = restore(there, made / "file.tar", dry_run=True)
    assert told.n_files and not (there.home / "registry.db").exists()


def bitten(place: Path) -> None:
    blob = next(iter(sorted((place / "blobs").iterdir())))
    data = bytearray(blob.read_bytes())
    data[0] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (bitten, IntegrityError),
        (lambda place: next((place / "blobs").iterdir()).unlink(), IntegrityError),
        (lambda place: (place / "surplus").write_text("x"), FormatError),
        (lambda place: (place / MANIFEST).write_text("{}"), FormatError),
        (lambda place: (place / MANIFEST).unlink(), NotFoundError),
        (lambda place: (place / "link").symlink_to("/etc/passwd"), FormatError),
    ],
    ids=["another byte", "a blob gone", "a surplus file", "no manifest of ours", "no manifest", "a link"],
)
def test_a_backup_that_is_not_whole_is_refused_and_leaves_nothing(made, there, tmp_path, harm, error):
    place = copied(made, tmp_path / "b")
    harm(place)
    with pytest.raises(error):
        restore(there, place)
    assert not (there.home / "registry.db").exists() and not (there.home / "blobs").exists()


def test_a_tar_that_reaches_outside_is_refused(made, there, tmp_path):
    bad = tmp_path / "bad.tar"
    shutil.copy(made / "file.tar", bad)
    with tarfile.open(bad, "a") as archive:
        archive.add(made / "folder" / MANIFEST, arcname="../../escaped")
    with pytest.raises(FormatError, match="does not list"):
        restore(there, bad)
    assert not (there.home.parent / "escaped").exists()


def test_a_cut_off_tar_is_refused(made, there, tmp_path):
    bad = tmp_path / "bad.tar"
    bad.write_bytes((made / "file.tar").read_bytes()[:2000])
    with pytest.raises((FormatError, NotFoundError)):
        restore(there, bad)


def test_without_the_base_everything_comes_back_but_the_folders_and_they_come_when_it_does(made, there):
    (made / "base").rename(made / "gone")
    try:
        done = restore(there, made / "folder")
    finally:
        (made / "gone").rename(made / "base")
    assert all(model.trouble is not None and "base" in model.trouble for model in done.models)
    with Manager.open() as manager:
        manager.rollback("tiny", 2)
        assert file_digests(Path(manager.path("tiny"))) == file_digests(
            made / "home" / "models" / "tiny" / "generations" / "2"
        )


def test_a_server_is_copied_and_restored_by_its_own_tools(made, there, monkeypatch):
    monkeypatch.setenv("PATCHMGR_DATABASE_URL", "postgresql+psycopg://localhost/x")
    with pytest.raises(UsageError, match="another database"):
        restore(load_settings(), made / "folder")


def test_a_state_that_takes_longer_to_build_than_a_heart_beats_is_built(made, there, monkeypatch):
    """What is restored is finished in the registry, and no process may give it up or show life for it."""
    monkeypatch.setattr(generation, "HEARTBEAT_S", 0.0)
    assert [model.trouble for model in restore(there, made / "folder").models] == [None, None]
