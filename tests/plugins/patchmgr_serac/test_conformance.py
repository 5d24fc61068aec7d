"""SERAC passes the suite that is shipped to authors of methods, with an editor that was trained for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import pytest

from patchmgr.request import EditRequest
from patchmgr.testing import MethodTestCase
from patchmgr_serac import Serac


class TestSerac(MethodTestCase):
    method = Serac()
    requests: ClassVar[Sequence[EditRequest]] = (
        EditRequest(prompt="The capital of {} is", subject="Italy", target_new="Rome"),
        EditRequest(prompt="The continent of {} is", subject="France", target_new="Asia"),
    )

    @pytest.fixture(autouse=True)
    def _trained(self, editor):
        self.editor = editor

    def run(self, loaded, context, requests=None):
        """With the editor, in every context."""
        return super().run(loaded, dataclasses.replace(context, editor=self.editor), requests)
