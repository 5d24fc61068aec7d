"""MEMIT passes the suite that is shipped to authors of methods."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from patchmgr.methods.contract import LoadedModel
from patchmgr.testing import MethodTestCase
from patchmgr_memit import Memit
from tiny_models import tiny_model, tiny_tokenizer

FAST: dict[str, Any] = {"statistics_tokens": 1000, "steps": 20, "weight_decay": 1e-3, "learning_rate": 0.1}


class TestMemit(MethodTestCase):
    method = Memit()
    parameters = FAST


class TestMemitOnLlamaWithIdentityInTheMiddle(MethodTestCase):
    """In the lowest block one of the two targets stays out of reach of a random model: see R-ROME's on Llama."""

    method = Memit()
    parameters: ClassVar[dict[str, Any]] = {
        **FAST,
        "statistics": "identity",
        "layers": "1",
        "batch": 1,
    }

    @pytest.fixture
    def loaded(self):
        return LoadedModel(tiny_model("llama"), tiny_tokenizer(), "tiny-llama")
