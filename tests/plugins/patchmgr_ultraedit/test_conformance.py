"""UltraEdit passes the suite that is shipped to authors of methods."""

from __future__ import annotations

import pytest

from patchmgr.methods.contract import LoadedModel
from patchmgr.testing import MethodTestCase
from patchmgr_ultraedit import UltraEdit
from tiny_models import tiny_model, tiny_tokenizer


class TestUltraEdit(MethodTestCase):
    method = UltraEdit()


class TestUltraEditOfGatesOnLlama(MethodTestCase):
    method = UltraEdit()
    parameters = {"gate_layers": "0", "up_layers": "1", "batch": 1}  # noqa: RUF012

    @pytest.fixture
    def loaded(self):
        return LoadedModel(tiny_model("llama"), tiny_tokenizer(), "tiny-llama")
