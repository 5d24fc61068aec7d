"""R-ROME passes the suite that is shipped to authors of methods."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from patchmgr.methods.contract import LoadedModel
from patchmgr.testing import MethodTestCase
from patchmgr_r_rome import RRome
from tiny_models import tiny_model, tiny_tokenizer

FAST: dict[str, Any] = {"statistics_tokens": 1000, "context_count": 2, "weight_decay": 1e-3, "learning_rate": 0.1}


class TestRRome(MethodTestCase):
    method = RRome()
    parameters = FAST


class TestRRomeOnLlama(MethodTestCase):
    """In the lowest block and by few steps; of what is written higher up the target is out of reach.

    A random model reads little of a subject at the end of the prompt: the search gains .1 to .3 nats here, and the
    longer delta of all 150 steps ends worse, not better. The change touches the other words of the prompt too, from
    the next block on by as much, so that chance decides whether the target gets likelier. In the last block nothing at
    the subject is read any more, the gradient is rounding error, and Adam makes whole steps of it.
    """

    method = RRome()
    parameters: ClassVar[dict[str, Any]] = {**FAST, "steps": 20}

    @pytest.fixture
    def loaded(self):
        return LoadedModel(tiny_model("llama"), tiny_tokenizer(), "tiny-llama")
