"""PMET passes the suite that is shipped to authors of methods."""

from __future__ import annotations

from typing import Any, ClassVar

from patchmgr.testing import MethodTestCase
from patchmgr_pmet import Pmet


class TestPmet(MethodTestCase):
    method = Pmet()
    parameters: ClassVar[dict[str, Any]] = {
        "statistics_tokens": 1000,
        "steps": 20,
        "weight_decay": 1e-3,
        "learning_rate": 0.1,
    }
