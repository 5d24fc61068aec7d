"""Knowledge Neurons pass the suite that is shipped to authors of methods."""

from __future__ import annotations

import pytest

from patchmgr.methods.contract import LoadedModel
from patchmgr.testing import MethodTestCase
from patchmgr_kn import Kn
from tiny_models import tiny_model, tiny_tokenizer


class TestKn(MethodTestCase):
    method = Kn()


class TestKnOnOpt(MethodTestCase):
    """Activations below zero turn what is written around; a ReLU has none, where a gated MLP has as many as above."""

    method = Kn()

    @pytest.fixture
    def loaded(self):
        return LoadedModel(tiny_model("opt"), tiny_tokenizer(), "tiny-opt")
