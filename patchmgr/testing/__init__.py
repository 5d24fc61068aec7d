"""Helpers for authors of plugins: the suite that a method must pass, and a tiny model to try it on.

::

    from patchmgr.testing import MethodTestCase

    class TestHello(MethodTestCase):
        method = Hello()
        parameters = {"steps": 5}
"""

from __future__ import annotations

from patchmgr.testing.method_case import MethodTestCase
from patchmgr.testing.snapshot import Snapshot, snapshot
from patchmgr.testing.tiny import tiny_loaded_model, tiny_seq2seq, tiny_tokenizer

__all__ = ["MethodTestCase", "Snapshot", "snapshot", "tiny_loaded_model", "tiny_seq2seq", "tiny_tokenizer"]
