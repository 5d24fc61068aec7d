"""What ``Manager.diff`` finds between states of models, without torch."""

from __future__ import annotations

import numpy as np
import pytest

from checkpoints import make_checkpoint
from patchmgr.manager.diff.diff import DiffOrder
from patchmgr.package.reader import EditPackage
from patchmgr_registry import ScoreRecord
from versions import DOWN


def test_a_model_by_itself_is_compared_with_the_generation_before(manager):
    found = manager.diff("tiny")
    assert (found.kind, found.a.name, found.b.name) == ("states", "tiny#3", "tiny#4")
    assert [(place.a, place.b) for place in found.stack.places] == [("fixes@v2", "fixes@v3")]
    assert found.stack.n_same == 1
    assert manager.diff("tiny#2").a.name == "tiny#1"


def test_generations_are_named_by_number_or_counted_back(manager):
    found = manager.diff("tiny~2", "tiny~", DiffOrder(("about",)))
    assert (found.a.name, found.b.name) == ("tiny#2", "tiny#3")
    assert manager.diff("tiny~4", "tiny#0").is_empty


def test_states_differ_in_packages_edits_and_tensors(manager):
    found = manager.diff("tiny#1", "tiny#3")
    assert [(place.a, place.b) for place in found.stack.places] == [("fixes@v1", "fixes@v2"), (None, "more@v1")]
    assert [one.b.target_new for one in found.edits.changed] == ["Rome"]
    assert {one.subject for one in found.edits.added} == {"Peru", "Chile"}
    down, other = found.weights
    assert down.b.packages == ("fixes@v2", "more@v1")
    assert (down.a.rank, down.b.rank, other.a) == (1, 3, None)


def test_the_change_between_two_states_is_that_of_the_packages_that_one_alone_has(manager, root):
    found = manager.diff("tiny#2", "tiny#3", DiffOrder(("weights",)))
    (down,) = found.weights
    delta = EditPackage.read(root / "more").deltas(manager.plugins.encodings)[DOWN]
    dense = delta.u.astype(np.float64) @ delta.v.astype(np.float64)
    assert down.distance == pytest.approx(np.linalg.norm(dense))
    assert down.a.packages == ("fixes@v2",)


def test_states_that_came_about_otherwise_and_are_the_same_differ_in_nothing(manager):
    manager.rollback("tiny", 1)
    assert manager.diff("tiny#1", "tiny").is_empty


def test_whatever_was_measured_on_both_states_is_compared(manager):
    roots = [manager.registry.generation("tiny", number).state_root for number in (1, 2)]
    kept = [
        ScoreRecord("reliability", "tf", "after", value, 3, "d" * 64, 0, root)
        for root, value in zip(roots, (0.25, 0.75), strict=True)
    ]
    with manager.registry.begin() as tx:
        tx.add_scores(None, [*kept, ScoreRecord("fluency", "gen", "after", 5.0, 3, "e" * 64, 0, roots[0])])
        tx.commit()
    found = manager.diff("tiny#1", "tiny#2", DiffOrder(("scores",))).scores
    assert [(one.metric, one.data, one.change) for one in found] == [("reliability", "shared", 0.5)]


def test_models_on_two_bases_are_compared_by_their_digests(manager, root):
    make_checkpoint(root / "other", seed=1)
    manager.add_model("other", str(root / "other"))
    found = manager.diff("tiny#0", "other")
    assert [field.name for field in found.fields] == ["base"]
    assert len(found.weights) == 4
    assert all((one.a, one.b, one.distance) == (None, None, None) for one in found.weights)
