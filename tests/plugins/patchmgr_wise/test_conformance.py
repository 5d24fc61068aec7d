"""WISE passes the suite that is shipped to authors of methods."""

from __future__ import annotations

from patchmgr.testing import MethodTestCase
from patchmgr_wise import Wise


class TestWise(MethodTestCase):
    method = Wise()
    parameters = {"steps": 5}
