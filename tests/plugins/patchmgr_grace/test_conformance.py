"""GRACE passes the suite that is shipped to authors of methods."""

from __future__ import annotations

from typing import ClassVar

from patchmgr.testing import MethodTestCase
from patchmgr_grace import Grace


class TestGrace(MethodTestCase):
    method = Grace()
    parameters: ClassVar = {"steps": 5}
