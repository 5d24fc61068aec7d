"""What is forgotten is in no byte of the home, the chain still verifies, and what was done stays known."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from checkpoints import EDITABLE, make_checkpoint, make_package
from memory_packages import make_memory_package
from patchmgr.errors import ConflictError, NotFoundError, UsageError
from patchmgr.manager.manager import Manager
from patchmgr.request import EditRequest
from patchmgr_registry import ForgottenError

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


def test_no_byte_of_the_home_holds_a_word_of_it_and_everything_else_does(manager, root):
    home = root / "home"
    weights = {file.sha256 for file in manager.registry.version("secret").files}
    assert holding(home, SECRET) and holding(home, OTHER)
    (home / "tmp" / "edit-left").mkdir(parents=True)
    (home / "tmp" / "edit-left" / "edits.jsonl").write_bytes((root / "secret" / "edits.jsonl").read_bytes())
    (home / "tmp" / "edit-other").mkdir()
    shutil.copy(home / "registry.db", home / "registry.db.before-0006-20260102T030405Z")
    done = manager.forget("secret@v1", reason=REASON)
    assert holding(home, SECRET) == []
    assert holding(home, OTHER)
    assert not [sha256 for sha256 in weights if sha256 in manager.registry.blobs]
    assert done.generations == (("tiny", 2),)
    assert set(done.traces) == {"tmp/edit-left", "registry.db.before-0006-20260102T030405Z"}
    assert (home / "tmp" / "edit-other").is_dir()
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
    assert any("the same edits are in twin@v1" in line for line in done.stays)
    assert manager.show("twin").requests[0].subject == SECRET
    assert not manager.fsck(full=True).problems
    shutil.rmtree(root / "twin")


def test_a_second_call_finishes_what_a_kill_left(manager, root, monkeypatch):
    monkeypatch.setattr(type(manager.registry), "scrub", lambda registry: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        manager.forget("secret", reason=REASON)
    monkeypatch.undo()
    again = manager.forget("secret@v1", reason="another word")
    assert (again.reason, again.n_blobs) == (REASON, 0)
    assert holding(root / "home", SECRET) == []


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


def test_an_event_that_holds_words_of_it_is_named(manager, root):
    make_package(root / "late", root / "base", name="late", seed=4, requests=[request("Old Event")])
    manager.origin = type(manager.origin).current("0", ("patchmgr", "edit", "--subject", "Old Event"), actor="ana")
    manager.import_package(root / "late")
    number = manager.registry.event_head().sequence
    told = manager.forget("late", reason=REASON, dry_run=True)
    assert any(line.startswith(f"event {number} holds words of it") for line in told.stays)
    shutil.rmtree(root / "late")


def test_what_was_never_there_is_not_forgotten(manager):
    with pytest.raises(NotFoundError):
        manager.forget("nothing", reason=REASON)
