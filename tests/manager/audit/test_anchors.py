"""Anchors in files: they find a chain that was cut, and what a file of them says survives a disk that was full."""

from __future__ import annotations

import errno
import os

import pytest

from manager.audit.conftest import checked, noted, with_head
from patchmgr.canonical import canonical_json
from patchmgr.errors import ConflictError, FormatError, IntegrityError, StorageError
from patchmgr.manager.audit.anchors import Noted, read_anchors, read_notes
from patchmgr_registry import Anchor


def test_an_older_file_holds_though_the_chain_has_gone_on(manager, history, tmp_path):
    file, anchors = manager.audit.export(tmp_path / "old.jsonl").file, tmp_path / "anchors.jsonl"
    manager.audit.anchor(file=anchors)
    manager.rollback("prod")
    manager.audit.anchor(file=anchors)
    found = checked(file, noted=noted(anchors))
    assert (found.n_anchors, found.n_outside, found.n_later) == (1, 0, 1)
    n_events = len(manager.events())
    with pytest.raises(IntegrityError, match=f"not the whole chain: it holds events 1 to {n_events - 1} of {n_events}"):
        checked(file, noted=noted(anchors), whole=True)
    assert checked(file, noted=[Noted(one.anchor) for one in noted(anchors)]).n_later == 1, "nobody knows when"
    assert checked(file, whole=True).n_later == 0


def test_what_a_part_says_of_the_chain_around_it_is_compared(manager, tmp_path):
    part, other = manager.audit.export(tmp_path / "part.jsonl", first=4, last=9).file, tmp_path / "other.jsonl"
    events, head = manager.events(), manager.registry.event_head()
    beside = [Noted(Anchor(event.sequence, event.sha256)) for event in (events[0], events[11])]
    found = checked(part, noted=beside)
    assert (found.n_anchors, found.n_outside, found.n_later) == (0, 2, 0)
    with pytest.raises(IntegrityError, match="not the whole chain: it holds events 4 to 9 of"):
        checked(part, whole=True)
    for sequence in (3, 9, head.sequence):
        with pytest.raises(IntegrityError, match=f"event {sequence} .* as it was noted"):
            checked(part, noted=[Noted(Anchor(sequence, "f" * 64))])
    with pytest.raises(IntegrityError, match=f"event {head.sequence} is not as it was noted"):
        checked(with_head(part, other, chain={"sequence": head.sequence, "sha256": "f" * 64}), noted=[Noted(head)])
    manager.audit.anchor(file=tmp_path / "anchors.jsonl")
    later = manager.audit.export(tmp_path / "later.jsonl", first=4, last=9).file
    cut = with_head(later, other, chain={"sequence": 9, "sha256": events[8].sha256})
    assert checked(cut).head.chain.sequence == 9
    with pytest.raises(IntegrityError, match="event 10 was removed: the chain went on to event"):
        checked(cut, noted=noted(tmp_path / "anchors.jsonl"))


def test_an_anchor_is_added_to_a_file_of_anchors_alone(manager, exported, tmp_path):
    attestation = tmp_path / "prod.intoto.json"
    attestation.write_bytes(canonical_json(manager.audit.attest("prod")))
    (tmp_path / "folder").mkdir()
    for file in (exported, attestation):
        before = file.read_bytes()
        with pytest.raises(ConflictError, match="holds something else"):
            manager.audit.anchor(file=file)
        assert file.read_bytes() == before
    with pytest.raises(ConflictError, match="is there and is no file"):
        manager.audit.anchor(file=tmp_path / "folder")
    (tmp_path / "empty").touch()
    assert manager.audit.anchor(file=tmp_path / "empty").anchor == read_anchors(str(tmp_path / "empty"))[0]


@pytest.mark.parametrize("left", [b"", b'{"actor":"ana","ho'], ids=["no line break", "half a line"])
def test_a_file_that_does_not_end_with_a_line_goes_on_with_a_new_one(manager, tmp_path, left):
    file = tmp_path / "anchors.jsonl"
    anchor = manager.audit.anchor(file=file).anchor
    file.write_bytes(file.read_bytes() + left if left else file.read_bytes().rstrip(b"\n"))
    manager.audit.anchor(file=file)
    found = read_notes(str(file))
    assert (found.anchors, found.n_unfinished) == ((anchor, anchor), int(bool(left)))


def test_a_write_that_takes_a_part_is_finished(manager, tmp_path, monkeypatch):
    file, write = tmp_path / "anchors.jsonl", os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:7]))
    anchor = manager.audit.anchor(file=file).anchor
    assert read_anchors(str(file)) == (anchor,)
    takes = iter([5])

    def full(handle, data):
        for most in takes:
            return write(handle, data[:most])
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="the disk is full"):
        manager.audit.anchor(file=file)
    monkeypatch.setattr(os, "write", write)
    manager.audit.anchor(file=file)
    assert read_notes(str(file)).anchors == (anchor, anchor)


def test_an_anchor_finds_a_chain_that_was_cut(manager, stocked_events, tmp_path):
    file = tmp_path / "anchors.jsonl"
    for _ in range(2):
        done = manager.audit.anchor(file=file)
    assert read_anchors(str(file)) == (done.anchor, done.anchor)
    assert manager.audit.verify(read_anchors(str(file))).n_anchors == 2
    exported = manager.audit.export(tmp_path / "whole.jsonl").file
    last = "(SELECT sha256 FROM events WHERE sequence = 10)"
    stocked_events("DELETE FROM events WHERE sequence > 10", f"UPDATE event_head SET sequence = 10, sha256 = {last}")
    assert manager.audit.verify().n_events == 10
    with pytest.raises(IntegrityError, match="event 11 was removed: the chain went on to event"):
        manager.audit.verify(read_anchors(str(file)))
    cut = manager.audit.export(tmp_path / "cut.jsonl").file
    assert checked(cut).head.last == 10
    with pytest.raises(IntegrityError, match="event 11 was removed"):
        checked(cut, noted=noted(file))
    assert checked(exported, noted=noted(file), whole=True).n_anchors == 2


def test_nobody_notes_a_broken_chain(manager, stocked_events, tmp_path):
    stocked_events("UPDATE events SET actor = 'eve' WHERE sequence = 3")
    for act in (lambda: manager.audit.anchor(file=tmp_path / "a"), lambda: manager.audit.export(tmp_path / "b")):
        with pytest.raises(IntegrityError, match="event 3 was changed"):
            act()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["", "[]", '{"sequence":1}', '{"sequence":"1","sha256":"' + "0" * 64 + '"}', "["])
def test_a_line_that_is_no_anchor_is_refused(tmp_path, line):
    file = tmp_path / "anchors.jsonl"
    file.write_text(line)
    with pytest.raises(FormatError, match="no anchor"):
        read_anchors(str(file))
