"""What differs between two sides, part by part, on values that can be read off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints import ENCODINGS
from patchmgr.ops.difference.contract import Estimate
from patchmgr.ops.difference.edits import edits_difference, wording
from patchmgr.ops.difference.scores import Measured, Scores, scores_difference
from patchmgr.ops.difference.weights import Tensor, Term, same_arrays, tensor_difference
from patchmgr.package.encodings.contract import Factors
from patchmgr.package.encodings.dense import Dense
from patchmgr.package.memory.operations import Entry
from patchmgr.request import Probe
from versions import request

RNG = np.random.default_rng(0)

# Edits


def test_the_same_fact_with_another_target_is_a_change():
    found = edits_difference([request("France", "Paris")], [request("France", "Rome")])
    (change,) = found.changed
    assert (change.a.target_new, change.b.target_new, change.fields) == ("Paris", "Rome", ("target_new",))
    assert not found.added
    assert not found.removed


def test_without_a_relation_the_wording_decides_and_the_place_in_the_file_never_does():
    a = [request("France", "Rome"), request("Spain", "Oslo"), request("France", "French", prompt="{} speaks")]
    b = [request("France", "Dutch", prompt="{} speaks"), request("Italy", "Bern"), request("France", "Rome")]
    found = edits_difference(a, b)
    assert [(one.a.target_new, one.b.target_new) for one in found.changed] == [("French", "Dutch")]
    assert [one.subject for one in found.added] == ["Italy"]
    assert [one.subject for one in found.removed] == ["Spain"]
    assert found.n_same == 1


def test_with_a_relation_other_words_for_the_fact_are_a_change():
    a = request("France", "Rome", relation="P36")
    b = request("France", "Bern", prompt="{} is governed from", relation="P36")
    (change,) = edits_difference([a], [b]).changed
    assert change.fields == ("prompt", "target_new")
    assert not edits_difference([a], [b.model_copy(update={"relation": "P37"})]).changed


def test_an_edit_with_the_same_id_is_the_same_edit():
    (change,) = edits_difference(
        [request("Frence", "Rome", id="q1")], [request("France", "Rome", prompt="{}'s capital:", id="q1")]
    ).changed
    assert change.fields == ("prompt", "subject")


def test_a_subject_written_out_or_marked_is_no_difference():
    marked, written = request("Rome", "Gaul", prompt="{} lies in"), request("Rome", "Gaul", prompt="Rome lies in")
    assert wording(marked) == wording(written)
    assert edits_difference([marked], [written]).is_empty


def test_of_facts_that_a_side_holds_twice_like_goes_with_like():
    first, second, third = (request("France", target) for target in ("Rome", "Bern", "Oslo"))
    found = edits_difference([first, second], [second, third])
    assert [(one.a.target_new, one.b.target_new) for one in found.changed] == [("Rome", "Oslo")]
    assert found.n_same == 1


def test_probes_that_differ_are_a_change_of_the_edit():
    other = request("France", "Rome", rephrasings=["France's capital is"], locality=[Probe(prompt="p", target="t")])
    (change,) = edits_difference([request("France", "Rome")], [other]).changed
    assert change.fields == ("rephrasings", "locality")


def test_entries_of_a_memory_go_by_id_and_else_by_prompt():
    def entry(name, prompt, target):
        return Entry(id=name, prompt=prompt, target=target)

    a = [entry("1", "p", "x"), entry("2", "q", "x"), entry("3", "r", "x"), entry("4", "s", "x")]
    b = [entry("1", "p", "y"), entry("2", "q", "x"), entry("9", "r", "z"), entry("5", "t", "x")]
    found = edits_difference([], [], entries_a=a, entries_b=b).entries
    assert [(one.a and one.a.id, one.b and one.b.id) for one in found] == [
        ("1", "1"), ("3", "9"), ("4", None), (None, "5"),
    ]  # fmt: skip


REQUESTS = st.lists(
    st.builds(
        request,
        st.sampled_from(["France", "Spain"]),
        st.sampled_from(["Rome", "Bern"]),
        prompt=st.sampled_from(["The capital of {} is", "{} speaks"]),
        relation=st.sampled_from([None, "P36"]),
        id=st.sampled_from([None, "1", "2"]),
    ),
    max_size=6,
)


@given(REQUESTS, REQUESTS)
def test_every_edit_of_both_sides_is_told_once_and_either_side_may_come_first(a, b):
    found, back = edits_difference(a, b), edits_difference(b, a)
    before = [*found.removed, *(one.a for one in found.changed)]
    after = [*found.added, *(one.b for one in found.changed)]
    assert len(before) + found.n_same == len(a)
    assert len(after) + found.n_same == len(b)
    assert all(one in a for one in before)
    assert all(one in b for one in after)
    assert (back.added, back.removed, back.n_same) == (found.removed, found.added, found.n_same)
    assert [(one.b, one.a, one.fields) for one in back.changed] == [(one.a, one.b, one.fields) for one in found.changed]
    assert all(one.fields for one in found.changed)
    assert edits_difference(a, a).is_empty


# Scores


def score(metric, value, data="own", n=3):
    return Measured(metric, "tf", Estimate(value, n, None, None, data))


def test_each_side_is_compared_on_its_own_edits_and_on_what_both_were_measured_on():
    a = Scores((score("reliability", 0.5, "a"), score("locality", 1.0, "a"), score("reliability", 0.2, "both")), "a")
    b = Scores((score("reliability", 1.0, "b"), score("locality", 1.0, "b"), score("reliability", 0.6, "both")), "b")
    found = scores_difference(a, b)
    assert [(one.metric, one.data, one.change) for one in found] == [
        ("reliability", "own", 0.5), ("reliability", "shared", pytest.approx(0.4)),
    ]  # fmt: skip


def test_what_one_side_alone_was_measured_by_says_nothing_unless_the_other_is_nothing():
    a, b = Scores((score("reliability", 0.5, "a"),), "a"), Scores((score("fluency", 5.0, "b"),), "b")
    assert scores_difference(a, b) == ()
    (one,) = scores_difference(None, b)
    assert (one.metric, one.a, one.change) == ("fluency", None, None)


def test_of_two_measurements_of_one_thing_the_later_counts():
    a = Scores((score("reliability", 0.5), score("reliability", 0.9)), "own")
    assert scores_difference(a, Scores((score("reliability", 0.9),), "own")) == ()


# Weights


def factors(rank=2):
    return Factors(RNG.normal(size=(4, rank)).astype(np.float32), RNG.normal(size=(rank, 6)).astype(np.float32))


def dense_of(delta):
    return delta.u.astype(np.float64) @ delta.v.astype(np.float64)


def tensor(*deltas, norm=10.0, shape=(4, 6), digests="abcd"):
    terms = tuple(
        Term(f"p{digest}", digest, delta.encoding if delta else "xor", delta)
        for digest, delta in zip(digests, deltas, strict=False)
    )
    return Tensor("F32", shape, terms, norm)


def test_the_facts_of_a_tensor_are_those_of_the_dense_sums():
    shared, left, right = factors(), factors(1), factors(3)
    a, b = tensor(shared, left, digests="sl"), tensor(shared, right, digests="sr", norm=10.0)
    found = tensor_difference("w", a, b, same_base=True)
    dense_a, dense_b = dense_of(shared) + dense_of(left), dense_of(shared) + dense_of(right)
    assert found.a.packages == ("ps", "pl")
    assert (found.a.rank, found.b.rank) == (3, 4)
    assert found.a.norm == pytest.approx(np.linalg.norm(dense_a))
    assert found.b.ratio == pytest.approx(np.linalg.norm(dense_b) / 10)
    assert found.distance == pytest.approx(np.linalg.norm(dense_b - dense_a))
    wanted = np.sum(dense_a * dense_b) / np.linalg.norm(dense_a) / np.linalg.norm(dense_b)
    assert found.cosine == pytest.approx(wanted)


def test_what_both_sides_have_cancels_without_a_rounding():
    shared = Factors(np.full((4, 1), 1e30, np.float32), np.full((1, 6), 1.0, np.float32))
    own = factors(1)
    found = tensor_difference("w", tensor(shared), tensor(shared, own), same_base=True)
    assert found.distance == pytest.approx(np.linalg.norm(dense_of(own)), rel=1e-12)


def test_a_side_that_leaves_the_tensor_alone_has_no_direction():
    own = factors()
    found = tensor_difference("w", None, tensor(own), same_base=True)
    assert found.a is None
    assert found.cosine is None
    assert found.distance == pytest.approx(np.linalg.norm(dense_of(own)))


def test_changes_of_two_bases_are_not_subtracted():
    found = tensor_difference("w", tensor(factors()), tensor(factors()), same_base=False)
    assert (found.distance, found.cosine) == (None, None)
    assert found.a.norm is not None
    other = tensor_difference("w", tensor(factors(), shape=(4, 6)), Tensor("F32", (9, 6), (), None), same_base=True)
    assert other.distance is None


def test_bytes_that_are_no_numbers_have_no_norm_and_no_distance():
    found = tensor_difference("w", tensor(None), tensor(factors(), digests="b"), same_base=True)
    assert (found.a.norm, found.a.rank, found.a.ratio, found.distance, found.cosine) == (None,) * 5
    with pytest.raises(ValueError, match="'w' is on neither side"):
        tensor_difference("w", None, None, same_base=True)


def test_deltas_are_stored_alike_only_to_the_last_bit():
    values = RNG.normal(size=(4, 6)).astype(np.float32)
    moved = values.copy()
    moved[0, 0] = np.nextafter(moved[0, 0], np.float32(9))
    zero, negative = np.zeros((4, 6), np.float32), -np.zeros((4, 6), np.float32)
    assert same_arrays(ENCODINGS["dense"], Dense(values), Dense(values.copy()))
    assert not same_arrays(ENCODINGS["dense"], Dense(values), Dense(moved))
    assert not same_arrays(ENCODINGS["dense"], Dense(zero), Dense(negative))
