"""Rows that no program of ours wrote: what cannot be made of them is a damaged registry, not a bug."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from patchmgr.errors import IntegrityError

RESTORE = "look with `patchmgr fsck`, and `patchmgr restore` a backup"


@contextmanager
def decoding(place: str) -> Iterator[None]:
    """Turn what goes wrong while values are made of rows into words.

    Raises:
        IntegrityError: a row holds what is no value of its column.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise IntegrityError(f"a row of the registry {place} cannot be read ({reason})", hint=RESTORE) from error
