"""Packages of the Hub on trial: fetched beside the registry, which does not learn of them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from patchmgr.hub.reference import is_hub_reference

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


class Nearby:
    """Folders of packages that were fetched to be tried; they are gone when it is closed."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._folders = contextlib.ExitStack()
        self._found: dict[str, str] = {}

    def __call__(self, references: Sequence[str]) -> tuple[str, ...]:
        """References with those to the Hub replaced: by a digest where the registry has it, else by a folder.

        Raises:
            PatchmgrError: as those of :func:`patchmgr.manager.sharing.pull.pull`.
        """
        return tuple(self._near(text) if is_hub_reference(text) else text for text in references)

    def _near(self, text: str) -> str:
        from patchmgr.manager.sharing.remote_package import fetched, find_remote

        if text not in self._found:
            remote = find_remote(text)
            known = self._manager.registry.version_by_digest(remote.manifest.digest)
            self._found[text] = (
                f"sha256:{known.digest}"
                if known is not None
                else str(self._folders.enter_context(fetched(self._manager, remote)))
            )
        return self._found[text]

    def close(self) -> None:
        """Remove the folders."""
        self._folders.close()
