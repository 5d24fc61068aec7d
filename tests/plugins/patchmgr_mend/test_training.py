"""A training is one thing, however often it was killed; it learns, and leaves the base as it was."""

from __future__ import annotations

import contextlib
import json

import pytest
import torch
from safetensors.torch import load_file
from torch.func import functional_call

from limits import small_files
from patchmgr.errors import MethodError, RequestError, StorageError
from patchmgr.methods.training import TrainingContext, TrainingData
from patchmgr.testing.snapshot import snapshot
from patchmgr_mend import MendTrainer, files
from patchmgr_mend.drawing import Drawing
from patchmgr_mend.network import Networks, Site
from tiny_models import ARCHITECTURES, loaded_model
from trainings import ResumedTraining

SHORT = {"steps": 8, "validate_every": 2, "patience": 8, "batch": 2, "validation_edits": 3}


@pytest.fixture(scope="module")
def short():
    return SHORT


class TestResuming(ResumedTraining):
    killed_at = 6


def test_the_best_state_is_kept_running_statistics_included(uninterrupted, seen):
    best = min(seen, key=lambda step: (seen[step]["loss"], step))
    assert len(seen) == 4
    assert uninterrupted.steps == best
    assert uninterrupted.figures == seen[best]
    tensors = load_file(uninterrupted.files["networks.safetensors"])
    assert int(tensors["by_shape.24x40.n_tokens"]) > 0
    assert {tensors[f"by_shape.24x40.{name}"].dtype for name in ("mean", "squares")} == {torch.float32}


def test_it_learns_to_edit_subjects_that_it_never_saw(trained, tmp_path):
    settings = {"edit_rate": 1e-3, "rate_learning_rate": 1e-4, "kept": "all"}
    begun = trained(tmp_path / "begun", **settings, steps=1, validate_every=1)
    draft = trained(tmp_path / "whole", **settings, steps=20, validate_every=10)
    assert draft.figures["loss"] < 0.9 * begun.figures["loss"]
    assert draft.figures["edit_loss"] < begun.figures["edit_loss"]
    assert {"reliability", "generalization", "locality", "locality_loss"} <= draft.figures.keys()


def test_it_ends_when_the_validation_gets_no_better(trained, tmp_path):
    steps = []
    still = {"learning_rate": 1e-30, "rate_learning_rate": 1e-30}  # what is counted still moves the figures a little
    draft = trained(
        tmp_path, **{**SHORT, **still, "steps": 60, "patience": 2}, report=lambda step, _: steps.append(step)
    )
    assert steps[-1] == draft.steps + 4 < 60


def test_training_leaves_the_base_bit_for_bit_as_it_was(trained, base, tmp_path):
    base.model.train()
    before, generator = snapshot(base.model), torch.random.get_rng_state()
    try:
        trained(tmp_path, **{**SHORT, "steps": 2})
        assert snapshot(base.model) == before
    finally:
        base.model.eval()
    assert torch.equal(torch.random.get_rng_state(), generator)


def test_files_are_safetensors_and_json_and_say_what_they_belong_to(draft, base):
    assert sorted(draft.files) == ["networks.json", "networks.safetensors"]
    record = json.loads(draft.files["networks.json"].read_bytes())
    assert record["state_root"] == base.state_root
    assert [site["orientation"] for site in record["sites"]] == ["in_out"] * 6
    assert json.loads(json.dumps(draft.parameters)) == draft.parameters


@pytest.mark.parametrize(("how", "kept_at"), [("sum", "all"), ("malmen", "answer")])
def test_the_first_update_has_the_gradient_of_models_whose_weights_are_really_changed(
    base, data, how, kept_at, tmp_path
):
    """The published way: a model with changed weights for each group by functional_call, losses averaged."""
    from patchmgr.methods.architecture import find_architecture
    from patchmgr_keyvalue.forwards import untouched, without_gradients_of
    from patchmgr_mend.asking import Base
    from patchmgr_mend.sites import chosen_sites
    from patchmgr_mend.trainer import _Run

    settings = {"rank": 6, "batch": 2, "edits": 2, "unrelated": 1, "answer_weight": 0.1}
    parameters = MendTrainer.parameters(**settings, aggregation=how, kept=kept_at)
    sites = chosen_sites(base, parameters)
    ours = Base(base, find_architecture(base.model), sites)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        networks = Networks([Site.of(site) for site in sites], rank=6, edit_rate=0.01, ridge=1.0)
    drawing = Drawing(data.training, 2, 1, 0)
    groups = [drawing.group(number) for number in range(2)]
    with untouched(base.model), without_gradients_of(base.model):
        run = _Run(ours, networks, parameters, TrainingContext(tmp_path), drawing, [])
        loss = run._loss(groups)
        factors = networks.factors(ours.traces(groups), how)
    found = torch.autograd.grad(loss, list(networks.parameters()), allow_unused=True, retain_graph=True)
    answers, kept = [], []
    for number, group in enumerate(groups):
        weights = {
            site.weight_name: site.module.weight.detach()
            + (
                change.D[number].T @ change.A[number]
                if site.orientation == "out_in"
                else (change.A[number].T @ change.D[number])
            )
            for site, change in zip(sites, factors, strict=True)
        }
        for prompt, answer in group.asked:
            ids, n = base.tokenizer(f"{prompt} {answer}")["input_ids"], len(base.tokenizer(prompt)["input_ids"])
            logits = functional_call(base.model, weights, (torch.tensor([ids]),)).logits[0, n - 1 : -1]
            answers.append(torch.nn.functional.cross_entropy(logits, torch.tensor(ids[n:])))
        for prompt, answer in group.unrelated:
            ids, n = base.tokenizer(f"{prompt} {answer}")["input_ids"], len(base.tokenizer(prompt)["input_ids"])
            rows = (torch.tensor([ids[:-1]]),)
            after = functional_call(base.model, weights, rows).logits[0].log_softmax(-1)
            before = base.model(*rows).logits[0].detach().log_softmax(-1)
            divergences = (before.exp() * (before - after)).sum(-1)
            kept.append(divergences[0 if kept_at == "all" else n - 1 :].mean())
    literal = 0.1 * torch.stack(answers).mean() + torch.stack(kept).mean()
    assert float(loss.detach()) == pytest.approx(float(literal.detach()), rel=1e-4)
    wanted = torch.autograd.grad(literal, list(networks.parameters()), allow_unused=True)
    for (name, _), ours_, theirs in zip(networks.named_parameters(), found, wanted, strict=True):
        assert (ours_ is None) == (theirs is None), name
        if ours_ is not None:
            assert torch.allclose(ours_, theirs, atol=1e-5 + 1e-3 * float(theirs.abs().max())), name
    assert (found[1] is not None) == (how == "malmen")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_can_be_trained_for(trained, tmp_path, architecture):
    draft = trained(
        tmp_path, model=loaded_model(architecture), steps=1, validate_every=1, layers="1", batch=1, validation_edits=1
    )
    assert draft.figures["edit_loss"] > 0


def test_a_full_disk_is_said(trained, tmp_path):
    def fill(*_):
        limit.enter_context(small_files(1000))

    with (
        contextlib.ExitStack() as limit,
        pytest.raises(StorageError, match="cannot write a checkpoint: the file would"),
    ):
        trained(tmp_path, **{**SHORT, "steps": 2}, report=fill)
    networks = Networks([Site("h.0", "in_out", 6, 4)], rank=2, edit_rate=1.0, ridge=1.0)
    with small_files(100), pytest.raises(StorageError, match="cannot write the editor: the file would pass the limit"):
        files.save(networks, tmp_path / "editor", state_root="0" * 64, aggregation="sum")


def test_too_few_requests_are_said(base, data, tmp_path):
    few = TrainingData(data.training, data.validation[:3])
    with pytest.raises(RequestError, match="the validation data has 3 different prompts, 4 are needed for edits=3"):
        MendTrainer().train(base, few, MendTrainer.parameters(edits=3), TrainingContext(tmp_path))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"layers": "9"}, "layer 9 is out of range"),
        ({"layers": "1,1"}, "name a block twice"),
        ({"encoder_layers": "0"}, "has no encoder"),
    ],
)
def test_layers_that_are_not_there_are_refused(trained, tmp_path, settings, says):
    with pytest.raises(MethodError, match=says):
        trained(tmp_path, **settings)


def test_a_loss_that_is_not_finite_ends_it(trained, tmp_path):
    with pytest.raises(MethodError, match="not a finite number in step 1"):
        trained(tmp_path, edit_rate=1e38)


def test_a_validation_that_is_not_finite_ends_it(trained, tmp_path):
    with pytest.raises(MethodError, match="not a finite number in step 2"):
        trained(tmp_path, learning_rate=1e12, steps=2, validate_every=2, clip=1e-3)
