"""A GRACE memory on a tiny model: who joins a ball is claimed however read, and what is malformed is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from patchmgr.errors import FormatError
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext
from patchmgr.methods.tokens import encode_all
from patchmgr.package.memory.bundle import read_bundle, write_bundle
from patchmgr.request import EditRequest
from patchmgr.testing.method_case import memory_of
from patchmgr.testing.tiny import tiny_loaded_model
from patchmgr_grace import Grace
from patchmgr_grace.memory import open_inside
from patchmgr_inside.place import place_in
from patchmgr_inside.reading import ends_of

PLACES = ("Atlantis", "Paris", "France", "Italy", "the sea")
QUICK = {"layer": 1, "steps": 1, "start": "cold"}


@pytest.fixture(scope="module")
def base():
    return tiny_loaded_model()


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return EditContext(ArtefactStore(tmp_path_factory.mktemp("store")), seed=3)


def edited(base, context, requests, **parameters):
    return Grace().edit(base, requests, Grace.parameters(**{**QUICK, **parameters}), context).memory


def asked(name, prompt, target="Rome"):
    return EditRequest(id=name, prompt=prompt, target_new=target)


@pytest.mark.parametrize("wordings", [("Because {}", "{} and Rome"), ("{} has the capital", "In {} the tower is")])
def test_who_joins_a_ball_lies_within_however_it_is_read(base, context, wordings):
    place, lost = place_in(base.model, 1), []
    for name in PLACES:
        first, second = (wording.format(name) for wording in wordings)
        keys = ends_of(place.model, place.entry, encode_all(base.tokenizer, [first, second])).double()
        radius = 0.7 * float((keys[0] - keys[1]).norm())
        draft = edited(base, context, [asked("a", first), asked("b", second)], radius=radius)
        memory = memory_of(draft, base)
        batches = ([second], [second] * 7, [first, "you know where the question was", second])
        lost += [(batch, name) for batch in batches if memory.route(batch)[-1] is None]
    assert not lost


@pytest.fixture(scope="module")
def bundle(base, context, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder, edited(base, context, [asked("a", "Because"), asked("b", "you know")], radius=1e-3))
    return read_bundle("kb@v1", {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")})


@pytest.mark.parametrize(
    "change",
    [{"layer": None}, {"layer": True}, {"layer": -1}, {"layer": "1"}, {"radius": float("nan")}, {"radius": 0.0}],
)
def test_a_setting_that_does_not_fit_is_refused_by_name(base, bundle, change):
    (name,) = change
    config = bundle.config.model_copy(update={"settings": {**bundle.config.settings, **change}})
    with pytest.raises(FormatError, match=f"kb@v1: the setting {name} of its codebook"):
        open_inside(replace(bundle, config=config), base)


def cut(array):
    return np.ascontiguousarray(array[:, :-1])


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("lacks 'radii'", {"radii": None}),
        ("does not fit its entries", {"radii": lambda radii: radii[:1]}),
        ("does not fit its entries", {"radii": lambda radii: -radii}),
        ("does not fit its entries", {"keys": lambda keys: keys * np.float32("nan")}),
        ("does not fit its entries", {"cell_of_entry": lambda of_entry: of_entry[None]}),
        ("does not fit its entries", {"cell_of_entry": lambda of_entry: of_entry + 1}),
        ("does not fit its entries", {"keys": cut}),
        ("does not fit layer 1", {"values": cut}),
        ("does not fit layer 1", {"keys": cut, "own": cut}),
    ],
)
def test_a_codebook_that_is_not_whole_or_of_another_layer_is_refused(base, bundle, tmp_path, what, change):
    own = {"keys": bundle.keys}
    arrays = {**bundle.arrays("codebook.safetensors"), "own": own["keys"]}
    changed = {name: change.get(name, lambda array: array) for name in arrays}
    found = {name: changed[name](array) for name, array in arrays.items() if changed[name] is not None}
    save_file({"keys": found.pop("own")}, tmp_path / "keys")
    save_file(found, tmp_path / "codebook")
    files = {**bundle.files, "keys.safetensors": tmp_path / "keys", "codebook.safetensors": tmp_path / "codebook"}
    with pytest.raises(FormatError, match=what):
        open_inside(replace(bundle, files=files), base)


def test_a_cold_start_is_drawn_for_each_entry_whatever_else_is_learned(base, context):
    alone = edited(base, context, [asked("b", "you know")], radius=1e-3)
    beside = edited(base, context, [asked("a", "Because"), asked("b", "you know")], radius=1e-3)
    values = [torch.as_tensor(draft.arrays["codebook.safetensors"]["values"])[-1] for draft in (alone, beside)]
    assert torch.allclose(*values, atol=1e-3)
