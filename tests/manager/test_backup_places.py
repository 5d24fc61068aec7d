"""Where backups and what is restored from them lie, who may read them, and what is said when a place will not do."""

from __future__ import annotations

import errno
import io
import os
import resource
import shutil
import tarfile
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from backups import make_home, relist
from cli.conftest import run  # noqa: F401  # the fixture
from patchmgr.canonical import sha256_hex
from patchmgr.durable import new_folder, store_file
from patchmgr.errors import FormatError, IntegrityError, StorageError
from patchmgr.manager.backup import reading
from patchmgr.manager.backup.contract import MANIFEST, parse_backup
from patchmgr.manager.backup.reading import check_bytes
from patchmgr.manager.backup.restore import restore
from patchmgr.manager.manager import Manager
from patchmgr.manager.settings import load_settings
from patchmgr.package.fields import FileRecord


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """With a withheld text, which its owner alone may read, and a trusted key."""
    root = make_home(tmp_path_factory.mktemp("places"))
    (root / "home" / "withheld").mkdir(mode=0o700)
    (root / "home" / "trust").mkdir()
    store_file(b"{}\n", root / "home" / "withheld" / f"{'0' * 64}.jsonl", what="it", mode=0o600)
    store_file(b"a key\n", root / "home" / "trust" / "ana.pem", what="it")
    with Manager.open(root / "home") as manager:
        for name in ("folder", "file.tar"):
            manager.backup(root / name)
    return root


@pytest.fixture(params=[0o022, 0o077], ids=["022", "077"])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """Who may do what, of everything in a folder by its path, the folder itself included."""
    return {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}


# Who may read them


@pytest.mark.parametrize("name", ["b", "b.tar"])
def test_a_backup_is_readable_by_its_owner_only(made, tmp_path, umask, name):
    with Manager.open(made / "home") as manager:
        manager.backup(tmp_path / name)
    assert (tmp_path / name).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["folder", "file.tar"])
def test_what_is_restored_has_the_modes_of_what_is_made(made, umask, name):
    home = restore(load_settings(), made / name).home
    found, folder, file = modes(home), 0o777 & ~umask, 0o666 & ~umask
    assert (found["registry.db"], found["trust"], found["trust/ana.pem"]) == (file, folder, file)
    assert (found["withheld"], found[f"withheld/{'0' * 64}.jsonl"]) == (0o700, 0o600)
    assert {mode for path, mode in found.items() if path.startswith("blobs/sha256/") and len(path) > 70} == {0o444}
    assert found["models/tiny/generations/2"] == folder


def test_everything_in_a_new_folder_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced: list[Path] = []

    def noted(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())

    monkeypatch.setattr(os, "fsync", noted)
    with new_folder(tmp_path / "made", what="it") as folder:
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "file").write_bytes(b"x")
    assert {*synced[:-1]} == {folder, folder / "a", folder / "a" / "b", folder / "a" / "b" / "file"}
    assert synced[-1] == tmp_path


# Places that will not do


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("file.tar/x", 1), ("/proc/x", 1), ("/proc/x.tar", 1), ("n" * 300, 1), (f"{'n' * 300}.tar", 1),
        ("x.tar.gz", 2), ("x.TAR", 2), ("x.tgz", 2), ("x.zip", 2), ("file.tar", 4), ("folder", 4),
    ],
)  # fmt: skip
def test_a_place_where_no_backup_can_be_is_told_in_words(made, run, monkeypatch, name, code):  # noqa: F811
    monkeypatch.setenv("PATCHMGR_HOME", str(made / "home"))
    before = sorted(made.iterdir())
    done = run("backup", made / name)
    assert (done.code, done.err.startswith("error: ")) == (code, True), done.err
    assert sorted(made.iterdir()) == before


@pytest.mark.parametrize("name", ["nothing", "file.tar/x", "n" * 300, "home", "one/patch.json", "/proc/self/mem"])
def test_what_is_no_backup_is_told_in_words(made, run, home, name):  # noqa: F811
    done = run("restore", made / name)
    assert done.code in (1, 6) and done.err.startswith("error: "), done.err
    assert list(home.iterdir()) == []


def test_a_dry_run_makes_nothing_not_even_the_home(made, tmp_path, monkeypatch):
    monkeypatch.setenv("PATCHMGR_HOME", str(tmp_path / "a" / "home"))
    for name in ("folder", "file.tar"):
        assert restore(load_settings(), made / name, dry_run=True).n_files > 5
    assert not (tmp_path / "a").exists()


def test_a_dry_run_reads_every_byte(made, tmp_path):
    shutil.copytree(made / "folder", tmp_path / "b")
    blob = max((tmp_path / "b" / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(IntegrityError, match="not what its digest says"):
        restore(load_settings(), tmp_path / "b", dry_run=True)


def test_a_disk_that_takes_no_more_is_told_in_words_and_leaves_the_home_empty(made, home):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(StorageError, match="cannot write the restored home: the file would pass the limit"):
            restore(load_settings(), made / "folder")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in home.rglob("*")] == ["tmp"]


def test_a_disk_that_fails_while_it_is_read_is_told_as_that():
    class Failing(io.BytesIO):
        def read(self, _size=-1):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(StorageError, match="cannot read it: Input/output error"):
        check_bytes(Failing(), FileRecord(sha256="0" * 64, size_bytes=1), "it")


# What others could put into one


def test_a_list_without_end_is_not_read(made, tmp_path, monkeypatch):
    shutil.copytree(made / "folder", tmp_path / "b")
    monkeypatch.setattr(reading, "LARGEST_MANIFEST_BYTES", (tmp_path / "b" / MANIFEST).stat().st_size - 1)
    with pytest.raises(FormatError, match="is larger than"):
        restore(load_settings(), tmp_path / "b", dry_run=True)


def test_a_file_in_the_place_of_a_folder_belongs_into_no_home(made, tmp_path):
    shutil.copytree(made / "folder", tmp_path / "b")
    shutil.rmtree(tmp_path / "b" / "withheld")
    (tmp_path / "b" / "withheld").write_bytes(b"x")
    listed = parse_backup((tmp_path / "b" / MANIFEST).read_bytes()).files
    files = {name: record for name, record in listed.items() if not name.startswith("withheld/")}
    relist(tmp_path / "b", files={**files, "withheld": FileRecord(sha256=sha256_hex(b"x"), size_bytes=1)})
    with pytest.raises(IntegrityError, match="belongs into no home"):
        restore(load_settings(), tmp_path / "b")


def test_a_sparse_file_in_a_tar_which_would_fill_the_disk_is_refused(tmp_path):
    info = tarfile.TarInfo("registry.db")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:398], block[398:410], block[483:495] = b"00000000000\0", b"00000000000\0", b"77777777777\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    (tmp_path / "b.tar").write_bytes(bytes(block[:512]) + bytes(1024))
    with pytest.raises(FormatError, match="is no plain file"):
        restore(load_settings(), tmp_path / "b.tar")


# Blobs that are kept elsewhere


def test_blobs_are_restored_to_where_these_settings_keep_them(made, home, monkeypatch):
    files = MemoryFileSystem()
    files.store.clear()
    monkeypatch.setattr("patchmgr_registry.blobs.s3.open_s3", lambda: files)
    monkeypatch.setenv("PATCHMGR_BLOBS", "s3://bucket/team")
    settings = load_settings()
    restore(settings, made / "folder", dry_run=True)
    assert not files.find("/bucket")
    monkeypatch.delenv("PATCHMGR_BLOBS")  # what was passed in counts, not what holds now
    done = restore(settings, made / "folder")
    monkeypatch.setenv("PATCHMGR_BLOBS", "s3://bucket/team")
    assert done.models[0].trouble is None
    stored = {Path(name).name for name in files.find("/bucket/team")}
    assert stored == {path.name for path in (made / "folder" / "blobs").iterdir()}
    assert not (home / "blobs").exists()
    with Manager.open() as manager:
        assert not manager.fsck(full=True).problems
        assert manager.revert("tiny", ["two"])
    files.store.clear()
