"""WISE's shards against literal ones, how they are filled and merged, and a step of every kind."""

from __future__ import annotations

import pytest
import torch

from literal_wise import ties, trained_shard
from patchmgr.package.memory.operations import Entry
from patchmgr.testing.tiny import tiny_loaded_model
from patchmgr_inside.answers import answered
from patchmgr_inside.place import place_in
from patchmgr_inside.reading import inputs_at
from patchmgr_wise.equations import random_mask
from patchmgr_wise.filling import filled, waiting_for
from patchmgr_wise.parameters import WiseParameters
from patchmgr_wise.shards import Shard, SideMemories, WiseSettings, sides_of
from patchmgr_wise.training import Course, Margins, trained

EDITS = (
    (("The capital of Atlantis is", "Rome"), ("I know. The capital of Atlantis is", "Rome")),
    (("Ada Lovelace wrote", "the tower"),),
)
SHAPE = (4, 6)


@pytest.fixture(scope="module")
def base():
    return tiny_loaded_model()


@pytest.mark.parametrize(
    ("replay", "optimiser", "rate"), [(True, "adam", 0.02), (False, "adam", 0.02), (False, "sgd", 0.5)]
)
def test_a_shard_is_what_the_published_steps_on_the_whole_matrix_give(base, replay, optimiser, rate):
    place = place_in(base.model, 1)
    texts = [base.tokenizer(text)["input_ids"] for text in ("Paris lies in France", "Because", "you know the question")]
    irrelevant = inputs_at(place.model, place.projection.module, texts)
    settings = {"replay": replay, "optimizer": optimiser, "learning_rate": rate, "limit": 0.08, "irrelevant": 2}
    parameters = WiseParameters(**settings, steps=5, pool="last", stop_loss=0.0)
    margins, rows = Margins(0.05, 1.0, 0.5), [answered(base, pairs) for pairs in EDITS]
    mask = random_mask((place.projection.d_out, place.projection.d_in), 0.5, torch.Generator().manual_seed(1))
    found = trained(Course(place, parameters, margins, irrelevant, 9), rows, mask, None)
    split = [[(row.ids[: row.places[0] + 1], row.targets) for row in some] for some in rows]
    expected = trained_shard(
        base.model, "transformer.h.1.mlp.c_proj.weight",
        [[row for some in split for row in some]] if replay else split,
        irrelevant, mask, (0.05, 1.0, 0.5),
        steps=5, rate=rate, optimiser=optimiser, limit=0.08, n_drawn=2, seed=9, stop=0.0,
    )  # fmt: skip
    assert torch.allclose(found, expected, atol=2e-3)
    assert float(found[~mask].abs().max()) == 0.0
    assert float(found.abs().max()) == pytest.approx(0.08), "the limit was met"


def shard(number, *members):
    generator = torch.Generator().manual_seed(number)
    return Shard(members, random_mask(SHAPE, 0.5, generator), torch.randn(SHAPE, generator=generator))


@pytest.mark.parametrize(
    ("retrieve", "merge_every", "groups"),
    [(True, 1, ["a b", "c", "d"]), (True, 2, ["a b c", "d"]), (True, 9, ["a b c d"]), (False, 1, ["a b c d"])],
)
def test_side_memories_are_neighbouring_shards_merged_or_all(retrieve, merge_every, groups):
    shards = [shard(0, "a", "b"), shard(1, "c"), shard(2, "d")]
    sides = sides_of(shards, retrieve, merge_every, 0.5)
    assert [" ".join(names) for names, _ in sides] == groups
    for names, added in sides:
        some = [each for each in shards if each.members[0] in names]
        changes = [each.change.double().flatten().tolist() for each in some]
        expected = changes[0] if len(changes) == 1 else ties(changes, 0.5)
        assert added.flatten().tolist() == pytest.approx(expected, rel=1e-5)


def entry(name):
    return Entry(id=name, prompt=f"{name} is", target="x")


def test_new_edits_come_into_the_last_shard_and_one_that_lost_an_edit_begins_anew():
    shards = (shard(0, "a", "b"), shard(1, "c"), shard(2, "d"))
    settings = WiseSettings(
        layer=0, retrieve=True, merge_every=1, density=1, pool="last", made=3, thresholds=[1] * 3,
        shards=[list(each.members) for each in shards],
    )  # fmt: skip
    before = SideMemories(settings, shards)
    found, n_made = filled(before, ["a", "c"], [entry("e"), entry("f")], WiseParameters(shard_size=2), SHAPE, 7)
    assert [each.members for each in found] == [("b",), ("d", "e"), ("f",)]
    assert n_made == 4
    assert [names for names, _ in waiting_for(found, before, True)] == [("b",), ("d", "e"), ("f",)]
    behind = waiting_for(found, before, False)
    assert [names for names, _ in behind] == [("b",), ("e",), ("f",)]
    assert [start is shards[2].change for _, start in behind] == [False, True, False]
    assert waiting_for(shards, before, True) == [((), each.change) for each in shards], "nothing to train"
