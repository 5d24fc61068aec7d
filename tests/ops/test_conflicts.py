"""What packages have to do with each other, held to dense and obvious ways of finding it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints import make_checkpoint, make_package
from patchmgr.ops.conflict.ddmin import ddmin
from patchmgr.ops.conflict.facts import contradictions, shared_facts
from patchmgr.ops.conflict.keys import Part, cross_talk, sites_of
from patchmgr.ops.conflict.subspaces import angles, bases, overlaps
from patchmgr.ops.conflict.tensors import shared_tensors
from patchmgr.package.encodings.columns import Columns
from patchmgr.package.encodings.contract import Factors
from patchmgr.package.encodings.dense import Dense
from patchmgr.package.manifest import ParentRecord
from patchmgr.request import EditRequest

DOWN = "layers.0.down.weight"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Of any package; tests change what matters to them."""
    root = tmp_path_factory.mktemp("any")
    return make_package(root / "package", make_checkpoint(root / "base"))


def named(manifest, name, **fields):
    return manifest.model_copy(update={"name": name, **fields})


# Facts


def request(target, prompt="The capital of {} is", subject="France", relation=None):
    return EditRequest(prompt=prompt, subject=subject, relation=relation, target_new=target)


def found(manifest, *edits):
    """(target, target) of each contradiction, and (reference, …) of each shared fact, among packages a, b, c…"""
    packages = [(named(manifest, name), requests) for name, requests in zip("abcdef", edits, strict=False)]
    facts = shared_facts(packages)
    opposed = [(one.target, other.target) for one, other in contradictions(facts)]
    return opposed, [tuple(claim.reference[0] for claim in fact.claims) for fact in facts]


def test_one_prompt_with_two_targets_is_a_contradiction(manifest):
    assert found(manifest, [request("Lyon")], [request("Nice")]) == ([("Lyon", "Nice")], [("a", "b")])


def test_what_was_computed_on_the_other_answer_changed_it_and_contradicts_nobody_else_less(manifest):
    first = named(manifest, "a")
    on_it = named(manifest, "b", parent=ParentRecord(root="0" * 64, packages=(first.digest,)))
    (fact,) = shared_facts([(first, [request("Lyon")]), (on_it, [request("Nice")])])
    assert (len(fact.opposed), fact.conflicting) == (1, ())
    (fact,) = shared_facts(
        [(first, [request("Lyon")]), (on_it, [request("Nice")]), (named(manifest, "c"), [request("Metz")])]
    )
    assert [(one.target, other.target) for one, other in fact.conflicting] == [("Lyon", "Metz"), ("Nice", "Metz")]


def test_a_subject_and_relation_are_one_fact_in_any_wording(manifest):
    first, second = request("Lyon", relation="P36"), request("Nice", "{} is governed from", relation="p36 ")
    assert found(manifest, [first], [second]) == ([("Lyon", "Nice")], [("a", "b")])


@pytest.mark.parametrize(
    "other",
    [
        request("Nice", "{} is governed from"),
        request("Nice", "{} is governed from", relation="capital"),
        request("Nice", subject="Francia", relation="P36"),
        request("Nice", prompt="The largest city of {} is", relation="P1082"),
    ],
)
def test_different_facts_are_never_equated(manifest, other):
    assert found(manifest, [request("Lyon", relation="P36")], [other]) == ([], [])


def test_prompts_and_targets_are_compared_as_exact_match_does(manifest):
    same = request(" LYON", "the  capital of {} is", "FRANCE")
    assert found(manifest, [request("Lyon")], [same]) == ([], [("a", "b")])
    assert found(manifest, [request("Lyon")], [request("Lyon.")])[0] == [("Lyon", "Lyon.")]


def test_a_prompt_with_a_relation_joins_those_without(manifest):
    """b has the relation and the wording of c, so all three speak of one fact."""
    edits = [
        [request("Lyon", relation="P36")],
        [request("Lyon", "{} is governed from", relation="P36")],
        [request("Nice", "{} is governed from")],
    ]
    for order in itertools.permutations(range(3)):
        opposed, shared = found(manifest, *(edits[i] for i in order))
        assert len(shared) == 1
        assert sorted(sorted(pair) for pair in opposed) == [["Lyon", "Nice"]] * 2


def test_a_package_that_says_two_things_means_the_last(manifest):
    assert found(manifest, [request("Nice"), request("Lyon")], [request("Lyon")])[0] == []
    assert found(manifest, [request("Lyon"), request("Nice")]) == ([], [])


def test_only_contradictions_that_a_package_is_part_of_are_told_when_asked_so(manifest):
    packages = [(named(manifest, name), [request(target)]) for name, target in zip("abc", ("X", "Y", "X"), strict=True)]
    facts = shared_facts(packages)
    pairs = contradictions(facts, {packages[2][0].digest})
    assert [(one.reference, other.reference) for one, other in pairs] == [("b@v1", "c@v1")]


# Tensors


def test_two_that_replace_one_tensor_exclude_each_other_and_sums_do_not(manifest):
    xor = tuple(tensor.model_copy(update={"encoding": "xor"}) for tensor in manifest.tensors)
    packages = [named(manifest, "a"), named(manifest, "b", tensors=xor[:1]), named(manifest, "c", tensors=xor)]
    first, second = shared_tensors(packages, ["xor"])
    assert (first.packages, first.replacing, first.excluded) == (("a@v1", "b@v1", "c@v1"), ("b@v1", "c@v1"), True)
    assert (second.packages, second.excluded) == (("a@v1", "c@v1"), False)
    assert shared_tensors(packages, ["xor"], {packages[1].digest}) == (first,)


# Keys


def dense(delta):
    return delta.u.astype(np.float64) @ delta.v if isinstance(delta, Factors) else delta.values


def part(manifest, name, rng, *, n=3, shapes=((6, 9), (6, 9)), transposed=False, below=(), encoding="lowrank"):
    """A package of n edits with keys at two blocks."""
    deltas, state, tensors = {}, {}, []
    for block, shape in enumerate(shapes):
        tensor = f"layers.{block}.down.weight"
        u, v = rng.normal(size=(shape[0], 2)).astype(np.float32), rng.normal(size=(2, shape[1])).astype(np.float32)
        deltas[tensor] = Factors(u, v) if encoding == "lowrank" else Dense((u @ v).astype(np.float32))
        state[f"keys/{block}"] = rng.normal(size=(shape[0] if transposed else shape[1], n)).astype(np.float32)
        tensors.append(manifest.tensors[0].model_copy(update={"name": tensor, "module": tensor, "shape": shape}))
    parent = ParentRecord(root=manifest.parent.root, packages=tuple(other.manifest.digest for other in below))
    return Part(named(manifest, name, tensors=tuple(tensors), n_edits=n, parent=parent), deltas, state)


def by_hand(one, others, edit, *, transposed=False):
    """√Σ‖Σ Δ₂k‖² over the blocks."""
    squares = 0.0
    for block, tensor in enumerate(one.deltas):
        key = one.state[f"keys/{block}"][:, edit].astype(np.float64)
        change = sum(dense(other.deltas[tensor]) for other in others)
        squares += np.square((change.T if transposed else change) @ key).sum()
    return np.sqrt(squares)


@pytest.mark.parametrize("transposed", [False, True])
def test_cross_talk_is_what_others_do_at_a_key_over_what_its_own_package_does(manifest, transposed):
    rng = np.random.default_rng(0)
    one, two, three = (part(manifest, name, rng, transposed=transposed) for name in "abc")
    three = Part(three.manifest, {DOWN: Dense(np.float32(dense(three.deltas[DOWN])))}, {})  # no keys, one tensor
    talks = list(cross_talk([one, two, three]))
    assert [(talk.reference, talk.edit) for talk in talks] == [(name, i) for name in ("a@v1", "b@v1") for i in range(3)]
    none = {tensor: Factors(np.zeros((6, 1), np.float32), np.zeros((1, 9), np.float32)) for tensor in one.deltas}
    padded = Part(three.manifest, {**none, **three.deltas}, {})
    for talk in talks[:3]:
        own = by_hand(one, [one], talk.edit, transposed=transposed)
        assert dict(talk.others) == pytest.approx(
            {
                "b@v1": by_hand(one, [two], talk.edit, transposed=transposed) / own,
                "c@v1": by_hand(one, [padded], talk.edit, transposed=transposed) / own,
            }
        )
        assert talk.together == pytest.approx(by_hand(one, [two, padded], talk.edit, transposed=transposed) / own)
        assert talk.loudest == max(dict(talk.others).values())


def test_what_a_package_was_computed_on_does_not_disturb_it(manifest):
    rng = np.random.default_rng(1)
    below = part(manifest, "below", rng)
    above = part(manifest, "above", rng, below=[below])
    assert {talk.reference for talk in cross_talk([below, above])} == {"below@v1"}


def test_only_those_that_are_asked_about_are_listened_to(manifest):
    rng = np.random.default_rng(2)
    one, two, three = (part(manifest, name, rng, n=1) for name in "abc")
    talks = {
        talk.reference: [name for name, _ in talk.others]
        for talk in cross_talk([one, two, three], {three.manifest.digest})
    }
    assert talks["a@v1"] == talks["b@v1"] == ["c@v1"]
    assert set(talks["c@v1"]) == {"a@v1", "b@v1"}


def test_keys_of_a_square_weight_are_passed_over_for_nothing_says_how_it_lies(manifest):
    rng = np.random.default_rng(3)
    assert not list(sites_of(part(manifest, "a", rng, shapes=((6, 6), (6, 6)))))
    assert [site.tensor for site in sites_of(part(manifest, "b", rng, shapes=((6, 6), (6, 9))))] == [
        "layers.1.down.weight"
    ]


def test_a_package_that_does_nothing_at_its_key_is_infinitely_disturbed(manifest):
    rng = np.random.default_rng(4)
    one, two = part(manifest, "a", rng, n=1), part(manifest, "b", rng, n=1)
    silent = {tensor: Factors(0 * delta.u, delta.v) for tensor, delta in one.deltas.items()}
    assert next(cross_talk([Part(one.manifest, silent, one.state), two])).loudest == np.inf


# Spaces


def orthonormal(matrix, rank):
    left, _, right = np.linalg.svd(matrix)
    return left[:, :rank], right[:rank].T


def test_overlap_is_that_of_the_spaces_of_the_multiplied_out_changes():
    rng = np.random.default_rng(5)
    u, v = rng.normal(size=(7, 3)), rng.normal(size=(3, 9))
    one = Factors(np.float32(u), np.float32(v))
    doubled = Factors(np.float32(np.hstack([u[:, :2], u[:, :1]])), np.float32(np.vstack([v[:2], v[:1]])))  # of rank 2
    (overlap,) = overlaps({"t": [("a", one), ("b", doubled), ("c", Dense(np.ones((7, 9), np.float32)))]})
    assert (overlap.first, overlap.second, overlap.ranks) == ("a", "b", (3, 2))
    for found, place in (((overlap.columns, overlap.columns_cosine), 0), ((overlap.rows, overlap.rows_cosine), 1)):
        q1, q2 = orthonormal(dense(one), 3)[place], orthonormal(dense(doubled), 2)[place]
        singular = np.linalg.svd(q1.T @ q2, compute_uv=False)
        assert found == pytest.approx((np.square(singular).sum() / 2, singular[0]), abs=1e-5)


def test_changes_that_share_no_direction_do_not_overlap_and_the_same_one_overlaps_wholly():
    eye = np.eye(6, 9, dtype=np.float32)
    first, second = (
        Factors(np.eye(6, dtype=np.float32)[:, :2], eye[:2]),
        Factors(np.eye(6, dtype=np.float32)[:, 2:3], eye[2:3]),
    )
    (apart,) = overlaps({"t": [("a", first), ("b", second)]})
    assert (apart.most, apart.rows_cosine) == (0.0, 0.0)
    (same,) = overlaps({"t": [("a", first), ("b", Factors(first.u * 3, first.v))]})
    assert same.most == pytest.approx(1.0)


def test_columns_are_low_rank_too_and_nothing_has_no_spaces():
    values = np.random.default_rng(6).normal(size=(6, 2)).astype(np.float32)
    found = bases(Columns(np.array([1, 4]), values, (6, 9)))
    assert found is not None
    spanned = np.zeros((9, 2))
    spanned[[1, 4], [0, 1]] = 1
    assert angles(found.rows, spanned) == pytest.approx((1.0, 1.0))
    nothing = bases(Factors(np.zeros((6, 2), np.float32), np.zeros((2, 9), np.float32)))
    assert nothing is not None
    assert nothing.rank == 0
    assert not list(overlaps({"t": [("a", Factors(values, values.T)), ("b", Factors(0 * values, values.T))]}))


# Delta debugging


@given(st.integers(1, 9), st.sets(st.frozensets(st.integers(0, 8), min_size=1, max_size=3), max_size=4))
def test_ddmin_gives_a_part_that_fails_and_of_which_nothing_can_be_left_out(n, causes):
    """All items fail together; so does a part that holds a cause, though none of five: failing need not be monotone."""
    asked = []

    def fails(items):
        part = set(items)
        if part == set(range(n)):
            return True
        return any(cause <= part for cause in causes) and len(part) != 5

    def counted(items):
        asked.append(items)
        return fails(items)

    left = ddmin(range(n), counted)
    assert fails(left)
    assert not any(fails(tuple(item for item in left if item != leaving)) for leaving in left if len(left) > 1)
    assert len(set(asked)) == len(asked)
    assert all(0 < len(items) < n for items in asked)


def test_ddmin_finds_one_suspect_in_about_log_n_tests():
    asked = []
    assert ddmin(range(64), lambda part: asked.append(part) or 37 in part) == (37,)
    assert len(asked) <= 2 * 6
