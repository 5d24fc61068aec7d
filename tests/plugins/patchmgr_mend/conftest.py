"""Tiny models, questions about countries to train on, and editors that are trained once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from patchmgr.methods.training import Editor, TrainingContext, TrainingData
from patchmgr.request import EditRequest, Probe
from patchmgr.testing.tiny import tiny_loaded_model
from patchmgr_mend import MendTrainer
from tiny_models import loaded_model, tiny_seq2seq

SUBJECTS = ("France", "Italy", "Japan", "Kenya", "Peru", "Chad", "Cuba", "Iran", "Mali", "Oman", "Spain", "Togo")
ANSWERS = ("Rome", "Paris", "Bonn", "Lima")
SETTINGS = {
    "rank": 12,
    "batch": 4,
    "steps": 10,
    "validate_every": 5,
    "validation_edits": 8,
    "learning_rate": 3e-4,
    "rate_learning_rate": 3e-3,
    "edit_rate": 3e-3,
}


def requests_about(subjects) -> list[EditRequest]:
    """Two questions about each subject, with a rephrasing and a neighbour."""
    found = []
    for place, subject in enumerate(subjects):
        other = SUBJECTS[(SUBJECTS.index(subject) + 5) % len(SUBJECTS)]
        for turn, (prompt, again) in enumerate(
            [("The capital of {} is", "The seat of {} is"), ("The tower of {} is in", "In {} the tower is in")]
        ):
            found.append(
                EditRequest(
                    prompt=prompt,
                    subject=subject,
                    target_new=ANSWERS[(place + turn) % 4],
                    rephrasings=(again.format(subject),),
                    locality=(Probe(prompt=prompt.format(other), target="x"),),
                )
            )
    return found


@pytest.fixture(scope="session")
def base():
    """A tiny GPT-2, whose maps lie transposed."""
    return loaded_model("gpt2")


@pytest.fixture(scope="session")
def data():
    """Of no subject in common."""
    return TrainingData(requests_about(SUBJECTS[:8]), requests_about(SUBJECTS[8:]))


@pytest.fixture(scope="session")
def trained(base, data):
    """Trains an editor in a folder."""

    def train(folder: Path, *, model=base, progress=lambda *_: None, report=lambda *_: None, **settings):
        context = TrainingContext(folder, seed=5, progress=progress, report=report)
        return MendTrainer().train(model, data, MendTrainer.parameters(**{**SETTINGS, **settings}), context)

    return train


@pytest.fixture(scope="session")
def as_editor():
    """A draft as an edit gets it."""

    def editor_of(draft) -> Editor:
        return Editor("quick@v1", "e" * 64, "mend", draft.parameters, draft.files)

    return editor_of


@pytest.fixture(scope="session")
def draft(trained, tmp_path_factory):
    """An editor of the tiny GPT-2."""
    return trained(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="session")
def suite_draft(trained, tmp_path_factory):
    """An editor of the model that the shipped suite edits."""
    return trained(tmp_path_factory.mktemp("training"), model=tiny_loaded_model())


@pytest.fixture(scope="session")
def t5():
    """A tiny T5."""
    return tiny_seq2seq()


@pytest.fixture(scope="session")
def t5_draft(trained, t5, tmp_path_factory):
    """An editor of it, hardly trained."""
    settings = {"steps": 3, "validate_every": 3, "learning_rate": 1e-6, "edit_rate": 1e-3, "rate_learning_rate": 1e-6}
    return trained(tmp_path_factory.mktemp("training"), model=t5, **settings)


@pytest.fixture(scope="session")
def shaken(tmp_path_factory):
    """The files of an editor with other numbers in its networks, so that nothing in them is zero or one."""
    from safetensors.torch import load_file, save_file

    def shake(draft):
        tensors = load_file(draft.files["networks.safetensors"])
        generator = torch.Generator().manual_seed(2)
        for name, value in tensors.items():
            if "mean" not in name and "squares" not in name and "n_tokens" not in name and name != "rates":
                value.add_(0.1 * torch.randn(value.shape, generator=generator))
        path = tmp_path_factory.mktemp("shaken") / "networks.safetensors"
        save_file(tensors, path)
        return {**draft.files, "networks.safetensors": path}

    return shake
