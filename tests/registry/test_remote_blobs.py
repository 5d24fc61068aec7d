"""Blob stores of every kind keep the same promises; one in a bucket keeps some of its own."""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from checkpoints import file_digests, make_checkpoint, make_package
from patchmgr.canonical import sha256_hex
from patchmgr.errors import IntegrityError, NotFoundError, StorageError, UsageError
from patchmgr.manager.manager import Manager
from patchmgr_registry import FolderBlobs
from patchmgr_registry.blobs import blob_store
from patchmgr_registry.blobs.remote import RemoteBlobs

DATA = bytes(range(256)) * 40
DIGEST = sha256_hex(DATA)
KEY = f"/bucket/team/{DIGEST[:2]}/{DIGEST}"


@pytest.fixture
def bucket():
    """A bucket in memory."""
    files = MemoryFileSystem()
    files.store.clear()
    yield files
    files.store.clear()


@pytest.fixture
def remote(bucket, tmp_path):
    return RemoteBlobs(lambda: bucket, "/bucket/team", "s3://bucket/team", tmp_path / "cache")


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request, tmp_path):
    """An empty store of each kind."""
    if request.param == "folder":
        return FolderBlobs(tmp_path / "blobs")
    if request.param == "memory":
        return request.getfixturevalue("remote")
    return blob_store(tmp_path, f"{request.getfixturevalue('s3_bucket')}/team/one")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "payload"
    path.write_bytes(DATA)
    return path


# Every kind


def test_what_is_put_in_comes_out(store, source):
    began = time.time()
    assert store.put_bytes(DATA) == store.put_file(source) == store.put_file(source, sha256=DIGEST) == DIGEST
    assert (
        store.read_bytes(DIGEST) == store.path(DIGEST).read_bytes() == store.open_verified(DIGEST).read_bytes() == DATA
    )
    (blob,) = store.listing()
    assert (blob.sha256, blob.size_bytes) == (DIGEST, len(DATA)) == (*store, store.size(DIGEST))
    assert began - 5 < blob.stored < time.time() + 5
    assert DIGEST in store
    assert "0" * 64 not in store
    assert "../escape" not in store
    store.check(DIGEST)


def test_an_empty_blob_and_a_large_one(store, tmp_path):
    assert store.read_bytes(store.put_bytes(b"")) == b""
    large = os.urandom(1024) * 9 * 1024
    (tmp_path / "large").write_bytes(large)
    assert store.open_verified(store.put_file(tmp_path / "large")).read_bytes() == large


def test_a_missing_blob_is_an_integrity_error(store):
    for ask in (store.path, store.open_verified, store.read_bytes, store.check):
        with pytest.raises(IntegrityError, match=f"{DIGEST} is missing"):
            ask(DIGEST)


def test_nothing_is_stored_of_a_wrong_file(store, source, tmp_path):
    with pytest.raises(IntegrityError, match=DIGEST):
        store.put_file(source, sha256="0" * 64)
    with pytest.raises(NotFoundError):
        store.put_file(tmp_path / "none")
    assert list(store) == []
    assert list(store.leftovers()) == []


@pytest.mark.parametrize("damaged", [DATA[:-1] + b"x", DATA[:-1], b""], ids=["changed", "cut", "empty"])
def test_a_damaged_blob_is_mended_by_storing_it_again(store, source, damaged):
    for put in (
        lambda: store.put_file(source, sha256=DIGEST),
        lambda: store.put_file(source),
        lambda: store.put_bytes(DATA),
    ):
        store.put_bytes(DATA)
        if isinstance(store, FolderBlobs):
            store.path(DIGEST).chmod(0o644)
            store.path(DIGEST).write_bytes(damaged)
        else:
            store._files.pipe_file(store._key(DIGEST), damaged)
        with pytest.raises(IntegrityError, match=sha256_hex(damaged)):
            store.open_verified(DIGEST)
        put()
        assert store.open_verified(DIGEST).read_bytes() == DATA


def test_a_blob_that_is_taken_out_is_gone(store):
    store.put_bytes(DATA)
    assert store.remove(DIGEST) == len(DATA)
    assert store.remove(DIGEST) == 0
    assert list(store) == []
    with pytest.raises(IntegrityError):
        store.path(DIGEST)


# In a bucket


@pytest.mark.parametrize("damaged", [DATA[:-1] + b"x", DATA[:-1], b""])
def test_an_object_with_other_bytes_is_not_handed_out(remote, bucket, damaged):
    remote.put_bytes(DATA)
    bucket.pipe_file(KEY, damaged)
    for ask in (remote.path, remote.open_verified, remote.read_bytes):
        with pytest.raises(IntegrityError, match=f"{DIGEST} holds bytes of sha256:{sha256_hex(damaged)}"):
            ask(DIGEST)
    assert not remote.local(DIGEST).exists()
    assert list(remote.leftovers()) == []


def test_a_whole_object_is_not_sent_again(remote, bucket, source, monkeypatch):
    remote.put_file(source)
    for way in ("put_file", "pipe_file"):
        monkeypatch.setattr(bucket, way, None)
    assert remote.put_file(source, sha256=DIGEST) == remote.put_file(source) == remote.put_bytes(DATA) == DIGEST


def test_what_was_read_is_not_fetched_again(remote, bucket):
    remote.put_bytes(DATA)
    remote.path(DIGEST)
    bucket.rm_file(KEY)
    assert remote.path(DIGEST).read_bytes() == DATA
    with pytest.raises(IntegrityError, match="missing"):
        remote.open_verified(DIGEST)


def test_a_damaged_copy_is_fetched_anew_and_never_sent(remote, bucket, source):
    remote.put_file(source)
    for again in (lambda: remote.path(DIGEST), lambda: (bucket.rm_file(KEY), remote.put_file(source))):
        copy = remote.local(DIGEST)
        copy.chmod(0o644)
        copy.write_bytes(DATA[:-1] + b"x")
        again()
        assert remote.local(DIGEST).read_bytes() == bucket.cat_file(KEY) == DATA


def test_copies_take_no_more_than_they_may_and_what_is_in_use_stays(bucket, tmp_path):
    store = RemoteBlobs(lambda: bucket, "/bucket/team", "s3://bucket/team", tmp_path / "cache", cache_bytes=2500)
    digests = [store.put_bytes(bytes([number]) * 1000) for number in range(5)]
    for age, sha256 in zip((9000, 8000, 100, 50), digests, strict=False):
        os.utime(store.path(sha256), (time.time() - age,) * 2)
    store.path(digests[4])
    assert [store.local(sha256).exists() for sha256 in digests] == [False, False, True, True, True]
    assert sorted(store) == sorted(digests)
    assert store.read_bytes(digests[0]) == b"\0" * 1000


def test_an_upload_that_arrives_in_part_is_told_of(remote, bucket, source, monkeypatch):
    monkeypatch.setattr(bucket, "put_file", lambda copy, key: bucket.pipe_file(key, DATA[:100]))
    with pytest.raises(StorageError, match=r"of 10240 bytes of sha256:.* it keeps 100"):
        remote.put_file(source)


def test_other_objects_in_the_bucket_are_left_alone(remote, bucket):
    bucket.pipe_file("/bucket/team/readme.txt", b"hello")
    bucket.pipe_file(f"/bucket/team/zz/{DIGEST}", b"no folder of its")
    remote.put_bytes(DATA)
    assert list(remote) == [DIGEST]


def test_processes_that_store_the_same_blob_disturb_nobody(s3_bucket, tmp_path):
    store = blob_store(tmp_path, s3_bucket)
    store.put_bytes(b"the parent is connected, and its children must not use that")
    at_work = []
    for _ in range(3):
        at_work.append(os.fork())
        if not at_work[-1]:
            os._exit(0 if store.put_bytes(DATA) == DIGEST else 1)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in at_work] == [0, 0, 0]
    assert store.open_verified(DIGEST).read_bytes() == DATA
    assert len(list(store)) == 2


# What goes wrong


def test_failures_are_told_in_words(s3_bucket, s3_endpoint, tmp_path, monkeypatch):
    with pytest.raises(StorageError, match=r"cannot write to s3://nowhere/x: .*bucket"):
        blob_store(tmp_path, "s3://nowhere/x").put_bytes(DATA)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match=r"cannot ask s3://packages: .*127.0.0.1:9") as caught:
        blob_store(tmp_path, s3_bucket).put_bytes(DATA)
    assert "AWS_ENDPOINT_URL" in caught.value.hint
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(StorageError) as caught:
        blob_store(tmp_path, s3_bucket).put_bytes(DATA)
    assert caught.value.hint == "pip install 'patchmgr[s3]'"


@pytest.mark.parametrize("place", ["gs://bucket", "/srv/blobs", "s3://", "s3:bucket"])
def test_other_places_are_a_wrong_call(tmp_path, place):
    with pytest.raises(UsageError, match="blobs cannot be kept in"):
        blob_store(tmp_path, place)


# The commands


def test_every_command_that_needs_blobs(s3_bucket, home, tmp_path, monkeypatch, run):
    monkeypatch.setenv("PATCHMGR_BLOBS", f"{s3_bucket}/team")
    base = make_checkpoint(tmp_path / "base")
    make_package(tmp_path / "one", base, name="one")
    for words in (("model", "add", "prod", base), ("apply", "prod", tmp_path / "one")):
        assert run(*words).code == 0
    assert not (home / "blobs").exists()
    for copy in (home / "cache" / "blobs").glob("??/*"):  # as on a machine that has read nothing yet
        copy.unlink()
    assert run("revert", "prod", "one").code == 0
    assert file_digests(home / "models" / "prod" / "current") == file_digests(base)
    assert run("verify", "one").code == 0
    assert run("show", "one", "--json").code == 0
    assert run("fsck", "--json").json["fsck"]["problems"] == []

    with Manager.open() as manager:
        blobs = manager.registry.blobs
        rubbish = blobs.put_bytes(b"rubbish")
        (unused,) = [row for row in manager.du().rows if row.kind == "unused blobs"]
        assert (unused.n_files, unused.apparent_bytes, unused.note) == (1, 7, f"in {s3_bucket}/team")
        assert manager.fsck().garbage_bytes == 7
        assert manager.gc().n_blobs == 0, "it is young"
        two_days = datetime.now().timestamp() + 2 * 86400
        monkeypatch.setattr(time, "time", lambda: two_days)
        assert manager.gc().n_blobs == 1
        assert rubbish not in blobs

        lost = next(file.sha256 for file in manager.registry.version("one").files if file.path == "edits.jsonl")
        blobs.remove(lost)
    problems = run("fsck", "--json").json["fsck"]["problems"]
    assert [problem["object"] for problem in problems] == ["one@v1/edits.jsonl"]
    assert run("import", tmp_path / "one").code == 0
    assert run("fsck").code == 0
