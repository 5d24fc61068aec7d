"""Covariances made ahead are those that an edit looks for, of the layers that it edits."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from patchmgr.errors import BaseMismatchError, FormatError, IntegrityError, MethodError, UsageError
from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel, PristineBase, StatisticsOrder
from patchmgr.methods.shared import SharedBase, write_shared
from patchmgr_keyvalue import Covariance
from patchmgr_keyvalue.statistics import second_moments
from patchmgr_memit import Memit
from patchmgr_rome import Rome
from tiny_models import tiny_model, tiny_tokenizer

ROOT, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def loaded():
    return LoadedModel(tiny_model("gpt2"), tiny_tokenizer(), ROOT)


@pytest.fixture
def context(tmp_path):
    return EditContext(ArtefactStore(tmp_path / "artefacts"))


def order(method=None, **fields):
    given = fields.pop("parameters", {})
    return StatisticsOrder(
        method=method, parameters=None if method is None else method.parameters(**given), **{"tokens": 200, **fields}
    )


def layers(entries):
    return [int(entry.key["tensor"].split(".")[2]) for entry in entries]


def moments(loaded, context, layer=1, n_tokens=200, seed=0):
    projection = find_architecture(loaded.model).down_projection(layer)
    return second_moments(loaded, [projection], context, n_tokens=n_tokens, seed=seed)


def no_forward(loaded):
    loaded.model.forward = None  # a forward pass would fail


def test_an_edit_finds_what_was_made_ahead(loaded, context):
    (entry,) = Covariance().compute(loaded, order(layers=(1,)), context)
    no_forward(loaded)
    (moment,) = moments(loaded, context)
    assert (moment.sha256, moment.key) == (entry.sha256, entry.key)
    assert {"tokens", "d_in", "difference", "cosine", "agreement"} == set(entry.notes)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (order(), [0]),
        (order(layers="all"), [0, 1, 2]),
        (order(layers=(2, 1)), [1, 2]),
        (order(Rome()), [0]),
        (order(Rome(), parameters={"layer": 2}), [2]),
        (order(Memit(), parameters={"layers": "1-2"}), [1, 2]),
        (order(Memit(), parameters={"layers": "1-2"}, layers=(0,)), [0]),
    ],
)
def test_layers_are_those_of_the_order_of_the_method_or_the_usual_ones(loaded, context, asked, expected):
    assert layers(Covariance().compute(loaded, asked, context)) == expected


def test_tokens_and_seed_are_those_of_the_order_else_of_the_method(loaded, context):
    parameters = {"layer": 1, "statistics_tokens": 70, "statistics_seed": 4}
    (entry,) = Covariance().compute(loaded, order(Rome(), parameters=parameters, tokens=None), context)
    assert (entry.key["tokens"], entry.key["source"]) == (70, {"samples": 4})
    (entry,) = Covariance().compute(loaded, order(Rome(), parameters=parameters, seed=5), context)
    assert (entry.key["tokens"], entry.key["source"]) == (200, {"samples": 5})


def test_what_is_there_is_not_made_again_but_measured_where_it_was_not(loaded, context):
    (moment,) = moments(loaded, context)
    (measured,) = Covariance().compute(loaded, order(layers=(1,)), context)
    assert measured.sha256 == moment.sha256
    assert "agreement" in measured.notes
    no_forward(loaded)
    assert Covariance().compute(loaded, order(layers=(1,)), context) == (measured,)


def test_a_smaller_sample_that_is_good_enough_is_found_again(loaded, context):
    asked = order(layers=(0, 1), tokens=100_000, until=0.05)
    first = Covariance().compute(loaded, asked, context)
    assert first[0].key["tokens"] < 100_000
    no_forward(loaded)
    assert Covariance().compute(loaded, asked, context) == first
    with pytest.raises(TypeError):  # too small a sample for this
        Covariance().compute(loaded, dataclasses.replace(asked, until=0.999999), context)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (order(until=1.0), UsageError, "until is 1.0"),
        (order(layers=()), UsageError, "there is no layer"),
        (order(layers=(3,)), MethodError, "layer 3 is out of range"),
        (order(Rome(), parameters={"statistics": "identity"}), MethodError, "statistics=identity reads none"),
    ],
)
def test_what_cannot_be_is_refused(loaded, context, asked, error, message):
    with pytest.raises(error, match=message):
        Covariance().compute(loaded, asked, context)


def test_a_method_that_reads_no_covariance_is_refused(loaded, context):
    method = Rome()
    method.needs = frozenset({"subject"})
    with pytest.raises(MethodError, match="rome reads no covariance"):
        Covariance().compute(loaded, order(method), context)


# The base under an edited state


def edited(loaded):
    model = tiny_model("gpt2")
    with torch.no_grad():
        model.transformer.h[0].mlp.c_proj.weight.add_(0.3)
    return LoadedModel(model, loaded.tokenizer, OTHER)


def test_the_moment_is_that_of_the_base_whatever_is_applied(loaded, context):
    (on_base,) = moments(loaded, EditContext(ArtefactStore(context.artefacts.folder / "base")))
    loads = []

    def load():
        loads.append(1)
        return loaded

    context = dataclasses.replace(context, base=PristineBase(ROOT, load))
    (first,), (again,) = (moments(edited(loaded), context) for _ in range(2))
    assert loads == [1]
    assert first.sha256 == again.sha256 == on_base.sha256
    assert first.key["state_root"] == ROOT
    (of_state,) = moments(edited(loaded), dataclasses.replace(context, base=None))
    assert of_state.sha256 != on_base.sha256


def test_the_base_is_not_loaded_twice_where_nothing_is_applied(loaded, context):
    def load():
        raise AssertionError

    (moment,) = moments(loaded, dataclasses.replace(context, base=PristineBase(ROOT, load)))
    assert moment.key["state_root"] == ROOT


# Statistics of others


@pytest.fixture
def folder(loaded, tmp_path):
    store = ArtefactStore(tmp_path / "theirs")
    Covariance().compute(loaded, order(layers=(0, 1)), EditContext(store))
    base = SharedBase(source="tiny", revision=None, fingerprint="c" * 64)
    write_shared(tmp_path / "shared", base, ROOT, store.entries())
    return tmp_path / "shared"


def test_a_folder_of_statistics_stands_in_for_the_text(loaded, context, folder):
    no_forward(loaded)
    context = dataclasses.replace(context, corpus=folder)
    (moment,) = moments(loaded, context, n_tokens=7)
    assert moment.key["tokens"] == 200
    for path in folder.glob("*.safetensors"):
        path.unlink()
    (again,) = moments(loaded, context, n_tokens=7)  # it was kept
    assert again.sha256 == moment.sha256


def test_a_folder_of_another_base_without_the_layer_or_damaged_is_refused(loaded, context, folder):
    context = dataclasses.replace(context, corpus=folder)
    with pytest.raises(
        BaseMismatchError, match=r"statistics are of tiny \(state aaaaaaaaaaaa…\), the base here is bbbb"
    ):
        moments(dataclasses.replace(loaded, state_root=OTHER), context)
    with pytest.raises(MethodError, match=r"has 0 covariances of transformer\.h\.2\.mlp\.c_proj\.weight in float32"):
        moments(loaded, context, layer=2)
    for path in folder.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="is damaged"):
        moments(loaded, context)


def test_an_artefact_of_another_shape_is_refused(loaded, context):
    (moment,) = moments(loaded, context)
    context.artefacts.put("covariance", moment.key, {"moment": moment.matrix[:3].numpy()})
    with pytest.raises(FormatError, match="is no covariance of transformer"):
        moments(loaded, context)
