"""Edits on tiny models equal MEND and MALMEN worked out literally; what is refused; what the payload says."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from literal_mend import LiteralMend
from patchmgr.errors import BaseMismatchError, FormatError, MethodError, RequestError
from patchmgr.methods.contract import LowRankDelta, PristineBase
from patchmgr.request import EditRequest
from patchmgr_mend import Mend
from tiny_models import HIDDEN, loaded_model

ATLANTIS = EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome")
ADA = EditRequest(prompt="Because", target_new="tower")
SEA = EditRequest(prompt="The tower of Paris is", target_new="the sea")
THREE = (ATLANTIS, ADA, SEA)


@pytest.fixture
def edit(context, as_editor):
    """Edits with the editor that some files are."""

    def run(loaded, files, requests=THREE, *, base=None, **settings):
        editor = dataclasses.replace(as_editor(_Files(files)))
        surroundings = dataclasses.replace(context, editor=editor, base=base)
        return Mend().edit(loaded, requests, Mend.parameters(**settings), surroundings)

    return run


@dataclasses.dataclass(frozen=True)
class _Files:
    """What an editor is made of."""

    files: dict
    parameters: dict = dataclasses.field(default_factory=dict)


def given(delta):
    """ΔW as the checkpoint has it."""
    return delta.u.astype(np.float64) @ delta.v if isinstance(delta, LowRankDelta) else delta.delta.values


def assert_equal(payload, expected, loaded):
    assert [delta.module_weight.removesuffix(".weight") for delta in payload.deltas] == list(expected)
    for delta, tensor in zip(payload.deltas, expected.values(), strict=True):
        module = loaded.model.get_submodule(delta.module_weight.removesuffix(".weight"))
        wanted = tensor.numpy() if isinstance(module, torch.nn.Linear) else tensor.numpy().T
        assert given(delta).shape == tuple(module.weight.shape)
        assert np.linalg.norm(given(delta) - wanted) < 2e-4 * np.linalg.norm(wanted), delta.module_weight


@pytest.mark.parametrize("how", ["sum", "malmen"])
@pytest.mark.parametrize("which", ["gpt2", "t5"])
def test_deltas_are_those_of_the_papers(edit, base, t5, draft, t5_draft, shaken, which, how):
    loaded, files = (base, shaken(draft)) if which == "gpt2" else (t5, shaken(t5_draft))
    payload = edit(loaded, files, aggregation=how, batch=2)
    assert_equal(payload, LiteralMend(loaded.model, loaded.tokenizer, files).edit(THREE, how), loaded)


def test_the_outer_products_of_a_token_add_up_to_autograds_gradient(base, t5, draft, t5_draft):
    for loaded, files in ((base, draft.files), (t5, t5_draft.files)):
        literal = LiteralMend(loaded.model, loaded.tokenizer, files)
        for name, tokens in literal.tokens(SEA).items():
            total = sum(torch.outer(delta, u) for u, delta in tokens)
            assert torch.allclose(total, literal.gradient(name), atol=1e-10)


def test_a_square_weight_is_not_transposed(edit, trained, tmp_path):
    loaded = loaded_model("gpt2", n_inner=HIDDEN)
    files = trained(tmp_path, model=loaded, steps=2, validate_every=2).files
    assert_equal(edit(loaded, files), LiteralMend(loaded.model, loaded.tokenizer, files).edit(THREE, "sum"), loaded)


def test_a_package_is_the_sum_of_its_single_edits(edit, base, draft):
    together = edit(base, draft.files, aggregation="sum")
    alone = [edit(base, draft.files, [request], aggregation="sum") for request in THREE]
    for number, delta in enumerate(together.deltas):
        total = sum(given(payload.deltas[number]) for payload in alone)
        assert np.linalg.norm(given(delta) - total) < 1e-4 * np.linalg.norm(total)


def test_few_tokens_give_factors_of_their_number_and_many_a_whole_delta(edit, base, draft):
    few, many = edit(base, draft.files, [ADA]), edit(base, draft.files, THREE * 4)
    tokens = LiteralMend(base.model, base.tokenizer, draft.files).tokens(ADA)
    for delta in few.deltas:
        assert delta.u.shape[1] == len(tokens[delta.module_weight.removesuffix(".weight")])
    assert {delta.delta.encoding for delta in many.deltas} == {"dense"}


def test_a_ridge_that_is_given_takes_the_place_of_the_learned_one(edit, base, draft):
    payload = edit(base, draft.files, aggregation="malmen", ridge=0.5)
    literal = LiteralMend(base.model, base.tokenizer, draft.files)
    assert_equal(payload, literal.edit(THREE, "malmen", 0.5), base)
    assert {site["ridge"] for site in payload.parameters["sites"]} == {0.5}
    assert {site["ridge"] for site in edit(base, draft.files).parameters["sites"]} == {None}


def test_it_does_as_the_editor_was_trained(edit, base, trained, tmp_path):
    files = trained(tmp_path, steps=2, validate_every=2, aggregation="malmen", edits=2).files
    assert edit(base, files).parameters["aggregation"] == "malmen"
    assert edit(base, files, aggregation="sum").parameters["aggregation"] == "sum"


def test_an_encoder_decoder_is_edited_on_both_sides(edit, t5, t5_draft):
    names = [delta.module_weight for delta in edit(t5, t5_draft.files).deltas]
    assert len(names) == 8
    assert {name.partition(".")[0] for name in names} == {"encoder", "decoder"}


def test_an_editor_of_another_base_is_refused_and_both_are_named(edit, base, draft):
    other = dataclasses.replace(base, state_root="f" * 64)
    with pytest.raises(BaseMismatchError, match=r"quick@v1 was trained on another base \(state gpt2.*this is fff"):
        edit(other, draft.files)


def test_a_state_of_the_same_base_is_edited(edit, base, draft):
    patched = dataclasses.replace(base, state_root="f" * 64)
    pristine = PristineBase(base.state_root, lambda: base)
    assert edit(patched, draft.files, base=pristine).deltas


def test_without_an_editor_it_says_how_to_get_one(base, context):
    with pytest.raises(MethodError, match="needs a trained editor") as raised:
        Mend().edit(base, THREE, Mend.parameters(), context)
    assert "patchmgr train mend" in raised.value.hint


@pytest.mark.parametrize("broken", ["missing", "not JSON", "version", "tensor", "shape", "size", "rank", "map"])
def test_an_editor_that_cannot_be_read_is_named(edit, base, draft, tmp_path, broken):
    files = dict(draft.files)
    record, error = json.loads(files["networks.json"].read_bytes()), FormatError
    if broken == "missing":
        del files["networks.safetensors"]
    elif broken == "tensor":
        tensors = load_file(files["networks.safetensors"])
        save_file({name: value for name, value in tensors.items() if name != "rates"}, tmp_path / "few")
        files["networks.safetensors"] = tmp_path / "few"
    elif broken == "version":
        record["format_version"] = 2
    elif broken == "shape":
        record["sites"][0]["orientation"] = "out_in"
    elif broken == "size":
        record["sites"][0]["d_in"] = "24"
    elif broken == "rank":
        record["rank"] = 3
    elif broken == "map":
        record["sites"][0]["name"], error = "transformer.h.9.mlp.c_fc", MethodError
    files["networks.json"] = tmp_path / "networks.json"
    files["networks.json"].write_text("{" if broken == "not JSON" else json.dumps(record))
    with pytest.raises(error, match=r"quick@v1|transformer\.h\.9"):
        edit(base, files)


def test_a_prompt_longer_than_the_model_reads_is_refused(edit, base, draft):
    with pytest.raises(RequestError, match="the model reads 64"):
        edit(base, draft.files, [EditRequest(prompt="so " * 70 + "it is", target_new="Rome")])


def test_a_change_that_is_not_finite_is_refused(edit, base, draft, tmp_path):
    tensors = load_file(draft.files["networks.safetensors"])
    tensors["rates"].fill_(float("nan"))
    save_file(tensors, tmp_path / "broken.safetensors")
    with pytest.raises(MethodError, match="is not finite"):
        edit(base, {**draft.files, "networks.safetensors": tmp_path / "broken.safetensors"})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_edited_too(edit, draft, base, dtype):
    loaded = dataclasses.replace(loaded_model("gpt2", dtype=dtype), state_root=base.state_root)
    for delta in edit(loaded, draft.files).deltas:
        assert np.isfinite(given(delta)).all()
        assert given(delta).any()
