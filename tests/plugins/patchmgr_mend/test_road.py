"""MEND the whole way, on a GPT-2 and on a T5: trained, kept, used, applied, made again, refused on another base."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModel

from patchmgr.errors import BaseMismatchError
from patchmgr.manager.editors.train import TrainOrder
from patchmgr.manager.manager import Manager
from patchmgr.manager.order import EditOrder
from patchmgr.manager.remaking.source import Wishes
from patchmgr.request import EditRequest
from tiny_models import loaded_model, tiny_seq2seq

EDITS = (
    {"prompt": "The capital of {} is", "subject": "Atlantis", "target_new": "Rome"},
    {"prompt": "The tower is in", "target_new": "Paris"},
)
FEW = {"steps": 2, "validate_every": 1, "batch": 2, "validation_edits": 2, "rank": 4, "edit_rate": 1e-3}


@pytest.fixture
def manager(home):
    with Manager.open() as manager:
        yield manager


def add(manager, name, loaded, folder):
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    manager.add_model(name, str(folder))
    return manager.model(name)


def edit(manager, model, name, requests, **parameters):
    edits = tuple(EditRequest(**request) for request in requests)
    return manager.edit(model, EditOrder(name, "mend", edits, editor="quick", parameters=parameters))


@pytest.mark.parametrize("which", ["gpt2", "t5"])
def test_an_editor_from_its_training_to_a_package_on_a_model(manager, data, tmp_path, which):
    loaded = loaded_model("gpt2") if which == "gpt2" else tiny_seq2seq()
    tiny = add(manager, "tiny", loaded, tmp_path / "base")
    order = TrainOrder("quick", "mend", tuple(data.training), tuple(data.validation), parameters=FEW)
    record = manager.editors.train("tiny", order)
    made = edit(manager, "tiny", "fix", EDITS)
    manifest = manager.show("fix").manifest
    assert dict(manifest.method.artefacts) == {"editor": record.digest}
    assert manifest.method.parameters["aggregation"] == "sum"
    assert [tensor.name for tensor in manifest.tensors] == sorted(tensor.name for tensor in manifest.tensors)
    assert len(manifest.tensors) == (6 if which == "gpt2" else 8)
    assert {score.metric for score in made.scores} >= {"reliability"}
    trial, _ = tiny.load("fix")
    tiny.apply("fix")
    applied = AutoModel.from_pretrained(tiny.path, dtype="auto").state_dict()
    before = AutoModel.from_pretrained(tmp_path / "base", dtype="auto").state_dict()
    weights = {name.removeprefix("transformer."): value for name, value in trial.state_dict().items()}
    changed = [name for name, value in before.items() if not torch.equal(value, applied[name])]
    assert len(changed) == len(manifest.tensors)
    assert all(torch.equal(weights[name], applied[name]) for name in changed)


def test_it_is_made_again_on_a_patched_state_with_its_editor_and_refused_on_another_base(manager, data, tmp_path):
    tiny = add(manager, "tiny", loaded_model("gpt2"), tmp_path / "base")
    add(manager, "other", loaded_model("gpt2", seed=1), tmp_path / "other")
    order = TrainOrder("quick", "mend", tuple(data.training), tuple(data.validation), parameters=FEW)
    manager.editors.train("tiny", order)
    for name in ("below", "fix"):
        edit(manager, "tiny", name, EDITS[:1], aggregation="malmen")
    tiny.apply("below")
    manager.rebase("tiny", "fix", Wishes())
    again = manager.show("fix@v2").manifest
    assert again.parent.packages == (manager.registry.version("below").digest,)
    assert again.method.artefacts == manager.show("fix@v1").manifest.method.artefacts
    assert again.method.parameters["aggregation"] == "malmen"
    with pytest.raises(BaseMismatchError, match=r"quick@v1 was trained on another base"):
        edit(manager, "other", "fix", EDITS[:1])
    assert [version.reference for version in manager.registry.versions("fix")] == ["fix@v1", "fix@v2"]
