"""EMMET on tiny models equals the published formula worked out literally, and ROME's update for one edit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from literal_family import literal_deltas
from patchmgr.errors import MethodError
from patchmgr.methods.architecture import find_architecture
from patchmgr.request import EditRequest
from patchmgr_emmet import Emmet
from patchmgr_keyvalue.statistics import second_moments
from patchmgr_rome.equations import rank_one_update
from tiny_models import ARCHITECTURES, HIDDEN, INNER, loaded_model

ATLANTIS = EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome")
ADA = EditRequest(prompt="Because of Ada Lovelace", subject="Ada Lovelace", target_new="tower")
TWO = (ATLANTIS, ADA)
VALUES = {
    "steps": 3, "learning_rate": 0.1, "weight_decay": 0.3, "clamp": 1.5, "kl_factor": 0.5, "stop_loss": 0.0
}  # fmt: skip
FAST = {**VALUES, "statistics_tokens": 200, "statistics_damping": 0.01, "layer": 1}


def edit(loaded, context, requests=TWO, **settings):
    return Emmet().edit(loaded, requests, Emmet.parameters(**{**FAST, **settings}), context)


def damped_moment(loaded, context):
    projection = find_architecture(loaded.model).down_projection(1)
    (moment,) = second_moments(loaded, [projection], context, n_tokens=200, seed=0)
    return moment.matrix + 0.01 * moment.matrix.trace() / len(moment.matrix) * torch.eye(len(moment.matrix)).double()


def change_of(loaded, payload):
    """ΔW as (d_out, d_in)."""
    (delta,) = payload.deltas
    product = torch.from_numpy(delta.u.astype(np.float64) @ delta.v)
    return product if find_architecture(loaded.model).down_projection(1).orientation == "out_in" else product.T


def check(loaded, context, weight, slack, requests):
    payload = edit(loaded, context, requests, covariance_weight=weight, slack=slack, batch=2)
    C = weight * damped_moment(loaded, context)

    def update(_layer, K, R):
        inverse = torch.linalg.inv(C)
        return R @ torch.linalg.inv(K.T @ inverse @ K + slack * torch.eye(K.shape[1]).double()) @ K.T @ inverse

    wanted = literal_deltas(loaded.model, loaded.tokenizer, [1], payload.contexts, requests, VALUES, update)[1]
    assert (change_of(loaded, payload) - wanted).norm() < 1e-4 * wanted.norm()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_delta_is_that_of_the_published_formula(name, context):
    check(loaded_model(name), context, 2.0, 0.1, TWO)


def test_a_square_weight_is_not_transposed(context):
    check(loaded_model("llama", intermediate_size=HIDDEN), context, 2.0, 0.1, TWO)


def test_one_edit_without_slack_is_romes_update_for_the_same_key_and_value(context):
    loaded = loaded_model("gpt2")
    payload = edit(loaded, context, [ADA], slack=0.0)
    change, key = change_of(loaded, payload), torch.from_numpy(payload.state["keys/1"][:, 0]).double()
    W = find_architecture(loaded.model).down_projection(1).matrix().double()
    expected = rank_one_update(W, damped_moment(loaded, context), key, (W + change) @ key)
    assert (change - expected).norm() < 1e-4 * expected.norm()


def test_a_layer_that_a_preset_names_and_the_model_lacks_is_refused(context):
    with pytest.raises(MethodError, match="layer 17 is out of range"):
        edit(loaded_model("gpt2"), context, **Emmet.parameters.presets["gpt2-xl"])


def test_the_payload_says_what_slack_was_derived(context):
    payload = edit(loaded_model("gpt2"), context, slack_share=0.5)
    (site,) = payload.parameters["sites"]
    assert site["layer"] == 1
    assert site["slack"] > 0
    assert (payload.deltas[0].u.shape, payload.deltas[0].v.shape) == ((INNER, 2), (2, HIDDEN))
