"""Turning a file of editing data into patchmgr's own requests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from patchmgr.durable import store_file
from patchmgr.output import check_output
from patchmgr.readers import Conversion, read_edits
from patchmgr.request import dump_requests

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


class Reading(TypedDict, total=False):
    """How a file is read; every part may be left out."""

    format: str | None
    """Name of the format; None: told by the keys."""
    options: Mapping[str, str]
    """Named choices of the format."""
    limit: int | None
    """At most so many cases; None: all."""
    seed: int
    """Decides which are drawn."""
    strict: bool
    """Whether what cannot be used is an error."""


def convert(
    manager: Manager,
    source: Path,
    destination: Path | None = None,
    *,
    overwrite: bool = False,
    **reading: Unpack[Reading],
) -> Conversion:
    """Read a file in any known format, and store its requests as JSON lines where a destination is given.

    The destination is written in one step: it is there as a whole, or as it was before.

    Args:
        manager: whose plugins bring the formats.
        source: the file.
        destination: where to; None: nothing is stored.
        overwrite: whether a file that is there may be replaced.
        reading: see :func:`patchmgr.readers.read.read_edits`.

    Raises:
        ConflictError: the destination is there already.
        NotFoundError: there is no such file, format or folder.
        RequestError: the file is broken, or of no known format.
        StorageError: the disk is full, read-only or failing.
        UsageError: an option that the format does not have.
    """
    if destination is not None:
        check_output(destination, overwrite=overwrite)
    conversion = read_edits(source, manager.plugins.readers, **reading)
    if destination is not None:
        store_file(dump_requests(conversion.requests), destination, what=destination.name)
    return conversion
