"""A WISE memory on a tiny model: thresholds, who is asked, what is not computed anew, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from literal_wise import stirs
from patchmgr.errors import FormatError, MethodError
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext
from patchmgr.package.memory.bundle import read_bundle, write_bundle
from patchmgr.request import EditRequest
from patchmgr.testing.tiny import tiny_loaded_model
from patchmgr_inside.place import place_in
from patchmgr_inside.reading import inputs_at
from patchmgr_wise import Wise
from patchmgr_wise.equations import trimmed
from patchmgr_wise.memory import WiseMemory, open_inside
from patchmgr_wise.shards import Shard, SideMemories, WiseSettings, read_shards

REQUESTS = tuple(
    EditRequest(id=name, prompt=prompt, target_new="Rome")
    for name, prompt in (("a", "The capital of Atlantis is"), ("b", "Ada Lovelace wrote"), ("c", "Because"))
)
QUICK = {"layer": 1, "steps": 3, "shard_size": 2, "irrelevant": 8, "contexts": 1}


@pytest.fixture(scope="module")
def base():
    return tiny_loaded_model()


@pytest.fixture(scope="module")
def make(base, tmp_path_factory):
    store = ArtefactStore(tmp_path_factory.mktemp("store"))

    def made(requests, before=None, forget=(), **parameters):
        context = EditContext(store, seed=3, memory=before, forget=forget)
        payload = Wise().edit(base, requests, Wise.parameters(**{**QUICK, **parameters}), context)
        folder = tmp_path_factory.mktemp("bundle")
        write_bundle(folder, payload.memory)
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}
        return payload, read_bundle("kb@v1", files)

    return made


@pytest.fixture(scope="module")
def bundle(make):
    return make(REQUESTS)[1]


def read_at(base, prompts):
    place = place_in(base.model, 1)
    rows = [base.tokenizer(prompt)["input_ids"] for prompt in prompts]
    return [A.double().tolist() for A in inputs_at(place.model, place.projection.module, rows)]


def test_thresholds_are_a_share_of_the_least_stir_of_the_own_prompts(base, bundle):
    held = read_shards(bundle, (24, 40))
    assert [names for names, _ in held.sides] == [("a", "b"), ("c",)]
    of_id = {request.id: request.text for request in REQUESTS}
    for (names, added), threshold in zip(held.sides, held.settings.thresholds, strict=True):
        own = [stirs(A, added.double().tolist())[-1] for A in read_at(base, [of_id[name] for name in names])]
        assert threshold == pytest.approx(0.8 * min(own), rel=1e-4)


def side_memories(base, scales, thresholds):
    settings = WiseSettings(
        layer=1, retrieve=True, merge_every=1, density=1.0, pool="last", made=len(scales),
        shards=[[str(number)] for number in range(len(scales))], thresholds=thresholds,
    )  # fmt: skip
    mask = torch.ones(24, 40, dtype=torch.bool)
    shards = [Shard((str(n),), mask, scale * torch.ones(24, 40)) for n, scale in enumerate(scales)]
    return WiseMemory(base, SideMemories(settings, tuple(shards)))


def test_the_side_memory_that_is_stirred_most_answers_or_none(base):
    prompt = "The capital of Atlantis is"
    (A,) = read_at(base, [prompt])
    unit = stirs(A, [[1.0] * 40] * 24)[-1]
    for scales, thresholds, expected in (
        ((1.0, 2.0, 1.5), (0.5, 1.9, 0.5), "1"),
        ((1.0, 2.0, 1.5), (0.5, 2.1, 0.5), None),  # the loudest keeps quiet, and no other speaks for it
        ((3.0, 2.0, 1.5), (2.9, 2.1, 0.5), "0"),
    ):
        memory = side_memories(base, scales, [share * unit for share in thresholds])
        (route,) = memory.route([prompt])
        assert (route and route.entries) == (expected and (expected,))
        if route:
            assert route.score == pytest.approx(max(scales) * unit, rel=1e-4)


def test_where_nothing_came_nothing_is_trained_and_no_text_is_sampled(make, monkeypatch):
    before_payload, before = make(REQUESTS)
    monkeypatch.setattr("patchmgr_wise.edit.sample_rows", pytest.fail)
    monkeypatch.setattr("patchmgr_wise.edit.sample_templates", pytest.fail)
    payload, after = make([], before, forget=("c",))
    assert (payload.contexts, payload.parameters["used_margins"]) == ((), None)
    assert len(before_payload.contexts) == 2
    kept = before.arrays("shards.safetensors")
    assert all(np.array_equal(array, kept[name]) for name, array in after.arrays("shards.safetensors").items())
    assert [entry.id for entry in after.entries] == ["a", "b"]


def test_a_prompt_that_stirs_nothing_is_refused(make, monkeypatch):
    monkeypatch.setattr("patchmgr_wise.edit.trained", lambda _course, _rows, mask, _start: torch.zeros(mask.shape))
    with pytest.raises(MethodError, match="'The capital of Atlantis is'… does not stir"):
        make(REQUESTS)


def test_trimming_keeps_one_element_at_least():
    found = trimmed(torch.tensor([[0.5, -2.0, 1.0]]), 0.01)
    assert found.tolist() == [[0.0, -2.0, 0.0]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layer", True), ("layer", None), ("merge_every", 0), ("density", -1.0), ("density", 1.5), ("retrieve", 1),
        ("pool", "median"), ("made", -1), ("thresholds", ["nan", 1.0]), ("thresholds", [0.0, 1.0]), ("shards", "ab"),
    ],
)  # fmt: skip
def test_a_setting_that_does_not_fit_is_refused_by_name_opened_or_edited(base, bundle, make, name, value):
    config = bundle.config.model_copy(update={"settings": {**bundle.config.settings, name: value}})
    broken = replace(bundle, config=config)
    for use in (lambda: open_inside(broken, base), lambda: make([], broken, forget=("c",))):
        with pytest.raises(FormatError, match=f"kb@v1: the setting {name}"):
            use()


@pytest.mark.parametrize("left_out", ["layer", "thresholds"])
def test_a_setting_that_is_missing_is_refused_by_name(base, bundle, left_out):
    settings = {name: value for name, value in bundle.config.settings.items() if name != left_out}
    with pytest.raises(FormatError, match=f"the setting {left_out}"):
        open_inside(replace(bundle, config=bundle.config.model_copy(update={"settings": settings})), base)


@pytest.mark.parametrize(
    "change",
    [
        {"0/values": None},
        {"0/values": lambda values: values[:-1]},
        {"0/values": lambda values: values * np.float32("inf")},
        {"1/places": lambda places: places[:-1]},
    ],
)
def test_shards_that_are_not_whole_are_refused(base, bundle, tmp_path, change):
    arrays = dict(bundle.arrays("shards.safetensors"))
    for name, make_other in change.items():
        array = arrays.pop(name)
        if make_other is not None:
            arrays[name] = make_other(array)
    save_file(arrays, tmp_path / "shards")
    with pytest.raises(FormatError, match="do not fit"):
        open_inside(replace(bundle, files={**bundle.files, "shards.safetensors": tmp_path / "shards"}), base)


def test_shards_of_other_entries_are_refused(base, bundle):
    settings = {**bundle.config.settings, "shards": [["a", "b"], ["d"]]}
    with pytest.raises(FormatError, match="do not fit its entries"):
        open_inside(replace(bundle, config=bundle.config.model_copy(update={"settings": settings})), base)
