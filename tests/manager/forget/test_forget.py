"""What is forgotten is in no byte of the home, the chain still verifies, and what was done stays known."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing

import pytest

from checkpoints import make_package
from hub.packages import author
from manager.forget.home import OTHER, REASON, SECRET, holding, leave_traces, request
from patchmgr.errors import ConflictError, NotFoundError, UsageError
from patchmgr_registry import EventObject, ForgottenError


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


def test_one_package_after_another_can_be_forgotten(manager):
    manager.forget("secret", reason=REASON)
    assert manager.forget("other", reason=REASON, revert=True).n_blobs
    assert manager.registry.package_names() == ()
    assert not manager.fsck(full=True).problems


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


def test_a_name_that_stands_for_several_versions_erases_none(tmp_path):
    with author(tmp_path, n_versions=2) as manager:
        with pytest.raises(UsageError, match="fixes has several versions") as caught:
            manager.forget("fixes", reason=REASON)
        assert "fixes@v1 or fixes@v2" in caught.value.hint
        assert manager.forget("fixes@v1", reason=REASON).reference == "fixes@v1"
        assert manager.forget("fixes", reason=REASON).reference == "fixes@v2", "the only one that is left"
