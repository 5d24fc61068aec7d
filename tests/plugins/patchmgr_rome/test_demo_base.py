"""ROME on a model that knows something: the demo base says the new answer, and its neighbours keep theirs."""

from __future__ import annotations

import pytest
import torch

from patchmgr.demo.bases import demo_folder
from patchmgr.demo.edits import edit_requests
from patchmgr.live.load import load_model
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext
from patchmgr.methods.tokens import encode_answered
from patchmgr.request import parse_request
from patchmgr.testing.method_case import changed_copy
from patchmgr_rome import Rome

N_EDITS = 4


@pytest.fixture(scope="module")
def atlas(atlas_statistics):
    (covariance,) = ArtefactStore(atlas_statistics).entries()
    return load_model(demo_folder("atlas"), covariance.key["state_root"])


def says(model, tokenizer, prompt, target):
    """Whether every token of the target is the likeliest, the ones before it given."""
    answered = encode_answered(tokenizer, prompt, target)
    with torch.no_grad():
        likeliest = model(torch.tensor([answered.ids])).logits[0].argmax(-1)
    return likeliest[answered.n_prompt - 1 : -1].tolist() == list(answered.answer)


def test_the_demo_base_says_the_new_answers_and_its_neighbours_keep_theirs(atlas, atlas_statistics):
    requests = [parse_request(value, where=str(n)) for n, value in enumerate(edit_requests(N_EDITS, seed=0))]
    settings = Rome.parameters()  # the defaults, at the site that they choose
    context = EditContext(ArtefactStore(atlas_statistics))
    new, kept = [], []
    for request in requests:
        model = changed_copy(atlas.model, Rome().edit(atlas, [request], settings, context))
        new.append(says(model, atlas.tokenizer, request.text, request.target_new))
        neighbours = [probe for probe in request.locality if probe.kind == "neighborhood"]
        kept += [says(model, atlas.tokenizer, probe.prompt, probe.target) for probe in neighbours]
    assert len(context.artefacts.entries()) == 1, "the covariance was made again"
    assert sum(new) >= 0.75 * N_EDITS
    assert sum(kept) >= 0.9 * len(kept)
