"""Running out of memory, on the processor or on a device, said in words."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from patchmgr.errors import MethodError

_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")
"""How torch and the libraries below it say it, in lower case; the kinds of their errors differ."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of the machine or of a device."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)


@contextlib.contextmanager
def within_memory(doing: str, *, hint: str) -> Iterator[None]:
    """A block whose failure for want of memory becomes one sentence.

    Args:
        doing: what is done in it, such as ``loading the model``.
        hint: what takes less.

    Raises:
        MethodError: memory ran out in the block; says where, and how much was asked for where that is known.
    """
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        reason = " ".join((str(error).strip().splitlines() or [""])[0].split())[:160]
        raise MethodError(f"memory ran out while {doing}{f' ({reason})' if reason else ''}", hint=hint) from error
