"""Answers as training has them: whatever a prompt says, and wherever the logits lie."""

from __future__ import annotations

import pytest
import torch

from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext
from patchmgr.request import EditRequest
from patchmgr.testing.method_case import memory_of
from patchmgr.testing.tiny import tiny_loaded_model
from patchmgr_finetune.examples import batched
from patchmgr_finetune.upper import Upper
from patchmgr_grace import Grace
from patchmgr_inside.answers import answered, mean_loss, row_losses
from patchmgr_melo import Melo
from patchmgr_wise import Wise


@pytest.fixture(scope="module")
def base():
    return tiny_loaded_model()


@pytest.mark.parametrize(("method", "more"), [(Grace(), {}), (Melo(), {}), (Wise(), {"irrelevant": 4, "contexts": 1})])
def test_braces_in_a_subject_mean_nothing(base, tmp_path, method, more):
    request = EditRequest(prompt="The sign {} means", subject="{} or {}", target_new="Rome")
    parameters = method.parameters(layer=1, steps=2, **more)
    payload = method.edit(base, [request], parameters, EditContext(ArtefactStore(tmp_path)))
    assert memory_of(payload.memory, base).route(["The sign {} or {} means"])[0] is not None


PAIRS = [("The capital of Atlantis is", "Rome or the tower"), ("Because", "Rome")]


class Said(Upper):
    """A batch whose logits are given."""

    def __init__(self, base, logits_of):
        self.batch = batched(base.model, answered(base, PAIRS))
        self.logits = lambda: logits_of(len(self.batch.flat_places))


def test_losses_are_means_over_the_tokens_of_each_answer(base):
    generator = torch.Generator().manual_seed(0)
    rows, logits = answered(base, PAIRS), []

    def drawn(n_places):
        logits.append(torch.randn(n_places, len(base.tokenizer), generator=generator))
        return logits[-1]

    found = row_losses(Said(base, drawn), [len(row.targets) for row in rows])
    place, expected = 0, []
    for row in rows:
        said = logits[0][place : place + len(row.targets)]
        expected.append(float(torch.nn.functional.cross_entropy(said, torch.tensor(row.targets))))
        place += len(row.targets)
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    mean = mean_loss(Said(base, lambda _n: logits[0]))
    assert float(mean) == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_losses_lie_where_the_logits_do_which_may_be_another_device_than_the_first(base):
    upper = Said(base, lambda n: torch.empty(n, len(base.tokenizer), device="meta"))
    assert mean_loss(upper).device.type == "meta"
    assert row_losses(upper, [len(row.targets) for row in answered(base, PAIRS)]).device.type == "meta"
