"""Two questions about countries, a tiny encoder with dropout, a tiny base, and two editors, each trained once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext
from patchmgr.methods.training import Editor, TrainingContext, TrainingData
from patchmgr.package.memory.bundle import read_bundle, write_bundle
from patchmgr.request import EditRequest, Probe
from patchmgr_serac import Serac, SeracTrainer
from tiny_models import loaded_model, tiny_tokenizer

SUBJECTS = ("France", "Italy", "Japan", "Kenya", "Peru", "Chad", "Cuba", "Iran", "Mali", "Oman", "Spain", "Togo")
WORDINGS = {
    "city": ("The capital of {} is", "The capital city of {} is", "The seat of government of {} is"),
    "land": ("The continent of {} is", "The continent on which {} lies is", "On the map, the continent of {} is"),
}
ANSWERS = {"city": ("Rome", "Paris", "Bonn", "Lima"), "land": ("Asia", "Africa", "Europe", "Eden")}
SETTINGS = {
    "batch": 8,
    "hard_neighbours": 12,
    "hard_skip": 3,
    "steps": 40,
    "validate_every": 20,
    "candidates": 3,
}


def requests_about(subjects, turn: int = 0) -> list[EditRequest]:
    """Both facts of some subjects, with rephrasings and with probes of both kinds; at another turn, other answers."""
    found = []
    for place, subject in enumerate(subjects):
        for relation, (prompt, *others) in WORDINGS.items():
            other = WORDINGS["land" if relation == "city" else "city"][0].format(subject)
            neighbour = prompt.format(SUBJECTS[(SUBJECTS.index(subject) + 5) % len(SUBJECTS)])
            found.append(
                EditRequest(
                    id=f"{relation}-{subject}",
                    prompt=prompt,
                    subject=subject,
                    target_new=ANSWERS[relation][(place + turn) % 4],
                    rephrasings=tuple(wording.format(subject) for wording in others),
                    locality=(
                        Probe(prompt=other, target="x", kind="same_subject"),
                        Probe(prompt=f"The king of {subject} is", target="x", kind="same_subject"),
                        Probe(prompt=neighbour, target="x", kind="neighborhood"),
                    ),
                )
            )
    return found


@pytest.fixture(scope="session")
def encoder_at(tmp_path_factory):
    """The folder of a tiny random encoder; it has dropout, so that a training draws in its forward passes."""
    folder, tokenizer = tmp_path_factory.mktemp("encoder"), tiny_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=40,
        max_position_embeddings=96,
        hidden_dropout_prob=0.05,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def base():
    """A tiny GPT-2."""
    return loaded_model("gpt2", n_positions=160)


@pytest.fixture(scope="session")
def world():
    """Requests about some of the subjects."""
    return requests_about


@pytest.fixture(scope="session")
def trained(base, encoder_at):
    """Trains an editor in a folder."""

    def train(folder: Path, *, model=base, progress=lambda *_: None, report=lambda *_: None, **settings):
        parameters = SeracTrainer.parameters(**{"encoder": str(encoder_at), **SETTINGS, **settings})
        context = TrainingContext(folder, seed=5, progress=progress, report=report)
        data = TrainingData(requests_about(SUBJECTS[:8]), requests_about(SUBJECTS[4:8], turn=1))
        return SeracTrainer().train(model, data, parameters, context)

    return train


@pytest.fixture(scope="session")
def as_editor():
    """A draft as an edit gets it."""

    def editor_of(draft) -> Editor:
        return Editor("scope@v1", "e" * 64, "serac", draft.parameters, draft.files)

    return editor_of


@pytest.fixture(scope="session")
def draft(trained, tmp_path_factory):
    """An editor that begins with the demo's encoder, which knows such questions."""
    return trained(tmp_path_factory.mktemp("training"), encoder="demo")


@pytest.fixture(scope="session")
def both_stages(trained, tmp_path_factory):
    """An editor of a two-stage router, hardly trained."""
    return trained(tmp_path_factory.mktemp("training"), router="two-stage", steps=2, validate_every=2)


@pytest.fixture(scope="session")
def editor(draft, as_editor):
    """As an edit gets it."""
    return as_editor(draft)


@pytest.fixture(scope="session")
def edited(base, tmp_path_factory):
    """The bundle of some edits, as it was written and read."""

    def edit(requests, *, model=base, settings=(), **context):
        folder = tmp_path_factory.mktemp("bundle")
        surroundings = EditContext(ArtefactStore(folder / "artefacts"), **context)
        payload = Serac().edit(model, requests, Serac.parameters(**dict(settings)), surroundings)
        write_bundle(folder, payload.memory)
        return read_bundle("kb@v1", {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")})

    return edit
