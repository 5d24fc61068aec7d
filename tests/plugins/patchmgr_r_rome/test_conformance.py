"""R-ROME passes the suite that is shipped to authors of methods."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from patchmgr.methods.contract import LoadedModel
from patchmgr.testing import MethodTestCase
from patchmgr_r_rome import RRome
from tiny_models import tiny_model, tiny_tokenizer

FAST: dict[str, Any] = {
    "statistics_tokens": 300,
    "context_count": 2,
    "steps": 50,
    "weight_decay": 1e-3,
    "learning_rate": 0.1,
}


class TestRRome(MethodTestCase):
    method = RRome()
    parameters = FAST


class TestRRomeOnLlama(MethodTestCase):
    """In the lowest block and by few steps: a random model reads little of a subject at the end of its prompt.

    The search gains .1 to .3 nats here, and the longer delta of 150 steps made a target less likely. It may be that the
    change at the other words of the prompt outweighs so small a gain.
    """

    method = RRome()
    parameters: ClassVar[dict[str, Any]] = {**FAST, "steps": 20}

    @pytest.fixture
    def loaded(self):
        return LoadedModel(tiny_model("llama"), tiny_tokenizer(), "tiny-llama")
