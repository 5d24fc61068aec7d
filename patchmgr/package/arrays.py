"""The arrays of a safetensors file that somebody else wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.base.header import read_header
from patchmgr.errors import FormatError

if TYPE_CHECKING:
    from patchmgr.package.encodings.contract import Array

_AXES = 32
"""More than this numpy does not know."""


def load_arrays(path: Path, *, where: str) -> dict[str, Array]:
    """Every array of a file, by name; none takes more memory than the file has bytes.

    Args:
        path: of the file.
        where: what it is, for messages.

    Raises:
        FormatError: it cannot be read, or holds a dtype or a shape that numpy does not know.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        for tensor in read_header(path).tensors:
            if len(tensor.shape) > _AXES:
                raise FormatError(f"{where} cannot be read ({tensor.name!r} has {len(tensor.shape)} axes)")
        return load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise FormatError(f"{where} cannot be read ({error})") from None
