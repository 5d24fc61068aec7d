"""The history of a model or of a package."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from patchmgr.errors import NotFoundError
from patchmgr_registry import GenerationRecord, VersionRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def log(manager: Manager, name: str) -> tuple[GenerationRecord, ...] | tuple[VersionRecord, ...]:
    """The generations of the model of this name, else the versions of the package, newest first.

    Raises:
        NotFoundError: there is neither.
    """
    models = [model.name for model in manager.registry.models()]
    if name in models:
        return tuple(reversed(manager.registry.generations(name)))
    packages = [package.name for package in manager.registry.packages()]
    if name in packages:
        return tuple(reversed(manager.registry.versions(name)))
    close = difflib.get_close_matches(name, [*models, *packages], n=3)
    raise NotFoundError(
        f"there is neither a model nor a package {name!r}",
        hint=f"did you mean {' or '.join(close)}?" if close else "see `patchmgr list` and `patchmgr model list`",
    )
