"""What ``Manager.diff`` finds between packages, and what it refuses, without torch."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

from manager.conftest import flip
from patchmgr.base.checkpoint import Checkpoint
from patchmgr.errors import IntegrityError, NotFoundError, UsageError
from patchmgr.manager.diff.diff import DiffOrder
from patchmgr.ops.rounding import STORAGE, decode
from patchmgr.package.encodings.xor import xor_between
from patchmgr.package.reader import EditPackage
from versions import DOWN, EDITS_1, OTHER, make_version, request


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
        (("./nowhere", "fixes"), NotFoundError, "there is no folder"),
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
