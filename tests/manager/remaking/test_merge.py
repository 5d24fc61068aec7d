"""Merging: one package from several, edited again together or summed as they are."""

from __future__ import annotations

import numpy as np
import pytest

from checkpoints import file_digests
from manager.remaking.facts import AS_IT_WAS, bytes_of, facts, last_event, manifest, named, stack, texts
from patchmgr.errors import ConflictError, GateError, NotFoundError, UsageError
from patchmgr.manager.remaking.source import Wishes


@pytest.fixture
def two(tiny):
    """``a`` and ``b``, which share one edit."""
    tiny.edit("a", facts("France", "Spain"), method="write", size=0.25)
    tiny.edit("b", facts("Spain", "Atlantis"), method="write", size=0.25)


def test_all_edits_are_made_again_together_each_once(manager, tiny, two):
    tiny.apply("a", "b")
    done = manager.merge("tiny", "both", ["a", "b"], AS_IT_WAS)
    tiny.edit("whole", facts("France", "Spain", "Atlantis"), method="write", size=0.25, on="base")
    assert done.edit.version.message == "merge of a@v1, b@v1"
    assert [request.subject for request in done.repeated] == ["Spain"]
    for file in ("weights.safetensors", "edits.jsonl", "eval.json"):
        assert bytes_of(manager, "both@v1")[file] == bytes_of(manager, "whole@v1")[file]
    event = last_event(manager, "merge")
    assert (named(event, "package"), named(event, "merged")) == (["both@v1"], ["a@v1", "b@v1"])


def test_packages_that_contradict_each_other_are_refused_unless_one_is_preferred(manager, tiny):
    tiny.edit("a", facts("France", "Spain"), method="write")
    tiny.edit("b", facts("france", "Atlantis", target="Bern"), method="write")
    with pytest.raises(
        ConflictError, match=r"1 fact.*a@v1 says 'The capital of France is' → 'Rome'.*'Bern'"
    ) as refused:
        manager.merge("tiny", "both", ["a", "b"], AS_IT_WAS)
    assert (refused.value.exit_code, "--prefer REF" in str(refused.value)) == (4, True)
    done = manager.merge("tiny", "both", ["a", "b"], AS_IT_WAS, prefer="b")
    assert [request.subject for request in done.overruled] == ["France"]
    assert texts(manager, "both@v1") == [("Spain", "Rome"), ("france", "Bern"), ("Atlantis", "Bern")]
    with pytest.raises(UsageError, match="no edit can be taken out of a sum"):
        manager.merge("tiny", "both", ["a", "b"], AS_IT_WAS, how="sum", prefer="b")


def test_packages_made_in_different_ways_want_to_be_told_which(manager, tiny):
    tiny.edit("a", facts("France"), method="write", size=0.25, seed=1)
    tiny.edit("b", facts("Spain"), method="write", size=0.75, seed=1)
    with pytest.raises(UsageError, match=r"a@v1 0\.25, b@v1 0\.75: different size; say which with --set size=…"):
        manager.merge("tiny", "both", ["a", "b"], AS_IT_WAS)
    made = manager.merge("tiny", "both", ["a", "b"], Wishes(parameters={"size": "0.5"})).edit.version
    record = manifest(manager, made.reference).method
    assert (record.parameters["size"], record.seed, record.given) == (0.5, 1, ("size",))
    tiny.edit("c", facts("Rome"), method="ft-m", steps=1)
    with pytest.raises(UsageError, match="a@v1 write, c@v1 ft-m: they were made by different methods"):
        manager.merge("tiny", "both", ["a", "c"], AS_IT_WAS)
    preview = manager.check_merge("tiny", "both", ["a", "c"], Wishes(method="write", seed=3))
    assert (preview.edit.method, preview.edit.n_edits, preview.edit.parameters["size"]) == ("write", 2, 0.5)


def test_a_sum_gives_the_bytes_of_the_stack_and_is_measured(manager, tiny, two):
    tiny.edit("dense", facts("Rome"), method="ft-m", steps=1, layers="0")
    tiny.apply("a", "b", "dense")
    together = file_digests(tiny.path)
    done = manager.merge("tiny", "sum", ["a", "b", "dense"], AS_IT_WAS, how="sum")
    tiny.revert("a", "b", "dense")
    tiny.apply("sum")
    assert file_digests(tiny.path) == together
    record = manifest(manager, "sum@v1").method
    assert (record.name, [part["reference"] for part in record.parameters["packages"]]) == (
        "merge-sum", ["a@v1", "b@v1", "dense@v1"],
    )  # fmt: skip
    root = tiny.status.state_root
    assert {score.state_root for score in done.edit.scores if score.phase == "after"} == {root}
    assert texts(manager, "sum@v1") == [("France", "Rome"), ("Spain", "Rome"), ("Atlantis", "Rome"), ("Rome", "Rome")]


def test_later_edits_find_in_a_sum_what_their_method_kept_in_its_parts(manager, tiny, write, two):
    tiny.edit("dense", facts("Rome"), method="ft-m", steps=1)
    manager.merge("tiny", "sum", ["a", "dense", "b"], AS_IT_WAS, how="sum", measure=False)
    tiny.apply("sum")
    tiny.edit("upon", facts("Bern"), method="write")
    from_sum = write.past
    tiny.revert("sum")
    tiny.apply("a", "b")
    tiny.edit("upon", facts("Bern"), method="write")
    assert [list(state) for state in from_sum] == [["keys"], ["keys"]]
    for one, other in zip(from_sum, write.past, strict=True):
        np.testing.assert_array_equal(one["keys"], other["keys"])


def test_a_sum_can_be_stored_without_scores_and_held_to_a_requirement(manager, tiny, two):
    done = manager.merge("tiny", "sum", ["a", "b"], AS_IT_WAS, how="sum", measure=False)
    assert (done.edit.scores, "eval.json" in bytes_of(manager, "sum@v1")) == ((), False)
    with pytest.raises(GateError, match="required of sum"):
        manager.merge("tiny", "sum", ["a", "b"], Wishes(require=("reliability>1",)), how="sum")
    with pytest.raises(UsageError, match="what is edited together is measured"):
        manager.merge("tiny", "both", ["a", "b"], AS_IT_WAS, measure=False)


def test_what_cannot_be_summed_is_refused_with_the_reason(manager, tiny, two, deeper_base):
    tiny.apply("a")
    tiny.edit("upon", facts("Rome"), method="write")
    with pytest.raises(ConflictError, match=r"upon@v1 was computed on 1 package\(s\) and cannot be summed"):
        manager.merge("tiny", "sum", ["b", "upon"], AS_IT_WAS, how="sum")
    tiny.edit("kb", facts("Bern"), method="ike")
    with pytest.raises(ConflictError, match="kb@v1 is a memory and cannot be summed"):
        manager.merge("tiny", "sum", ["b", "kb"], AS_IT_WAS, how="sum")
    with pytest.raises(UsageError, match="no method runs for a sum, so seed says nothing"):
        manager.merge("tiny", "sum", ["a", "b"], Wishes(seed=3), how="sum")
    with pytest.raises(UsageError, match="takes two packages or more, each once"):
        manager.merge("tiny", "sum", ["a", "a@v1"], AS_IT_WAS, how="sum")
    assert stack(tiny) == ["a@v1"]


def test_a_sum_is_not_made_again_unless_a_method_is_named(manager, two):
    manager.merge("tiny", "sum", ["a", "b"], AS_IT_WAS, how="sum", measure=False)
    with pytest.raises(UsageError, match="no method made sum@v1: it is the sum of packages; give --method"):
        manager.rebase("tiny", "sum", AS_IT_WAS)
    made = manager.rebase("tiny", "sum", Wishes(method="write")).edit.version
    assert (made.reference, made.method, made.n_edits) == ("sum@v2", "write", 3)


def test_memories_are_merged_into_one(manager, tiny):
    tiny.edit("a", facts("France"), method="ike")
    tiny.edit("b", facts("Spain"), method="ike")
    manager.merge("tiny", "both", ["a", "b"], AS_IT_WAS)
    assert manifest(manager, "both@v1").memory.n_entries == 2
    with pytest.raises(NotFoundError, match="nothing"):
        manager.merge("tiny", "both", ["a", "nothing"], AS_IT_WAS)
