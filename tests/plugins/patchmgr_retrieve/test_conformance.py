"""Retrieve-and-prepend passes the suite that is shipped to authors of methods."""

from __future__ import annotations

from patchmgr.testing import MethodTestCase
from patchmgr_retrieve import Retrieve


class TestRetrieve(MethodTestCase):
    method = Retrieve()
