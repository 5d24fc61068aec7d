"""AlphaEdit passes the suite that is shipped to authors of methods."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from patchmgr.methods.contract import LoadedModel
from patchmgr.testing import MethodTestCase
from patchmgr_alphaedit import AlphaEdit
from tiny_models import tiny_model, tiny_tokenizer

FAST: dict[str, Any] = {"statistics_tokens": 500, "steps": 20, "weight_decay": 1e-3, "learning_rate": 0.1}


class TestAlphaEdit(MethodTestCase):
    method = AlphaEdit()
    parameters = FAST


class TestAlphaEditOnLlamaInTheMiddle(MethodTestCase):
    method = AlphaEdit()
    parameters: ClassVar[dict[str, Any]] = {
        **FAST,
        "null_share": 0.2,
        "layers": "1",
        "batch": 1,
    }

    @pytest.fixture
    def loaded(self):
        return LoadedModel(tiny_model("llama"), tiny_tokenizer(), "tiny-llama")
