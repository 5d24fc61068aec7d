"""Rows that no program of ours wrote: what cannot be made of them is a damaged registry, not a bug."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from patchmgr.errors import IntegrityError
from patchmgr_registry.dialects.contract import Dialect, told


@contextmanager
def decoding(dialect: Dialect) -> Iterator[None]:
    """Turn what goes wrong while values are made of rows into words.

    Raises:
        IntegrityError: a row holds what is no value of its column.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise unreadable(dialect, error) from error


def unreadable(dialect: Dialect, error: Exception) -> IntegrityError:
    """The error for a row of which no values can be made."""
    return IntegrityError(
        f"a row of the registry {dialect.place} cannot be read ({type(error).__name__}: {told(error)})",
        hint=f"look with `patchmgr fsck`, and {dialect.restoring}",
    )
