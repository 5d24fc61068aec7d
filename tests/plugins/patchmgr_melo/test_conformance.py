"""MELO passes the suite that is shipped to authors of methods."""

from __future__ import annotations

from typing import ClassVar

from patchmgr.testing import MethodTestCase
from patchmgr_melo import Melo


class TestMelo(MethodTestCase):
    method = Melo()
    parameters: ClassVar = {"steps": 5}
