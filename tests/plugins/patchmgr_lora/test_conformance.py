"""LoRA and AdaLoRA pass the suite that is shipped to authors of methods."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from patchmgr.methods.contract import LoadedModel
from patchmgr.testing import MethodTestCase, tiny_seq2seq
from patchmgr_lora import AdaLora, Lora
from tiny_models import tiny_model, tiny_tokenizer


class TestLora(MethodTestCase):
    method = Lora()
    parameters: ClassVar[dict[str, Any]] = {"steps": 8, "learning_rate": 5e-3}


class TestAdaLora(MethodTestCase):
    method = AdaLora()
    parameters: ClassVar[dict[str, Any]] = {"steps": 8, "learning_rate": 5e-3}


class TestLoraOnTheMlpOfLlama(MethodTestCase):
    method = Lora()
    parameters: ClassVar[dict[str, Any]] = {
        "steps": 8,
        "target_modules": "up_proj,down_proj",
        "layers": "1",
        "batch": 2,
    }

    @pytest.fixture
    def loaded(self):
        return LoadedModel(tiny_model("llama"), tiny_tokenizer(), "tiny-llama")


class TestLoraOnAnEncoderDecoder(MethodTestCase):
    method = Lora()
    parameters: ClassVar[dict[str, Any]] = {"steps": 8, "learning_rate": 5e-3}

    @pytest.fixture
    def loaded(self):
        return tiny_seq2seq()


class TestAdaLoraOnAnEncoderDecoder(MethodTestCase):
    method = AdaLora()
    parameters: ClassVar[dict[str, Any]] = {"steps": 8, "learning_rate": 5e-3}

    @pytest.fixture
    def loaded(self):
        return tiny_seq2seq()
