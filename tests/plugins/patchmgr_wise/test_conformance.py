"""WISE passes the suite that is shipped to authors of methods."""

from __future__ import annotations

from typing import ClassVar

from patchmgr.testing import MethodTestCase
from patchmgr_wise import Wise


class TestWise(MethodTestCase):
    method = Wise()
    parameters: ClassVar = {"steps": 5}
