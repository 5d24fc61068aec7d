"""What ``Manager.diff`` finds between packages and between states, without torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from checkpoints import make_checkpoint
from manager.conftest import flip
from patchmgr.base.checkpoint import Checkpoint
from patchmgr.errors import IntegrityError, NotFoundError, UsageError
from patchmgr.manager.diff.diff import DiffOrder
from patchmgr.manager.manager import Manager
from patchmgr.ops.rounding import STORAGE, decode
from patchmgr.package.encodings.xor import xor_between
from patchmgr.package.reader import EditPackage
from patchmgr_registry import ScoreRecord
from versions import DOWN, EDITS_1, OTHER, make_home, make_version, request


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    root = make_home(tmp_path_factory.mktemp("diff") / "root")
    return root.rename(root.with_name("prepared"))


@pytest.fixture
def root(prepared, monkeypatch):
    """A copy at the place that the registry has noted."""
    root = prepared.with_name("root")
    subprocess.run(["cp", "-a", str(prepared), str(root)], check=True)
    monkeypatch.setenv("PATCHMGR_HOME", str(root / "home"))
    yield root
    shutil.rmtree(root)


@pytest.fixture
def manager(root):
    with Manager.open() as manager:
        yield manager


# Packages


def test_two_versions_differ_in_what_was_done_otherwise(manager):
    found = manager.diff("fixes@v1", "fixes@v2")
    assert {field.name: (field.a, field.b) for field in found.fields} == {
        "message": ("random", "moved on"),
        "parameters.value.steps": (20, 30),
        "seed": (0, 7),
    }
    assert [(one.a.target_new, one.b.target_new) for one in found.edits.changed] == [("Paris", "Rome")]
    assert [one.subject for one in found.edits.removed] == ["Spain"]
    assert [one.subject for one in found.edits.added] == ["Peru"]
    assert [(one.metric, one.change) for one in found.scores] == [("reliability", 0.5)]
    assert found.scores[0].a.low == pytest.approx(0.4)
    down, other = found.weights
    assert (down.name, down.a.rank, down.b.rank) == (DOWN, 1, 2)
    assert (other.name, other.a, other.distance) == (OTHER, None, pytest.approx(other.b.norm))


def test_norms_are_those_of_the_dense_deltas_and_of_the_base(manager, root):
    (down, _) = manager.diff("fixes@v1", "fixes@v2", DiffOrder(("weights",))).weights
    dense = []
    for reference in ("v1", "v2"):
        delta = EditPackage.read(root / reference).deltas(manager.plugins.encodings)[DOWN]
        dense.append(delta.u.astype(np.float64) @ delta.v.astype(np.float64))
    weight = decode(np.frombuffer(Checkpoint.read(root / "base").read_bytes(DOWN), STORAGE["BF16"]), "BF16")
    assert down.a.norm == pytest.approx(np.linalg.norm(dense[0]))
    assert down.b.ratio == pytest.approx(np.linalg.norm(dense[1]) / np.linalg.norm(weight))
    assert down.distance == pytest.approx(np.linalg.norm(dense[1] - dense[0]))
    cosine = np.sum(dense[0] * dense[1]) / np.linalg.norm(dense[0]) / np.linalg.norm(dense[1])
    assert down.cosine == pytest.approx(cosine)


def test_a_version_by_itself_is_compared_with_its_parent_and_the_first_with_nothing(manager):
    newest = manager.diff("fixes")
    assert (newest.a.name, newest.b.name) == ("fixes@v2", "fixes@v3")
    first = manager.diff("fixes@v1")
    assert (first.a.name, first.a.digest, first.fields) == ("nothing", None, ())
    assert [one.subject for one in first.edits.added] == ["France", "Spain", "Italy"]
    assert [one.name for one in first.weights] == [DOWN]
    assert {one.metric for one in first.scores} == {"reliability", "locality"}


def test_versions_that_say_and_do_the_same_differ_in_nothing_whatever_their_number_and_time(manager):
    assert manager.diff("fixes@v1", "fixes@v3").is_empty
    assert not manager.diff("fixes@v1", "fixes@v2").is_empty


def test_only_the_parts_that_were_asked_for_are_there(manager):
    found = manager.diff("fixes@v1", "fixes@v2", DiffOrder(("edits",)))
    assert found.edits is not None
    assert (found.fields, found.weights, found.scores, found.answers, found.stack) == (None,) * 5


def test_a_package_in_a_folder_is_compared_where_it_lies(manager, root):
    found = manager.diff(str(root / "v1"), "fixes@v2")
    assert (found.a.name, len(found.weights)) == ("fixes@v1", 2)
    other = make_version(root / "loose", root / "base", (request("Togo", "Lome"),), name="loose")
    found = manager.diff("fixes@v1", str(root / "loose"))
    assert found.b.digest == other.digest
    assert manager.diff(str(root / "loose")).a.name == "nothing"


def test_memories_differ_in_entries_and_settings_and_touch_no_weight(manager):
    found = manager.diff("kb")
    assert {field.name: (field.a, field.b) for field in found.fields} == {"memory.settings.threshold": (0.5, 0.7)}
    entries = [(one.a and one.a.target, one.b and one.b.target) for one in found.edits.entries]
    assert entries == [("Paris", "Rome"), ("Oslo", None)]
    assert found.weights == ()


def test_a_memory_and_weights_are_compared_too(manager):
    found = manager.diff("kb@v1", "fixes@v1")
    assert ("kind", "memory", "weights") in [(field.name, field.a, field.b) for field in found.fields]
    assert [(one.name, one.a) for one in found.weights] == [(DOWN, None)]


def test_without_the_base_everything_is_compared_that_needs_none(manager, root):
    shutil.rmtree(root / "base")
    down, other = manager.diff("fixes@v1", "fixes@v2").weights
    assert (down.a.ratio, other.b.ratio) == (None, None)
    assert down.distance is not None
    assert down.cosine is not None


def test_a_base_that_was_changed_is_named(manager, root):
    file, entry = Checkpoint.read(root / "base").entry(OTHER)
    flip(root / "base" / file, entry.start)
    with pytest.raises(IntegrityError, match=f"'{OTHER}' has digest"):
        manager.diff("fixes@v1", "fixes@v2")


def test_replaced_bytes_are_measured_against_the_base(manager, root):
    stored = np.frombuffer(Checkpoint.read(root / "base").read_bytes(DOWN), np.uint8)
    after = stored.copy()
    after[1] ^= 0x80  # the sign of the first element
    make_version(
        root / "xor", root / "base", EDITS_1, deltas={DOWN: xor_between(stored, after, "BF16")}, name="replaced"
    )
    (found,) = manager.diff(str(root / "xor")).weights
    first = abs(float(decode(stored[:2].view(np.uint16), "BF16")[0]))
    assert (found.b.norm, found.b.rank) == (pytest.approx(2 * first), None)
    shutil.rmtree(root / "base")
    (found,) = manager.diff(str(root / "xor")).weights
    assert (found.b.norm, found.distance) == (None, None)


# States


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


# What is refused


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        (("tiny", "fixes"), UsageError, "'fixes' is a package and 'tiny' the state of a model"),
        (("tiny#0",), NotFoundError, "nothing before generation 0 of tiny"),
        (("tiny~9",), NotFoundError, "nothing before generation 0 of tiny"),
        (("tiny#9",), NotFoundError, "no generation 9"),
        (("nobody#1",), NotFoundError, "no model 'nobody'"),
        (("nothing-here",), NotFoundError, "nothing-here"),
        (("fixes@v1", "fixes@v9"), NotFoundError, "no version fixes@v9"),
        (("./nowhere", "fixes"), NotFoundError, "not an edit package"),
    ],
)
def test_what_cannot_be_compared_says_why(manager, names, error, words):
    with pytest.raises(error, match=words):
        manager.diff(*names)


def test_a_name_of_both_kinds_is_told_how_to_mean_the_package(manager, root):
    manager.add_model("fixes", str(root / "base"))
    with pytest.raises(UsageError) as caught:
        manager.diff("fixes", "kb")
    assert "fixes@latest" in caught.value.hint
    assert manager.diff("fixes@latest", "fixes@v3").is_empty


def test_nothing_but_the_answers_needs_torch(root):
    script = "import sys; from patchmgr.manager.manager import Manager\n"
    script += "manager = Manager.open(); manager.diff('fixes'); manager.diff('tiny')\n"
    script += "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
