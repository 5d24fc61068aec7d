"""Packages of real methods, one on the other: what is taken out of the middle leaves no trace, and who needs whom."""

from __future__ import annotations

import pytest

from checkpoints import file_digests
from patchmgr.errors import ConflictError
from patchmgr.manager.manager import Manager
from tiny_models import tiny_model, tiny_tokenizer

VALUES = {"statistics": "identity", "steps": 3, "context_count": 1, "weight_decay": 1e-3}
METHODS = {
    "rome": {**VALUES, "layer": 0},
    "memit": {**VALUES, "layers": "0-1"},
    "ft-m": {"steps": 3},
    "r-rome": {**VALUES, "layer": 0},
}
PLACES = {"rome": "France", "memit": "Spain", "ft-m": "Atlantis", "r-rome": "Italy"}


def fact(method):
    return [{"prompt": "The capital of {} is", "subject": PLACES[method], "target_new": "Rome"}]


@pytest.fixture
def manager(home, tmp_path):
    tiny_model("llama").save_pretrained(tmp_path / "base", max_shard_size="20KB")
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    with Manager.open() as manager:
        manager.add_model("tiny", str(tmp_path / "base"))
        manager.add_model("never", str(tmp_path / "base"))
        yield manager


@pytest.fixture
def parallel(manager):
    """A package of each method, each computed on the base."""
    for method, settings in METHODS.items():
        manager.model("tiny").edit(method, fact(method), method=method, on="base", **settings)
    return manager


@pytest.mark.parametrize("gone", METHODS)
def test_reverting_any_of_a_stack_of_methods_gives_the_bytes_of_a_stack_that_never_had_it(parallel, gone):
    tiny, never = parallel.model("tiny"), parallel.model("never")
    tiny.apply(*METHODS)
    whole = file_digests(tiny.path)
    tiny.revert(gone)
    never.apply(*(method for method in reversed(METHODS) if method != gone))
    assert file_digests(tiny.path) == file_digests(never.path) != whole


def test_packages_in_sequence_are_computed_on_one_another_and_leave_from_the_top(manager):
    tiny = manager.model("tiny")
    folders = [file_digests(tiny.path)]
    for method, settings in METHODS.items():
        tiny.edit(method, fact(method), method=method, **settings)
        tiny.apply(method)
        folders.append(file_digests(tiny.path))
        n_below = len(manager.show(method).manifest.parent.packages)
        assert n_below == len(folders) - 2
    for needed in ("rome", "memit", "ft-m"):
        with pytest.raises(ConflictError, match="was computed on what would be taken out"):
            tiny.revert(needed)
    with pytest.raises(ConflictError, match="memit@v1 was computed on 1 package"):
        manager.model("never").apply("memit")
    for method, before in zip(reversed(METHODS), reversed(folders[:-1]), strict=True):
        tiny.revert(method)
        assert file_digests(tiny.path) == before


def test_the_scores_before_a_later_edit_are_those_after_the_earlier_one(manager):
    tiny = manager.model("tiny")
    found = {}
    for name in ("first", "second"):
        tiny.edit(name, fact("rome"), method="rome", **{**METHODS["rome"], "steps": 20, "learning_rate": 0.1})
        tiny.apply(name)
        scores = manager.registry.scores(manager.registry.version(name).digest)
        found |= {(name, phase): {s.metric: s.value for s in scores if s.phase == phase and s.protocol != "run"}
                  for phase in ("before", "after")}  # fmt: skip
    assert manager.show("second").manifest.parent.packages == (manager.registry.version("first").digest,)
    earlier = found["first", "after"]
    assert {name: earlier[name] for name in found["second", "before"]} == found["second", "before"] != {}
