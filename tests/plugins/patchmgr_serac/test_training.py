"""A training is one thing, however often it was killed; it learns, and leaves the base as it was."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from patchmgr.errors import MethodError
from patchmgr.testing.snapshot import snapshot
from patchmgr_serac import SeracTrainer
from patchmgr_serac.counterfactual import loss
from patchmgr_serac.networks import Networks, begin, derived_rate
from patchmgr_serac.router_loss import router_loss
from trainings import ResumedTraining

SHORT = {"steps": 8, "validate_every": 2, "router": "two-stage", "patience": 8}


@pytest.fixture(scope="module")
def short():
    return SHORT


class TestResuming(ResumedTraining):
    killed_at = 5


def test_the_best_state_of_each_part_is_kept(uninterrupted, seen):
    routing = max(seen, key=lambda step: (seen[step]["balanced_accuracy"], seen[step]["auc"], -step))
    answering = max(seen, key=lambda step: (seen[step]["es"], -step))
    assert len(seen) == 4
    assert uninterrupted.steps == max(routing, answering)
    assert uninterrupted.figures == {**seen[routing], "es": seen[answering]["es"]}


def test_it_learns_what_lies_in_a_scope(draft):
    assert draft.figures["balanced_accuracy"] > 0.85
    assert draft.figures["auc"] > 0.9
    assert {"es", "found", "false_positive_rate", "same_subject_left_alone"} <= draft.figures.keys()


def test_it_ends_when_the_validation_gets_no_better(trained, tmp_path):
    steps = []
    settings = {**SHORT, "learning_rate": 1e-12, "patience": 2, "router": "embedding", "counterfactual": "base"}
    draft = trained(tmp_path, **settings, report=lambda step, _: steps.append(step))
    assert steps == [2, 4, 6]
    assert draft.steps == 2


def test_training_leaves_the_base_bit_for_bit_as_it_was(trained, base, tmp_path):
    before, generator = snapshot(base.model), torch.random.get_rng_state()
    trained(tmp_path, **{**SHORT, "steps": 2})
    assert snapshot(base.model) == before
    assert torch.equal(torch.random.get_rng_state(), generator)


def test_files_are_safetensors_and_json_and_name_no_folder_of_this_machine(both_stages, encoder_at):
    kinds = {path.suffix for path in both_stages.files.values()}
    assert kinds == {".safetensors", ".json"}
    for path in both_stages.files.values():
        if path.suffix == ".json":
            json.loads(path.read_bytes())
            assert str(encoder_at).encode() not in path.read_bytes()
            assert str(path.parent).encode() not in path.read_bytes()
    assert {name.partition("/")[0] for name in both_stages.files} == {
        "encoder",
        "cross",
        "counterfactual",
        "calibration.json",
    }
    json.dumps(both_stages.parameters)


@pytest.mark.parametrize("router", ["embedding", "cross"])
def test_a_router_of_one_form_lacks_the_other_network(trained, tmp_path, router):
    found = trained(tmp_path, steps=1, validate_every=1, router=router, counterfactual="base")
    other = {"embedding": "cross", "cross": "encoder"}[router]
    assert not [name for name in found.files if name.startswith((f"{other}/", "counterfactual/"))]
    assert "es" not in found.figures


def test_one_update_is_one_step_of_adam_on_the_weighted_losses(base, encoder_at, trained, tmp_path, world):
    """Compared with the two losses added up by hand, on the first two batches."""
    from patchmgr_serac.drawing import Drawing
    from patchmgr_serac.facts import facts_of

    settings = {"router": "embedding", "hard_share": 0.0, "batch": 3, "accumulation": 2, "learning_rate": 1e-3}
    given = SeracTrainer.parameters(encoder=str(encoder_at), **settings)
    draft = trained(tmp_path, steps=1, validate_every=1, **settings)
    subjects = ("France", "Italy", "Japan", "Kenya", "Peru", "Chad", "Cuba", "Iran")
    drawing = Drawing(facts_of(world(subjects), what="data"), 3, 5, lambda *_: None, 0.0, 0.2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        networks: Networks = begin(given, base)
        networks.train(True)
        torch.manual_seed(5 << 32)
        total = torch.zeros(())
        for number in (0, 1):
            pairs = drawing.batch(number)
            asked = [
                (f"{pair.fact.prompt} {pair.fact.label} {pair.question}", pair.answer) for pair in pairs if pair.answer
            ]
            routing = router_loss(networks, pairs, drawing.known, "likeliest")
            total = total + (1.0 * routing + 0.1 * loss(networks.answering, asked)) / 2
    tensors = networks.tensors()
    gradients = dict(zip(tensors, torch.autograd.grad(total, tensors.values(), allow_unused=True), strict=True))
    norm = torch.stack([g.square().sum() for g in gradients.values() if g is not None]).sum().sqrt()
    stored = {
        **{f"encoder.model.{k}": v for k, v in load_file(draft.files["encoder/model.safetensors"]).items()},
        **{f"counterfactual.{k}": v for k, v in load_file(draft.files["counterfactual/model.safetensors"]).items()},
    }
    compared = 0
    for name, value in tensors.items():
        gradient = gradients[name]
        if gradient is None:
            continue
        clipped = gradient * min(1.0, 100.0 / float(norm))
        step = 1e-3 * clipped / (clipped.abs() + 1e-8)  # Adam's first
        clear = clipped.abs() > 1e-4
        assert torch.allclose(stored[name][clear], (value.detach() - step)[clear], atol=2e-5), name
        compared += int(clear.sum())
    assert compared > 1000


def test_small_networks_get_a_higher_rate_and_a_classifier_of_the_papers_width_the_published_one():
    assert derived_rate(768, "encoder") == derived_rate(768, "cross") == 1e-5
    assert derived_rate(384, "encoder") == pytest.approx(4e-5)
    assert derived_rate(64, "encoder") == 3e-4
    assert derived_rate(512, "counterfactual") == pytest.approx(3 * 2.25e-5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"encoder": "nowhere"}, "is no encoder"), ({"counterfactual": "nowhere"}, "counterfactual=nowhere")],
)
def test_what_cannot_be_loaded_is_named(base, encoder_at, settings, says):
    with pytest.raises(MethodError, match=says):
        begin(SeracTrainer.parameters(**{"encoder": str(encoder_at), **settings}), base)
