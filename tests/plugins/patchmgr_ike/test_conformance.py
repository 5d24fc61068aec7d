"""IKE passes the suite that is shipped to authors of methods."""

from __future__ import annotations

from patchmgr.testing import MethodTestCase
from patchmgr_ike import Ike


class TestIke(MethodTestCase):
    method = Ike()
