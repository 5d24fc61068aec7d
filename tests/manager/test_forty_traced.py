"""Bisect and blame name what was planted among eight, or forty, packages of real edits."""

from __future__ import annotations

from math import ceil, log2

import pytest

from forty import Forty, make_forty
from patchmgr.manager.bisect.contract import BisectOrder, Expectation
from patchmgr.manager.manager import Manager


@pytest.fixture(scope="module", params=[8, pytest.param(40, marks=pytest.mark.slow)])
def forty(request, tmp_path_factory) -> Forty:
    """``atlas`` with all of them, ``calm`` with all but the breaker.

    The facts that are spoilt were right before what spoils them came on.
    """
    made = make_forty(tmp_path_factory.mktemp("forty") / "home", request.param)
    first = (made.victim, made.left)
    order = [*first, *(name for name in made.references if name not in first)]
    with Manager.open(made.home) as manager:
        manager.apply("atlas", order, allow_conflicts=True)
        manager.add_model("calm", "demo:atlas")
        manager.apply("calm", [name for name in order if name != made.breaker], allow_conflicts=True)
    return made


@pytest.fixture
def manager(forty):
    with Manager.open(forty.home) as opened:
        yield opened


def test_bisect_names_the_package_that_breaks_the_fact_of_a_neighbour(manager, forty):
    test = Expectation(forty.broken.prompt, forty.broken.target)
    done = manager.bisect("atlas", BisectOrder(test, good=forty.victim))
    assert done.turn is not None
    assert [suspect.manifest.reference for suspect in done.turn.suspects] == [forty.breaker]
    assert done.n_evaluations <= ceil(log2(len(done.line) - 1)) + 1


def test_blame_names_the_package_that_keeps_a_fact_from_being_said(manager, forty):
    found = manager.blame("atlas", forty.broken.prompt, target=forty.broken.target)
    assert not found.now.says_target
    assert found.blamed[0].manifest.reference == forty.breaker


def check_contradiction(manager, forty, model):
    """Both commands name the package that came later and speaks against the one before."""
    left, _ = forty.contradicted
    done = manager.bisect(model, BisectOrder(Expectation(left.prompt, left.target), good=forty.left))
    assert done.turn is not None
    assert [suspect.manifest.reference for suspect in done.turn.suspects] == [forty.right]
    assert done.n_evaluations <= ceil(log2(len(done.line) - 1)) + 1
    first, second = manager.blame(model, left.prompt, exhaustive=True).evidence[:2]
    assert {first.manifest.reference, second.manifest.reference} == {forty.left, forty.right}
    kept = manager.blame(model, left.prompt, target=left.target)
    assert kept.blamed[0].manifest.reference == forty.right


def test_bisect_and_blame_name_the_packages_that_contradict_each_other(manager, forty):
    check_contradiction(manager, forty, "calm")


@pytest.mark.slow
@pytest.mark.parametrize("forty", [40], indirect=True)  # among eight the breaker spoils that fact too
def test_on_the_whole_stack_the_contradiction_is_told_from_the_breaker(manager, forty):
    check_contradiction(manager, forty, "atlas")


def test_blame_names_the_package_of_a_fact_that_is_said_and_tries_few(manager, forty):
    others = [name for name in forty.careful if name != forty.left]
    for reference in others[:12]:
        (edit,) = manager.registry.edits(manager.registry.version(reference).digest)
        found = manager.blame("calm", edit.text)
        assert found.target == edit.target_new
        assert found.blamed[0].manifest.reference == reference
        assert found.blamed[0].edits == (edit,)
        assert len(found.evidence) <= 3
