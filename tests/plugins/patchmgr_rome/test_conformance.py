"""ROME passes the suite that is shipped to authors of methods."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from patchmgr.methods.contract import LoadedModel
from patchmgr.testing import MethodTestCase
from patchmgr_rome import Rome
from tiny_models import tiny_model, tiny_tokenizer

FAST: dict[str, Any] = {
    "statistics_tokens": 300,
    "context_count": 2,
    "steps": 50,
    "weight_decay": 1e-3,
    "learning_rate": 0.1,
}


class TestRome(MethodTestCase):
    method = Rome()
    parameters = FAST


class TestRomeWithConsistentKeysAndIdentity(MethodTestCase):
    method = Rome()
    parameters: ClassVar[dict[str, Any]] = {**FAST, "keys": "consistent", "statistics": "identity", "layer": 1}


class TestRomeOnLlama(MethodTestCase):
    method = Rome()
    parameters = FAST

    @pytest.fixture
    def loaded(self):
        return LoadedModel(tiny_model("llama"), tiny_tokenizer(), "tiny-llama")
