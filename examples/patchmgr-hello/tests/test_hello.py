"""Hello keeps the contract: the same suite that patchmgr's own methods pass."""

from typing import Any, ClassVar

from patchmgr.testing import MethodTestCase

from patchmgr_hello import Hello


class TestHello(MethodTestCase):
    """With the defaults."""

    method = Hello()


class TestHelloInTheFirstBlock(MethodTestCase):
    """With parameters of its own."""

    method = Hello()
    parameters: ClassVar[dict[str, Any]] = {"layer": 0, "steps": 5}
