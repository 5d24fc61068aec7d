"""Which editor an edit uses: the one that is named, else the one that the version it goes on from was made with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from patchmgr.errors import NotFoundError, UsageError
from patchmgr.methods.contract import Method
from patchmgr.methods.training import Editor
from patchmgr.package.manifest import Manifest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.order import EditOrder

ARTEFACT = "editor"
"""Under which a manifest names the editor that made the package."""


def editor_of(manager: Manager, order: EditOrder, method: Method) -> Editor | None:
    """The editor, every byte checked; None: none is named, so a memory must carry its networks.

    Raises:
        NotFoundError: there is none of that name.
        UsageError: it is of another method.
        IntegrityError: a byte of it is not what it was.
    """
    return None if order.editor is None else manager.editors.open(order.editor, method=method.name)


def check_editor(manager: Manager, order: EditOrder, method: Method) -> None:
    """Make sure, before a model is loaded, that an edit has an editor if its method needs one, and no other.

    Raises:
        NotFoundError: there is none of that name.
        UsageError: it is missing, of another method, or of no use.
    """
    if order.editor is not None:
        if "trained-artefact" not in method.needs:
            raise UsageError(f"{method.name} uses no editor", hint="leave --editor out")
        found = manager.registry.editor(order.editor)
        if found.method != method.name:
            raise UsageError(
                f"{found.reference} is an editor of {found.method}, not of {method.name}",
                hint="see `patchmgr editor list`",
            )
    elif "trained-artefact" in method.needs and not _carries(manager, order, method):
        known = [each.reference for each in manager.registry.editors() if each.method == method.name]
        train = f"`patchmgr train {method.name} MODEL --data FILE --name NAME` makes one"
        raise UsageError(
            f"{method.name} needs a trained editor",
            hint=f"give --editor {' or '.join(known[-3:])}" if known else train,
        )


def _carries(manager: Manager, order: EditOrder, method: Method) -> bool:
    """Whether the version that is gone on from holds the networks itself, as a memory does."""
    goes_on = order.continues is not None or manager.registry.next_number(order.name) > 1
    return method.kind == "memory" and goes_on and not order.anew


def inherited_editor(manager: Manager, manifests: Sequence[Manifest], method: str) -> str | None:
    """The reference of the editor that versions of a method were all made with; None: they were made with none.

    Raises:
        UsageError: they were made with different ones.
        NotFoundError: it is not here.
    """
    digests = {made.method.artefacts.get(ARTEFACT) for made in manifests if made.method.name == method}
    if len(digests) > 1:
        raise UsageError("the packages were made with different editors", hint="give --editor")
    digest = next(iter(digests), None)
    if digest is None:
        return None
    try:
        return manager.registry.editor(f"sha256:{digest}").reference
    except NotFoundError:
        raise NotFoundError(
            f"{manifests[0].reference} was made with the editor sha256:{digest[:12]}, which is not here",
            hint="`patchmgr editor import` it, or give another one to --editor",
        ) from None
