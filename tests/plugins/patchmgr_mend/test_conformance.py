"""MEND passes the suite that is shipped to authors of methods, with editors that were trained for its models."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, ClassVar

import pytest

from patchmgr.testing import MethodTestCase
from patchmgr_mend import Mend


class WithAnEditor:
    """The editor is there in every context."""

    def run(self, loaded, context, requests=None):
        return super().run(loaded, dataclasses.replace(context, editor=self.editor), requests)


class TestMend(WithAnEditor, MethodTestCase):
    method = Mend()

    @pytest.fixture(autouse=True)
    def _trained(self, suite_draft, as_editor):
        self.editor = as_editor(suite_draft)


class TestMendByRidge(TestMend):
    parameters: ClassVar[dict[str, Any]] = {"aggregation": "malmen", "batch": 1}


class TestMendOnAnEncoderDecoder(WithAnEditor, MethodTestCase):
    method = Mend()

    @pytest.fixture(autouse=True)
    def _trained(self, t5_draft, as_editor):
        self.editor = as_editor(t5_draft)

    @pytest.fixture
    def loaded(self, t5):
        return dataclasses.replace(t5, model=copy.deepcopy(t5.model))
