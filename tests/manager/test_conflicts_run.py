"""Conflicts that show when the model is asked: planted ones are found on a stack of real edits, by subsets of it."""

from __future__ import annotations

import shutil
from collections import Counter

import numpy as np
import pytest

from checkpoints import make_package
from forty import Forty, make_forty
from patchmgr.base.checkpoint import Checkpoint
from patchmgr.demo.edits import edit_requests
from patchmgr.demo.world import atlas_folder
from patchmgr.errors import ConflictError, UsageError
from patchmgr.manager.conflicts.conflicts import Conflicts, ConflictsOrder
from patchmgr.manager.manager import Manager
from patchmgr.manager.states import find_manifests, read_state
from patchmgr.manager.subsets import open_subsets
from patchmgr.metrics.equations import starts_with_target
from patchmgr.package.encodings.xor import xor_between
from patchmgr.package.reader import EditPackage


@pytest.fixture(scope="module")
def eight(tmp_path_factory) -> Forty:
    """The small share of the stack of forty, made once; nothing is applied."""
    return make_forty(tmp_path_factory.mktemp("eight") / "home", 8)


@pytest.fixture(scope="module")
def registry(eight):
    with Manager.open(eight.home) as manager:
        yield manager


@pytest.fixture(scope="module")
def found(registry, eight) -> Conflicts:
    return registry.conflicts(eight.references, ConflictsOrder(run=True, most=100))


def named(found: Conflicts, reference: str, prompt: str):
    return next(one for one in found.executed.worse if (one.reference, one.prompt) == (reference, prompt))


# What was planted


def check_planted(found: Conflicts, planted: Forty) -> None:
    """The contradiction, and the breaker behind the broken fact, in what is stored and in what was asked."""
    (fact,) = found.contradictions
    assert {claim.reference for claim in fact.claims} == {planted.left, planted.right}
    loud = Counter(name for one in found.warned for name, _ in one.loud(found.threshold))
    assert loud.most_common(1)[0][0] == planted.breaker
    broken = named(found, planted.victim, planted.broken.prompt)
    assert broken.lost
    assert broken.scores["exact_match"] == (1.0, 0.0)
    assert broken.culprits == (planted.breaker,)


def test_conflicts_name_the_contradiction_and_the_breaker(found, eight):
    check_planted(found, eight)


def test_of_two_that_contradict_each_other_the_one_that_lost_is_named_with_the_other(found, eight):
    lost = [
        (one.reference, one.culprits)
        for one in found.executed.worse
        if one.lost and one.reference in (eight.left, eight.right)
    ]
    assert lost
    assert all(len({reference, *culprits} & {eight.left, eight.right}) == 2 for reference, culprits in lost)


def test_careful_packages_leave_each_other_alone(registry, eight):
    found = registry.conflicts(eight.careful, ConflictsOrder(run=True))
    assert not [one for one in found.executed.worse if one.lost]
    assert found.n_real == 0
    assert eight.breaker not in found.packages


def test_every_minimal_set_fails_and_none_of_it_can_be_left_out(found, registry, eight):
    """Asked anew, of states that were made in another order."""
    manifests = find_manifests(registry, eight.references)
    place = {manifest.reference: i for i, manifest in enumerate(manifests)}
    with open_subsets(registry, "atlas", manifests) as subsets:
        for one in found.executed.worse:
            if "exact_match" not in one.scores:
                continue

            def wrong(references, one=one):
                which = frozenset(place[name] for name in (one.reference, *references))
                return not starts_with_target(subsets.answers([one.prompt], which)[0], one.target)

            assert wrong(one.culprits)
            for leaving in one.culprits:
                assert not wrong([name for name in one.culprits if name != leaving])


def test_only_what_was_asked_for_is_explained(registry, eight):
    found = registry.conflicts(eight.references, ConflictsOrder(run=True, most=1))
    explained = [one.culprits is not None for one in found.executed.worse]
    assert explained == [True] + [False] * (len(explained) - 1)
    assert found.executed.worse[0].is_edit


def test_pairs_name_the_breaker_with_its_victim_and_the_two_that_contradict(registry, eight):
    chosen = (eight.breaker, eight.victim, eight.left, eight.right)
    found = registry.conflicts(chosen, ConflictsOrder(pairs=True))
    assert found.executed.worse == ()
    lost = {
        frozenset((pair.first, pair.second)) for pair in found.executed.pairs if any(one.lost for one in pair.worse)
    }
    assert {frozenset((eight.breaker, eight.victim)), frozenset((eight.left, eight.right))} <= lost


@pytest.fixture
def applied(eight, home) -> Manager:
    """A home of this test's own with the careful packages on atlas."""
    shutil.copytree(eight.home, home, dirs_exist_ok=True, symlinks=True)
    with Manager.open(home) as manager:
        manager.apply("atlas", eight.careful)
        yield manager


def test_adding_is_held_against_the_stack_as_it_is(applied, eight):
    found = applied.conflicts(["atlas", eight.breaker], ConflictsOrder(run=True))
    assert found.added == (eight.breaker,)
    broken = named(found, eight.victim, eight.broken.prompt)
    assert broken.culprits == (eight.breaker,)
    assert {one.culprits for one in found.executed.worse if one.reference != eight.breaker} == {(eight.breaker,)}
    assert not found.contradictions


def test_what_a_package_was_computed_on_is_there_although_it_was_not_named(applied, eight):
    (request,) = edit_requests(1, seed=99)
    quick = {"statistics": "identity", "context_count": 0, "steps": 30, "learning_rate": 1.0}
    above = applied.model("atlas").edit("above", [request], **quick).version
    assert len(above.parent_packages) == len(eight.careful)
    found = applied.conflicts(["above", eight.careful[0]], ConflictsOrder(run=True))
    assert [one for one in found.executed.worse if one.reference == "above@v1"] == []
    assert {one.talk.reference for one in found.warned} <= {eight.careful[0]}


# Subsets


def test_a_subset_is_the_state_that_applying_it_gives(applied, registry, eight):
    stack = read_state(applied, "atlas").stack
    chosen = frozenset({0, 2, 3})
    with open_subsets(applied, "atlas", stack) as subsets:
        assert subsets.state(subsets.everything).root == applied.status("atlas")[0].state_root
        one = subsets.answers([eight.broken.prompt], chosen)
        root = subsets.state(chosen).root
        assert subsets.state(frozenset()).root == applied.registry.generation("atlas", 0).state_root
    applied.revert("atlas", [manifest.reference for i, manifest in enumerate(stack) if i not in chosen])
    assert applied.status("atlas")[0].state_root == root
    assert applied.generate("atlas", eight.broken.prompt).text.startswith(one[0].rstrip())


def test_what_a_subset_says_does_not_depend_on_what_was_asked_before(registry, eight):
    manifests = find_manifests(registry, eight.references)
    victim, breaker, left, right = map(eight.references.index, (eight.victim, eight.breaker, eight.left, eight.right))
    subsets_of = list(map(frozenset, ([], [victim], [victim, breaker], [left], [left, right], range(8))))
    prompts = [eight.broken.prompt, eight.contradicted[0].prompt]
    with open_subsets(registry, "atlas", manifests) as subsets:
        forwards = [subsets.answers(prompts, which) for which in subsets_of]
        assert subsets.n_evaluations == len(subsets_of)
        assert [subsets.answers(prompts, which) for which in subsets_of] == forwards
        assert subsets.n_evaluations == len(subsets_of)  # what is known is not asked again
    with open_subsets(registry, "atlas", manifests) as subsets:
        backwards = [subsets.answers(prompts, which) for which in reversed(subsets_of)]
    assert backwards[::-1] == forwards
    assert len({tuple(said) for said in forwards}) > 3


def test_a_place_without_a_package_is_refused(registry, eight):
    few = find_manifests(registry, eight.references[:2])
    with (
        open_subsets(registry, "atlas", few) as subsets,
        pytest.raises(UsageError, match="2 packages, and no number 7"),
    ):
        subsets.answers(["Hello"], frozenset({1, 7}))


def test_a_memory_in_a_subset_answers_and_one_that_is_left_out_does_not(applied, eight):
    """As trying it on top of the model does."""
    edit = {"prompt": eight.broken.prompt, "target_new": "Kabul", "id": "other"}
    applied.model("atlas").edit("remembered", [edit], method="retrieve-and-prepend", on="base")
    stack = (*read_state(applied, "atlas").stack, *find_manifests(applied, ["remembered"]))
    with open_subsets(applied, "atlas", stack) as subsets:
        (with_it,) = subsets.answers([eight.broken.prompt], subsets.everything)
        (without,) = subsets.answers([eight.broken.prompt], subsets.everything - {len(stack) - 1})
        root = subsets.state(subsets.everything).root
    assert with_it != without
    tried = applied.generate("atlas", eight.broken.prompt, references=["remembered"])
    assert with_it.strip() == tried.text.strip()
    assert applied.apply("atlas", ["remembered"], allow_conflicts=True).state_root == root


def test_two_that_replace_one_tensor_are_tried_one_at_a_time(registry, tmp_path):
    base, name = shutil.copytree(atlas_folder(), tmp_path / "atlas"), "transformer.h.1.mlp.c_proj.weight"
    before = np.frombuffer(Checkpoint.read(base).read_bytes(name), np.uint8)
    packages = []
    for place in range(2):
        after = before.copy()
        after[place] ^= 1
        make_package(tmp_path / str(place), base, name=f"p{place}", deltas={name: xor_between(before, after, "BF16")})
        packages.append(EditPackage.read(tmp_path / str(place)))
    opened = {package.manifest.digest: package for package in packages}
    with open_subsets(registry, "atlas", [one.manifest for one in packages], opened=opened) as subsets:
        roots = {subsets.state(frozenset(which)).root for which in ((), (0,), (1,))}
        with pytest.raises(ConflictError, match="p1@v1 replaces"):
            subsets.answers(["Hello"], subsets.everything)
        assert subsets.state(frozenset({0})).root in roots  # and goes on
    assert len(roots) == 3


# Forty


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_forty_packages_with_three_planted_ones(tmp_path):
    forty = make_forty(tmp_path / "home", 40)
    assert len(forty.references) == 40
    with Manager.open(forty.home) as manager:
        with pytest.raises(ConflictError, match="one fact, two answers"):
            manager.apply("atlas", forty.references)
        manager.apply("atlas", forty.references, allow_conflicts=True)
        found = manager.conflicts(["atlas"], ConflictsOrder(run=True))
    check_planted(found, forty)
    assert found.executed.n_evaluations < 40 * 40
