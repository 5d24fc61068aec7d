"""The version before a memory: an edit adds to it, takes over what it was made by, and forgets what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchmgr.errors import UsageError
from patchmgr.manager.order import EditOrder, Inherited
from patchmgr.manager.remaking.alike import taken_over
from patchmgr.manager.remaking.picking import find
from patchmgr.methods.contract import Method
from patchmgr.package.manifest import parse_manifest
from patchmgr_registry import VersionRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def version_before(manager: Manager, order: EditOrder) -> VersionRecord | None:
    """The version whose memory an order adds to; None: it is the first."""
    if order.anew or manager.registry.next_number(order.name) == 1:
        return None
    return manager.registry.version(order.name if order.continues is None else order.continues.reference)


def check_there(manager: Manager, order: EditOrder, before: VersionRecord | None) -> None:
    """Make sure that a memory has what it shall forget.

    Raises:
        UsageError: there is no version before, or it lacks an entry; names it.
    """
    if before is None:
        raise UsageError(f"there is no version of {order.name} to forget from", hint="leave --forget out")
    edits = manager.registry.edits(before.digest)
    for text in order.forget:
        if find(edits, text) is None:
            raise UsageError(
                f"{before.reference} has no entry {text!r} to forget",
                hint=f"see `patchmgr show {before.reference} --edits`",
            )


def inherited_from(before: VersionRecord, method: Method) -> Inherited:
    """What somebody gave when the memory that an order adds to was made: it stays unless it is given anew."""
    manifest = parse_manifest(before.manifest.encode())
    if manifest.method.name != method.name:
        return Inherited()
    return taken_over(manifest, method.parameters, other_base=True)
