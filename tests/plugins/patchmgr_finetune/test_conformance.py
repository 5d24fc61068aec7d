"""FT-L and FT-M pass the suite that is shipped to authors of methods."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from patchmgr.methods.contract import LoadedModel
from patchmgr.testing import MethodTestCase, tiny_seq2seq
from patchmgr_finetune import FtL, FtM
from tiny_models import tiny_model, tiny_tokenizer


class TestFtL(MethodTestCase):
    method = FtL()


class TestFtM(MethodTestCase):
    method = FtM()


class TestFtMOnLlamaInTheMiddleWithALimit(MethodTestCase):
    method = FtM()
    parameters: ClassVar[dict[str, Any]] = {"layers": "0,1", "batch": 2, "clamp": 1e-3}

    @pytest.fixture
    def loaded(self):
        return LoadedModel(tiny_model("llama"), tiny_tokenizer(), "tiny-llama")


class TestFtLOnAnEncoderDecoder(MethodTestCase):
    method = FtL()

    @pytest.fixture
    def loaded(self):
        return tiny_seq2seq()


class TestFtMOnAnEncoderDecoder(MethodTestCase):
    method = FtM()

    @pytest.fixture
    def loaded(self):
        return tiny_seq2seq()
