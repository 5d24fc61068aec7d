"""The verbs that speak to the Hub."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchmgr.hub.search import FoundRepository
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.sharing.against import Against
    from patchmgr.manager.sharing.outdated import Outdated
    from patchmgr.manager.sharing.pull import Pulled
    from patchmgr.manager.sharing.push import Pushed


class Sharing:
    """What :class:`patchmgr.manager.manager.Manager` shares; each verb lives in a file of its own."""

    @property
    @abstractmethod
    def _manager(self) -> Manager:
        """The manager itself."""

    def push(
        self, reference: str, repo: str, *, private: bool = True, create_pr: bool = False, dry_run: bool = False
    ) -> Pushed:
        """Publish a version on the Hub; see :func:`patchmgr.manager.sharing.push.push`."""
        from patchmgr.manager.sharing.push import push

        return push(self._manager, reference, repo, private=private, create_pr=create_pr, dry_run=dry_run)

    def pull(
        self,
        reference: str,
        *,
        model: str | None = None,
        any_source: bool = False,
        again: bool = False,
        dry_run: bool = False,
    ) -> Pulled:
        """Take a version from the Hub into the registry; see :func:`patchmgr.manager.sharing.pull.pull`."""
        from patchmgr.manager.sharing.pull import pull

        return pull(self._manager, reference, model=model, any_source=any_source, again=again, dry_run=dry_run)

    def search_hub(
        self,
        text: str = "",
        *,
        base: str | None = None,
        method: str | None = None,
        author: str | None = None,
        limit: int = 20,
    ) -> tuple[FoundRepository, ...]:
        """Find packages on the Hub; see :func:`patchmgr.hub.search.search_hub`."""
        from patchmgr.hub.search import search_hub

        return search_hub(text, base=base, method=method, author=author, limit=limit)

    def verify_against(self, reference: str, base: str) -> Against:
        """Compare a package with a base on the Hub; see :func:`patchmgr.manager.sharing.against.verify_against`."""
        from patchmgr.manager.sharing.against import verify_against

        return verify_against(self._manager, reference, base)

    def outdated(self, model: str | None = None) -> tuple[Outdated, ...]:
        """Newer versions of what is applied; see :func:`patchmgr.manager.sharing.outdated.outdated`."""
        from patchmgr.manager.sharing.outdated import outdated

        return outdated(self._manager, model)
