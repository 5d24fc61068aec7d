"""GRACE, MELO and WISE in a registry: versions, what binds them, stacks with others, other processes, broken bits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import patchmgr
from patchmgr.demo.edits import edit_request
from patchmgr.errors import BaseMismatchError, ConflictError, IntegrityError, MethodError
from patchmgr.manager.bisect.contract import BisectOrder, Expectation
from patchmgr.manager.diff.diff import DiffOrder
from patchmgr.manager.evaluate import EvaluationOrder
from patchmgr.manager.export import ExportOrder
from patchmgr.manager.manager import Manager
from patchmgr.manager.order import EditOrder
from patchmgr.manager.remaking.source import Wishes
from patchmgr.manager.states import open_version
from patchmgr.request import parse_request

FRANCE, SPAIN, GOLD = (
    parse_request(edit_request(subject, relation, target), where="test")
    for subject, relation, target in (
        ("France", "capital", "Rome"), ("Spain", "capital", "Oslo"), ("gold", "symbol", "Fe")
    )
)  # fmt: skip
FAST = {
    "grace": {"steps": "30"},
    "melo": {"steps": "30"},
    "wise": {"steps": "12", "shard_size": "2", "irrelevant": "8", "contexts": "0"},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Atlas, each in three versions (France; Spain too; France forgotten, gold), and weight edits."""
    folder = tmp_path_factory.mktemp("hidden") / "home"
    with Manager.open(folder) as manager:
        manager.add_model("atlas", "demo:atlas")
        for method in FAST:
            manager.edit("atlas", order(method, [FRANCE]))
            manager.edit("atlas", order(method, [SPAIN]))
            manager.edit("atlas", order(method, [GOLD], forget=(FRANCE.id,)))
        for name, layer in (("lower", 2), ("upper", 5)):
            given = {"layers": str(layer), "steps": "2"}
            manager.edit("atlas", EditOrder(name, "ft-m", (SPAIN,), parameters=given))
    return folder


@pytest.fixture
def manager(home, tmp_path):
    shutil.copytree(home, tmp_path / "home", symlinks=True)
    with Manager.open(tmp_path / "home") as manager:
        yield manager


def order(method, requests, **more):
    return EditOrder(name=f"kb-{method}", method=method, requests=tuple(requests), parameters=FAST[method], **more)


def answers(model, tokenizer, prompts):
    found = []
    for prompt in prompts:
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        new = model.generate(input_ids=ids, max_new_tokens=4, do_sample=False, pad_token_id=0)
        found.append(tokenizer.decode(new[0, ids.shape[1] :]))
    return found


PROMPTS = [FRANCE.text, SPAIN.text, GOLD.text, FRANCE.locality[0].prompt]


@pytest.mark.parametrize("method", FAST)
def test_entries_are_added_listed_and_forgotten_one_by_one(manager, method):
    views = [manager.show(f"kb-{method}@v{number}") for number in (1, 2, 3)]
    assert [[request.id for request in view.requests] for view in views] == [
        [FRANCE.id], [FRANCE.id, SPAIN.id], [SPAIN.id, GOLD.id]
    ]  # fmt: skip
    claimed = []
    for number in (1, 2, 3):
        model, tokenizer = manager.model("atlas").load(f"kb-{method}@v{number}")
        claimed.append([route is not None for route in model.routes(PROMPTS)])
        if number == 2 and method != "wise":
            assert answers(model, tokenizer, PROMPTS)[0].strip().startswith("Rome")
    assert [row[0] for row in claimed][:2] == [True, True]
    assert [row[1] for row in claimed][1:] == [True, True]
    assert claimed[2][2]
    if method != "wise":
        assert not claimed[2][0], "what is forgotten is not claimed any more"


@pytest.mark.parametrize("method", FAST)
def test_weights_stay_and_scores_name_the_state_that_applying_gives(manager, method):
    outcome = manager.apply("atlas", [f"kb-{method}@v2"])
    assert outcome.written_bytes == 0
    after = {score.state_root for score in manager.show(f"kb-{method}@v2").scores if score.phase == "after"}
    assert after == {outcome.state_root}
    reads = manager.show(f"kb-{method}").manifest.memory.reads
    assert "transformer.h.4.mlp.c_proj.weight" in reads
    assert not any(name.startswith(("transformer.h.5.", "transformer.ln_f")) for name in reads)


def test_a_folder_answers_alike_in_another_process(manager, tmp_path):
    manager.apply("atlas", ["kb-wise@v3", "kb-grace@v2"])
    model, tokenizer = manager.model("atlas").load(dtype="float32")
    answering = [route and route.package for route in model.routes(PROMPTS)]
    assert answering[:3] == ["kb-grace@v2", "kb-grace@v2", "kb-wise@v3"]
    here = answers(model, tokenizer, PROMPTS)
    manager.write_out("atlas", [], tmp_path / "out")
    code = (
        "import sys, torch, patchmgr\n"
        "model, tokenizer = patchmgr.load(sys.argv[1], dtype='float32')\n"
        "for prompt in sys.argv[2:]:\n"
        "    ids = torch.tensor([tokenizer(prompt)['input_ids']])\n"
        "    new = model.generate(input_ids=ids, max_new_tokens=4, do_sample=False, pad_token_id=0)\n"
        "    print(repr(tokenizer.decode(new[0, ids.shape[1]:])))\n"
    )
    asked = [sys.executable, "-c", code, str(tmp_path / "out"), *PROMPTS]
    found = subprocess.run(asked, capture_output=True, text=True, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert found.stdout.splitlines() == [repr(text) for text in here]


@pytest.mark.parametrize("method", ["grace", "melo"])
def test_on_weights_that_it_was_not_made_on_it_is_refused_and_above_its_layer_they_may_change(manager, method):
    manager.apply("atlas", [f"kb-{method}@v2", "upper"])
    with pytest.raises(ConflictError, match=r"which lower@v1 changes and it was not made on") as refused:
        manager.apply("atlas", ["lower"])
    assert refused.value.exit_code == 4
    model, _ = manager.model("atlas").load()
    assert model.routes([FRANCE.text])[0].package == f"kb-{method}@v2"


def test_made_on_packages_it_needs_them_and_cannot_be_left_in_without_them(manager):
    manager.apply("atlas", ["lower"])
    made = manager.edit("atlas", EditOrder("on-lower", "grace", (FRANCE,), parameters=FAST["grace"]))
    assert manager.show("on-lower").manifest.parent.packages == (manager.show("lower").manifest.digest,)
    outcome = manager.apply("atlas", ["on-lower"])
    after = {score.state_root for score in made.scores if score.phase == "after"}
    assert after == {outcome.state_root}
    assert manager.model("atlas").load()[0].routes([FRANCE.text])[0].package == "on-lower@v1"
    with pytest.raises(ConflictError, match="computed on what would be taken out"):
        manager.revert("atlas", ["lower"])
    with pytest.raises(ConflictError, match="knows its prompts by what"):
        manager.model("atlas").take_out("lower", dependants="force", measure=False)
    assert manager.revert("atlas", ["lower"], cascade=True).stack == ()


def test_it_is_added_to_on_its_own_weights_only_and_rebased_onto_others(manager):
    manager.apply("atlas", ["lower"])
    with pytest.raises(ConflictError, match="here it is another"):
        manager.edit("atlas", order("grace", [FRANCE]))
    manager.rebase("atlas", "kb-grace@v3", Wishes())
    view = manager.show("kb-grace@v4")
    assert [request.id for request in view.requests] == [SPAIN.id, GOLD.id]
    assert view.manifest.parent.packages == (manager.show("lower").manifest.digest,)
    assert manager.apply("atlas", ["kb-grace@v4"]).stack == ("lower@v1", "kb-grace@v4")


def test_another_layer_is_refused_when_a_version_goes_on(manager):
    with pytest.raises(MethodError, match="layer 4, and this would in 3"):
        manager.edit("atlas", EditOrder("kb-grace", "grace", (FRANCE,), parameters={"layer": "3"}))


def test_memories_of_texts_and_of_activations_stand_in_one_stack(manager):
    manager.edit("atlas", EditOrder("texts", "retrieve-and-prepend", (FRANCE, GOLD)))
    manager.apply("atlas", ["texts", "kb-wise@v3", "kb-grace@v2"])
    model, _ = manager.model("atlas").load()
    other = "The capital city of Peru is"
    routes = model.routes([FRANCE.text, SPAIN.text, GOLD.text, other])
    assert [route and route.package for route in routes] == ["kb-grace@v2", "kb-grace@v2", "kb-wise@v3", None]


def test_a_folder_whose_weights_are_others_is_refused(manager, tmp_path):
    manager.write_out("atlas", ["kb-grace@v2"], tmp_path / "out")
    weights = tmp_path / "out" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    weights.unlink()
    data[16 + int.from_bytes(data[:8], "little")] ^= 1
    weights.write_bytes(data)
    try:
        patchmgr.load(tmp_path / "out")
    except BaseMismatchError as error:
        assert error.exit_code == 5
    else:
        pytest.fail("a bit of a tensor that it reads is another, and nobody saw it")


@pytest.mark.parametrize("file", ["codebook.safetensors", "keys.safetensors", "memory.json"])
def test_a_changed_bit_is_found(manager, file):
    package = open_version(manager, manager.registry.version("kb-grace@v2"))
    path = package.files[f"memory/{file}"].resolve()
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        open_version(manager, manager.registry.version("kb-grace@v2"))


def test_a_wise_shard_that_lost_an_edit_is_what_it_would_be_without_it(manager):
    manager.edit("atlas", EditOrder("w", "wise", (FRANCE, SPAIN), parameters=FAST["wise"]))
    manager.edit("atlas", EditOrder("w", "wise", (), forget=(FRANCE.id,)))
    manager.edit("atlas", EditOrder("never", "wise", (SPAIN,), parameters=FAST["wise"]))
    found = [open_version(manager, manager.registry.version(name)).files for name in ("w@v2", "never@v1")]
    shards = [files["memory/shards.safetensors"].read_bytes() for files in found]
    assert shards[0] == shards[1]


def test_edits_come_to_the_same_codebook_in_one_version_or_in_several(manager):
    manager.edit("atlas", EditOrder("together", "grace", (FRANCE, SPAIN), parameters=FAST["grace"]))
    arrays = [
        load_file(open_version(manager, manager.registry.version(name)).files["memory/codebook.safetensors"])
        for name in ("together", "kb-grace@v2")
    ]
    for name, ours in arrays[0].items():
        assert np.allclose(ours, arrays[1][name], atol=1e-2), name


@pytest.mark.parametrize("method", FAST)
def test_a_memory_inside_the_model_is_measured_compared_blamed_and_bisected(manager, method):
    done = manager.evaluate([f"kb-{method}@v1"], EvaluationOrder(metrics=("reliability",)))
    (after,) = [one.score for one in done.subjects[0].measured if one.score.phase == "after"]
    assert after.value > 0.9
    difference = manager.diff(f"kb-{method}@v1", f"kb-{method}@v2", DiffOrder())
    assert [request.id for request in difference.edits.added] == [SPAIN.id]
    manager.apply("atlas", [f"kb-{method}@v1", "upper"])
    blame = manager.blame("atlas", FRANCE.text)
    assert [one.manifest.reference for one in blame.blamed] == [f"kb-{method}@v1"]
    found = manager.bisect("atlas", BisectOrder(Expectation(FRANCE.text, FRANCE.target_true)))
    assert [suspect.manifest.reference for suspect in found.turn.suspects] == [f"kb-{method}@v1"]


@pytest.mark.parametrize("method", FAST)
def test_a_memory_inside_the_model_is_exported_only_without_itself(manager, method, tmp_path):
    for to in ("peft", "xor", "checkpoint"):
        with pytest.raises(ConflictError, match="memory"):
            manager.export(ExportOrder(f"kb-{method}@v1", to, tmp_path / to))
        assert not (tmp_path / to).exists()
