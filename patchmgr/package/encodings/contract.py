"""What an encoding is: arrays under reserved names, checked once, that become terms of an exact sum.

An *additive* encoding gives each row block of the tensor as a list of products to be summed onto the base. (Replacing
encodings, valid only on the bytes that they were made on, come as a second contract beside this one.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Factors:
    """A delta of a tensor as ``u @ v``: u (rows, rank), v (rank, columns), float32."""

    u: Array
    v: Array

    @property
    def rank(self) -> int:
        """Number of products in each element's sum."""
        return int(self.u.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the delta."""
        return int(self.u.shape[0]), int(self.v.shape[1])


class Encoding(Protocol):
    """One way of storing a delta in ``weights.safetensors``."""

    name: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]
    """Suffixes of the arrays of one tensor; array names are ``<tensor>/<part>``."""

    def encode(self, delta: Factors) -> Mapping[str, Array]:
        """The arrays of a delta, by part."""
        ...

    def decode(self, arrays: Mapping[str, Array], shape: tuple[int, ...], *, where: str) -> Factors:
        """The delta of a tensor of this shape.

        Raises:
            FormatError: an array has the wrong dtype or shape, or holds a NaN or an infinity; names ``where``.
        """
        ...
