"""Forgetting that was interrupted, or that the disk refused, is finished by the same command."""

from __future__ import annotations

import os
import shutil

import pytest

from manager.forget.home import REASON, SECRET, holding, leave_traces
from patchmgr.errors import StorageError
from patchmgr.manager.manager import Manager
from patchmgr_registry import Registry, Transaction


class Killed(BaseException):
    """The process ended here."""


def kill_before(monkeypatch, step: int) -> list[str]:
    """End the process before a step that changes the disk for good; what was done until then is listed."""
    done: list[str] = []

    def counted(owner, name):
        real = getattr(owner, name)

        def called(*values, **named):
            if len(done) == step:
                raise Killed
            done.append(name)
            return real(*values, **named)

        monkeypatch.setattr(owner, name, called)

    for owner, name in ((os, "unlink"), (os, "rmdir"), (os, "replace"), (Transaction, "commit"), (Registry, "scrub")):
        counted(owner, name)
    return done


def test_a_second_call_finishes_what_a_kill_left(root, monkeypatch):
    """A kill leaves a whole package, or one that is forgotten; of that a second call leaves nothing."""
    home, states = root / "home", set()
    leave_traces(root)
    kept = shutil.copytree(home, root / "home-before", symlinks=True)
    with Manager.open(home) as manager, monkeypatch.context() as patched:
        all_of_it = kill_before(patched, -1)
        manager.forget("secret", reason=REASON)
    assert {"unlink", "rmdir", "replace", "commit", "scrub"} <= set(all_of_it)
    n_steps = len(all_of_it)
    for step in sorted({*range(8), *range(8, n_steps, 9), *range(n_steps - 3, n_steps)}):
        shutil.rmtree(home)
        shutil.copytree(kept, home, symlinks=True)
        with Manager.open(home) as manager:
            with monkeypatch.context() as patched, pytest.raises(Killed):
                kill_before(patched, step)
                manager.forget("secret", reason=REASON)
            states.add(forgotten := manager.forgotten("secret@v1") is not None)
            assert forgotten or not manager.fsck(full=True).problems
            again = manager.forget("secret@v1", reason=REASON)
            assert (again.reason, holding(home, SECRET)) == (REASON, []), step
            assert not (manager.settings.generations("tiny") / "2").exists()
            assert not list((home / "forgetting").glob("*.json"))
    assert states == {True, False}


def test_a_second_call_names_what_it_finished(manager, root, monkeypatch):
    gone, n_blobs = leave_traces(root), len(manager.registry.version("secret").files)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Registry, "blob_digests", lambda registry: (_ for _ in ()).throw(Killed()))
        patched.setattr(Transaction, "blob_digests", lambda registry: (_ for _ in ()).throw(Killed()))
        manager.forget("secret", reason=REASON)
    told = manager.forget("secret@v1", reason="another word", dry_run=True)
    assert holding(root / "home", SECRET)
    assert (told.reason, told.n_blobs, set(told.traces)) == (REASON, n_blobs, gone)
    assert manager.forget("secret@v1", reason="another word") == told
    assert manager.forget("secret@v1", reason=REASON).traces == ()


def test_a_commit_that_fails_leaves_the_version_whole(manager, monkeypatch):
    def full(transaction):
        raise StorageError("the disk is full", hint="free some space")

    with monkeypatch.context() as patched, pytest.raises(StorageError, match="full"):
        patched.setattr(Transaction, "commit", full)
        manager.forget("secret", reason=REASON)
    assert manager.show("secret").requests[0].subject == SECRET
    assert not manager.fsck(full=True).problems
    manager.apply("tiny", ["secret"])


def test_what_cannot_be_deleted_is_named_and_everything_else_is_gone(manager, root, monkeypatch):
    home, stuck = root / "home", ("left", "registry.db.before-0006-20260102T030405Z")
    leave_traces(root)

    def refusing(real):
        def called(path, *values, **named):
            if str(path).endswith(stuck):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *values, **named)

        return called

    with monkeypatch.context() as patched, pytest.raises(StorageError) as caught:
        for name in ("unlink", "rmdir"):
            patched.setattr(os, name, refusing(getattr(os, name)))
        manager.forget("secret", reason=REASON)
    said = str(caught.value)
    assert said.startswith("secret@v1 is forgotten, but this cannot be deleted: ")
    assert "tmp/edit-left" in said and "and 1 more" in said
    assert len(holding(home, SECRET)) == 2, "the copy of the database and the file among the blobs"
    assert not any(name.startswith("registry.db") and "before" not in name for name in holding(home, SECRET))
    manager.forget("secret@v1", reason=REASON)
    assert holding(home, SECRET) == []
