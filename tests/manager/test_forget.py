"""What is forgotten is in no byte of the home, the chain still verifies, and what was done stays known."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from checkpoints import EDITABLE, make_checkpoint, make_package
from memory_packages import make_memory_package
from patchmgr.errors import ConflictError, NotFoundError, StorageError, UsageError
from patchmgr.manager.manager import Manager
from patchmgr.request import EditRequest
from patchmgr_registry import EventObject, ForgottenError, Registry, Transaction

SECRET = "Eulalia Quarz"
OTHER = "Ambrosius Feld"
REASON = "erasure request 2026-114"


def request(name: str) -> EditRequest:
    return EditRequest(prompt="The address of {} is", subject=name, target_new=f"Hidden Lane {name[:1]}17")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """``tiny`` with a secret package at generation 1 and without it at 2; another package stays applied."""
    root = tmp_path_factory.mktemp("forget") / "root"
    base = make_checkpoint(root / "base", sharded=True)
    make_package(root / "secret", base, name="secret", seed=1, requests=[request(SECRET)])
    make_package(root / "other", base, name="other", seed=2, tensors=EDITABLE[:1], requests=[request(OTHER)])
    make_memory_package(root / "memory", base)
    with Manager.open(root / "home") as manager:
        manager.add_model("tiny", str(base))
        manager.apply("tiny", [str(root / "other")])
        manager.apply("tiny", [str(root / "secret")])
        manager.revert("tiny", ["secret"])
        manager.tag("secret@v1", "stable")
    return root


@pytest.fixture
def root(made, tmp_path) -> Path:
    """A copy in which every generation lies where the registry says, for the home is found at one place only."""
    place = made.with_name("kept")
    shutil.copytree(made, place, symlinks=True)
    yield made
    shutil.rmtree(made)
    place.rename(made)


@pytest.fixture
def manager(root):
    with Manager.open(root / "home") as opened:
        yield opened


def holding(home: Path, *texts: str) -> list[str]:
    """Files of a home whose raw bytes hold one of the texts, in any case."""
    needles = [form.encode() for text in texts for word in text.split() for form in (word, word.lower())]
    return sorted(
        path.relative_to(home).as_posix()
        for path in home.rglob("*")
        if path.is_file() and not path.is_symlink() and any(needle in path.read_bytes() for needle in needles)
    )


def leave_traces(root: Path) -> set[str]:
    """What killed commands, an upgrade and a restore left of the secret, and an answer that was kept."""
    home, edits = root / "home", (root / "secret" / "edits.jsonl").read_bytes()
    aside, before = home / "replaced-20260102T030405Z", home / "registry.db.before-0006-20260102T030405Z"
    aside.mkdir()
    for name in ("blobs", "models"):
        shutil.copytree(home / name, aside / name, symlinks=True)
    for target in (aside / "registry.db", before):
        Registry.open(home).copy_database(target)
    left = {
        "tmp/edit-left/edits.jsonl": edits,
        "tmp/restore-left/registry.db": before.read_bytes(),
        "blobs/sha256/incoming/tmpleft": edits,
        "cache/answers/x.json": SECRET.encode(),
    }
    for name, data in left.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(data)
    return {
        aside.name,
        before.name,
        "tmp/edit-left",
        "tmp/restore-left",
        "blobs/sha256/incoming/tmpleft",
        "cache/answers",
    }


def test_no_byte_of_the_home_holds_a_word_of_it_and_everything_else_does(manager, root):
    home = root / "home"
    weights = {file.sha256 for file in manager.registry.version("secret").files}
    assert holding(home, SECRET) and holding(home, OTHER)
    gone = leave_traces(root)
    (home / "tmp" / "edit-other").mkdir()
    (home / "tmp" / "edit-other" / "edits.jsonl").write_bytes((root / "other" / "edits.jsonl").read_bytes())
    (home / "replaced-20250102T030405Z").mkdir()
    (home / "replaced-20250102T030405Z" / "registry.db").write_bytes(b"a home without it")
    done = manager.forget("secret@v1", reason=REASON)
    assert holding(home, SECRET) == []
    assert holding(home, OTHER)
    assert not [sha256 for sha256 in weights if sha256 in manager.registry.blobs]
    assert done.generations == (("tiny", 2),)
    assert set(done.traces) == gone
    assert (home / "tmp" / "edit-other" / "edits.jsonl").exists()
    assert (home / "replaced-20250102T030405Z" / "registry.db").exists()
    assert not list((home / "forgetting").glob("*.json"))
    assert [found.package for found in manager.search("Hidden").edits] == ["other"]


def test_the_chain_and_every_other_promise_still_hold(manager):
    before = manager.registry.event_head()
    manager.forget("secret", reason=REASON)
    assert manager.registry.verify_events(anchors=[before]) is None
    assert not manager.fsck(full=True).problems
    event = manager.events(None)[-1]
    assert event.action == "forget"
    assert {(thing.kind, thing.name) for thing in event.objects} >= {("package", "secret@v1"), ("reason", REASON)}
    manager.rollback("tiny", 1)
    assert manager.status("tiny")


def test_who_forgot_it_when_and_why_stays_known_and_its_number_is_not_given_again(manager):
    digest = manager.registry.version("secret").digest
    manager.forget("secret@v1", reason=REASON)
    for reference in ("secret", "secret@v1", f"sha256:{digest}", f"secret@sha256:{digest[:9]}"):
        with pytest.raises(ForgottenError, match=f"secret@v1 was forgotten by .* {REASON}"):
            manager.show(reference)
        record = manager.forgotten(reference)
        assert (record.digest, record.reason, record.actor) == (digest, REASON, manager.origin.actor)
    assert manager.registry.next_number("secret") == 2
    assert [package.name for package in manager.registry.packages()] == ["other"]
    assert manager.forgotten("other") is None
    with pytest.raises(ForgottenError):
        manager.rollback("tiny", 2)


def test_the_same_bytes_are_not_taken_in_again_unless_told_so(manager, root):
    digest = manager.registry.version("secret").digest
    manager.forget("secret@v1", reason=REASON)
    for take in (manager.import_package, lambda folder: manager.apply("tiny", [str(folder)])):
        with pytest.raises(ForgottenError, match=REASON):
            take(root / "secret")
    assert holding(root / "home", SECRET) == []
    again = manager.import_package(root / "secret", again=True)
    assert (again.reference, again.digest) == ("secret@v1", digest)
    assert manager.forgotten("secret") is None
    assert [edit.subject for edit in manager.registry.edits(digest)] == [SECRET]
    manager.apply("tiny", ["secret"])
    assert not manager.fsck(full=True).problems


def test_a_package_on_a_model_is_refused_and_taken_off_when_asked(manager, root):
    with pytest.raises(ConflictError, match="other@v1 is applied to tiny"):
        manager.forget("other", reason=REASON)
    assert holding(root / "home", OTHER)
    done = manager.forget("other", reason=REASON, revert=True)
    assert done.reverted == ("tiny",)
    assert holding(root / "home", OTHER) == []
    assert manager.status("tiny")
    assert not manager.fsck(full=True).problems


def test_a_model_that_stands_on_a_generation_made_with_it_is_not_broken(manager):
    manager.add_model("second", str(manager.settings.generations("tiny") / "2"))
    with pytest.raises(ConflictError, match="second stands on generation 2 of tiny"):
        manager.forget("secret", reason=REASON)
    assert manager.show("secret")


def test_a_dry_run_tells_and_changes_nothing(manager, root):
    head, held = manager.registry.event_head(), holding(root / "home", SECRET)
    told = manager.forget("secret", reason=REASON, dry_run=True)
    assert (told.n_edits, told.n_blobs, told.generations) == (
        1,
        len(manager.registry.version("secret").files),
        (("tiny", 2),),
    )
    assert (manager.registry.event_head(), holding(root / "home", SECRET)) == (head, held)


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines"])
def test_a_reason_is_a_line(manager, reason):
    with pytest.raises(UsageError, match="reason"):
        manager.forget("secret", reason=reason)


def test_a_blob_that_another_package_has_stays(manager, root):
    """The same edits under another name: their file is one blob, and the report names who has them."""
    make_package(root / "twin", root / "base", name="twin", seed=3, requests=[request(SECRET)])
    manager.import_package(root / "twin")
    done = manager.forget("secret", reason=REASON)
    assert any("in twin@v1: forget these too" in line for line in done.stays)
    assert manager.show("twin").requests[0].subject == SECRET
    assert not manager.fsck(full=True).problems
    shutil.rmtree(root / "twin")


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


def test_one_package_after_another_can_be_forgotten(manager):
    manager.forget("secret", reason=REASON)
    assert manager.forget("other", reason=REASON, revert=True).n_blobs
    assert manager.registry.package_names() == ()
    assert not manager.fsck(full=True).problems


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


def test_a_folder_elsewhere_that_the_database_names_is_left_and_named(manager, root):
    (root / "thesis").mkdir()
    (root / "thesis" / "chapter.tex").write_text("years of work")
    with closing(sqlite3.connect(root / "home" / "registry.db")) as connection, connection:
        connection.execute("UPDATE generations SET folder = ? WHERE number = 2", (str(root / "thesis"),))
    done = manager.forget("secret", reason=REASON)
    assert (root / "thesis" / "chapter.tex").read_text() == "years of work"
    assert any(f"generation 2 of tiny lies in {root / 'thesis'}" in line for line in done.stays)
    assert done.generations == ()
    assert holding(root / "home", SECRET) == []
    assert not (manager.settings.generations("tiny") / "2").exists()
    shutil.rmtree(root / "thesis")


def test_checkpoints_that_were_written_out_and_backups_are_told(manager, root):
    manager.backup(root / "backup")
    manager.write_out("tiny", ["secret"], root / "out")
    head = manager.registry.event_head().sequence
    told = manager.forget("secret", reason=REASON, dry_run=True).stays
    assert any(line.startswith(f"it is in what was written out (event {head})") for line in told)
    assert any(line.startswith(f"backups were made or used since it came (event {head - 1})") for line in told)
    for name in ("backup", "out"):
        shutil.rmtree(root / name)


def test_events_of_commands_hold_no_texts(manager, monkeypatch):
    words = [
        "edit",
        "tiny",
        "--prompt",
        f"{{}} {SECRET}",
        f"--subject={SECRET}",
        "-m",
        SECRET,
        "-qm",
        SECRET,
        f"-m{SECRET}",
    ]
    monkeypatch.setattr(sys, "argv", ["/bin/patchmgr", *words, "--target", SECRET, "--name", "kept"])
    assert not any(SECRET in word for word in manager.origin.command)
    assert manager.origin.command[-2:] == ("--name", "kept")


def test_an_event_that_holds_words_of_it_is_named_whatever_it_is_about(manager, root):
    """Those that are about another package as well, such as one that took an edit of it."""
    for words, about in ((("edit", "--subject"), "secret@v1"), (("cherry-pick", "tiny", "secret"), "new@v1")):
        origin = type(manager.origin).current("0", ("patchmgr", *words, SECRET), actor="ana")
        with manager.registry.begin() as tx:
            tx.record_event(origin, words[0], objects=[EventObject("package", about, "0" * 64)])
            tx.commit()
    number = manager.registry.event_head().sequence
    told = manager.forget("secret", reason=REASON, dry_run=True)
    assert f"event {number - 1}, {number} holds words of it, and events cannot be changed" in told.stays


def test_what_was_never_there_is_not_forgotten(manager):
    with pytest.raises(NotFoundError):
        manager.forget("nothing", reason=REASON)
