"""The blob store in a folder."""

from __future__ import annotations

import errno
import io
import os
import stat
import subprocess
import sys
import threading
import time

import pytest

from checkpoints import make_checkpoint, make_package
from patchmgr.canonical import sha256_file, sha256_hex
from patchmgr.errors import IntegrityError, NotFoundError, StorageError
from patchmgr_registry import FolderBlobs
from patchmgr_registry.blobs import folder as folder_module

DATA = bytes(range(256)) * 40
DIGEST = sha256_hex(DATA)


@pytest.fixture
def store(tmp_path):
    return FolderBlobs(tmp_path / "blobs" / "sha256")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "payload"
    path.write_bytes(DATA)
    return path


def overwrite(place):
    """Other bytes, as many as there were."""
    place.chmod(0o644)
    place.write_bytes(b"\0" * place.stat().st_size)


def _files(store):
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())


def test_bytes_and_a_file_end_in_the_same_blob(store, source):
    assert store.put_bytes(DATA) == store.put_file(source) == store.put_file(source, sha256=DIGEST) == DIGEST
    assert _files(store) == [f"{DIGEST[:2]}/{DIGEST}"]
    assert store.read_bytes(DIGEST) == store.open_verified(DIGEST).read_bytes() == DATA
    assert list(store) == [DIGEST]
    assert DIGEST in store
    assert "0" * 64 not in store
    assert "../escape" not in store


def test_a_blob_is_read_only(store):
    store.put_bytes(DATA)
    assert stat.S_IMODE(store.path(DIGEST).stat().st_mode) == 0o444


def test_an_empty_blob_is_a_blob(store):
    assert store.read_bytes(store.put_bytes(b"")) == b""


def test_a_missing_blob_is_an_integrity_error(store):
    for ask in (store.path, store.open_verified, store.read_bytes):
        with pytest.raises(IntegrityError, match=f"{DIGEST} is missing"):
            ask(DIGEST)


@pytest.mark.parametrize("damaged", [DATA[:-1] + b"x", DATA[:-1]])
def test_a_damaged_blob_is_found_when_it_is_read(store, damaged):
    store.put_bytes(DATA)
    place = store.path(DIGEST)
    place.chmod(0o644)
    place.write_bytes(damaged)
    for ask in (store.open_verified, store.read_bytes):
        with pytest.raises(IntegrityError) as caught:
            ask(DIGEST)
        assert DIGEST in caught.value.message
        assert sha256_hex(damaged) in caught.value.message


def test_a_whole_blob_is_not_replaced(store, source):
    store.put_bytes(DATA)
    before = store.path(DIGEST).stat().st_ino
    store.put_bytes(DATA)
    store.put_file(source)
    store.put_file(source, sha256=DIGEST)
    assert store.path(DIGEST).stat().st_ino == before, "folders of generations may be linked to it"


def test_a_file_with_another_digest_than_named_is_not_stored(store, source):
    with pytest.raises(IntegrityError, match=DIGEST):
        store.put_file(source, sha256="0" * 64)
    assert _files(store) == []


def test_a_file_that_does_not_exist_is_not_found(store, tmp_path):
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(NotFoundError):
            store.put_file(missing)


def test_removing_a_blob_tells_its_size(store):
    store.put_bytes(DATA)
    assert store.remove(DIGEST) == len(DATA)
    assert store.remove(DIGEST) == 0
    assert list(store) == []


def test_leftovers_of_killed_processes_are_removed_once_they_are_old(store):
    store.put_bytes(DATA)
    leftover = store.root / "incoming" / "tmp1"
    leftover.write_bytes(b"half")
    assert store.remove_leftovers() == 0
    os.utime(leftover, (time.time() - 90_000,) * 2)
    assert store.remove_leftovers() == 1
    assert _files(store) == [f"{DIGEST[:2]}/{DIGEST}"]


def test_a_blob_is_synced_before_it_gets_its_name(store, monkeypatch):
    order = []
    real_fsync, real_replace = os.fsync, folder_module.Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (order.append("sync"), real_fsync(descriptor)))
    monkeypatch.setattr(
        folder_module.Path, "replace", lambda path, target: (order.append("rename"), real_replace(path, target))[1]
    )
    store.put_bytes(DATA)
    assert order[:3] == ["sync", "rename", "sync"]


def test_many_writers_of_one_blob(store):
    threads = [threading.Thread(target=store.put_bytes, args=(DATA,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _files(store) == [f"{DIGEST[:2]}/{DIGEST}"]


DISK_FULL = """
import resource, sys
from pathlib import Path
from patchmgr.errors import StorageError
from patchmgr_registry import FolderBlobs
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
store = FolderBlobs(Path(sys.argv[1]))
store.put_bytes(b"small enough")
for put, value in ((store.put_bytes, b"x" * 5000), (store.put_file, Path(sys.argv[2]))):
    try:
        put(value)
    except StorageError as error:
        assert "the limit on file sizes" in error.message, error
    else:
        raise SystemExit("nothing was raised")
"""


def test_a_full_disk_is_a_storage_error_and_leaves_nothing(store, source):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", DISK_FULL, str(store.root), str(source)], check=True, env=environment)
    digest = sha256_hex(b"small enough")
    assert _files(store) == [f"{digest[:2]}/{digest}"]


def test_a_place_that_is_no_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="a file stands where a folder must be"):
        FolderBlobs(tmp_path / "file" / "sha256").put_bytes(DATA)


@pytest.fixture
def refusing(store, source, monkeypatch):
    """A disk that gives nothing that lies in the store; permissions would not stop a superuser."""
    store.put_bytes(DATA)

    def refuse(real):
        def call(place, *words, **more):
            if str(place).startswith(str(store.root)) and not str(place).startswith(str(store.root / "incoming")):
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(place))
            return real(place, *words, **more)

        return call

    for owner, name in ((os, "stat"), (os, "listdir"), (os, "scandir"), (io, "open")):
        monkeypatch.setattr(owner, name, refuse(getattr(owner, name)))


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.size(DIGEST),
        lambda store: store.path(DIGEST),
        lambda store: store.check(DIGEST),
        lambda store: store.read_bytes(DIGEST),
        lambda store: store.open_verified(DIGEST),
        lambda store: store.put_bytes(DATA),
        lambda store: store.remove(DIGEST),
        list,
        lambda store: list(store.listing()),
    ],
    ids=["size", "path", "check", "read_bytes", "open_verified", "put_bytes", "remove", "iterate", "listing"],
)
def test_every_method_says_in_words_that_the_disk_failed(store, refusing, ask):
    with pytest.raises(StorageError, match=r"cannot (read|write) .*(input/output error|the disk failed)"):
        ask(store)


def test_a_blob_that_the_disk_no_longer_gives_is_stored_again(store, source, monkeypatch):
    store.put_bytes(DATA)
    before = store.path(DIGEST).stat().st_ino
    monkeypatch.setattr(folder_module, "sha256_file", lambda place: (_ for _ in ()).throw(OSError(errno.EIO, "failed")))
    with pytest.raises(StorageError, match=r"cannot read .*: failed"):
        store.open_verified(DIGEST)
    store.put_file(source, sha256=DIGEST)
    assert store.path(DIGEST).stat().st_ino != before


def test_a_folder_of_blobs_that_is_a_file_is_told(store):
    store.put_bytes(DATA)
    (store.root / "ff").write_bytes(b"")
    with pytest.raises(StorageError, match=r"cannot read .*/ff: not a directory"):
        list(store)


@pytest.mark.parametrize("harm", [lambda place: place.unlink(), overwrite], ids=["lost", "changed"])
def test_what_fsck_finds_lost_or_damaged_is_mended_by_importing_the_folder_again(home, tmp_path, run, harm):
    make_package(tmp_path / "one", make_checkpoint(tmp_path / "base"), name="one")
    assert run("import", tmp_path / "one").code == 0
    (lost,) = (home / "blobs" / "sha256").glob(f"??/{sha256_file(tmp_path / 'one' / 'weights.safetensors')}")
    harm(lost)
    assert run("fsck").code == 6
    assert run("import", tmp_path / "one").code == 0
    assert run("fsck").code == 0
