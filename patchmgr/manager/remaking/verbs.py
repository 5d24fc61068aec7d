"""The verbs that make packages again from packages, and that take out what more hangs on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchmgr.manager.edit import EditPreview, EditResult
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.remaking.merge import How, Merged, MergePreview
    from patchmgr.manager.remaking.rebase import Rebased
    from patchmgr.manager.remaking.reverting import Dependants, Reverted, RevertPreview
    from patchmgr.manager.remaking.source import Wishes


class Remaking:
    """What :class:`patchmgr.manager.manager.Manager` makes from packages; each verb lives in a file of its own."""

    @property
    @abstractmethod
    def _manager(self) -> Manager:
        """The manager itself."""

    def rebase(self, model: str, reference: str, wishes: Wishes) -> Rebased:
        """Make a package again on a model's state; see :func:`patchmgr.manager.remaking.rebase.rebase`."""
        from patchmgr.manager.remaking.rebase import rebase

        return rebase(self._manager, model, reference, wishes)

    def check_rebase(self, model: str, reference: str, wishes: Wishes) -> EditPreview:
        """What rebasing would make, without doing it."""
        from patchmgr.manager.remaking.rebase import check_rebase

        return check_rebase(self._manager, model, reference, wishes)

    def merge(
        self,
        model: str,
        name: str,
        references: Sequence[str],
        wishes: Wishes,
        *,
        how: How = "joint",
        prefer: str | None = None,
        measure: bool = True,
    ) -> Merged:
        """Make one package from several; see :func:`patchmgr.manager.remaking.merge.merge`."""
        from patchmgr.manager.remaking.merge import merge

        return merge(self._manager, model, name, references, wishes, how=how, prefer=prefer, measure=measure)

    def check_merge(
        self,
        model: str,
        name: str,
        references: Sequence[str],
        wishes: Wishes,
        *,
        how: How = "joint",
        prefer: str | None = None,
    ) -> MergePreview:
        """What merging would make, without doing it."""
        from patchmgr.manager.remaking.merge import check_merge

        return check_merge(self._manager, model, name, references, wishes, how=how, prefer=prefer)

    def cherry_pick(
        self,
        model: str,
        reference: str,
        edits: Sequence[str],
        wishes: Wishes,
        *,
        match: Sequence[str] = (),
        name: str | None = None,
    ) -> EditResult:
        """Make a package of some edits; see :func:`patchmgr.manager.remaking.cherry_pick.cherry_pick`."""
        from patchmgr.manager.remaking.cherry_pick import cherry_pick

        return cherry_pick(self._manager, model, reference, edits, wishes, match=match, name=name)

    def check_cherry_pick(
        self,
        model: str,
        reference: str,
        edits: Sequence[str],
        wishes: Wishes,
        *,
        match: Sequence[str] = (),
        name: str | None = None,
    ) -> EditPreview:
        """What picking would make, without doing it."""
        from patchmgr.manager.remaking.cherry_pick import check_cherry_pick

        return check_cherry_pick(self._manager, model, reference, edits, wishes, match=match, name=name)

    def take_out(
        self,
        model: str,
        references: Sequence[str],
        wishes: Wishes,
        *,
        edits: Sequence[str] = (),
        dependants: Dependants = "refuse",
        apply: bool = True,
        measure: bool = True,
    ) -> Reverted:
        """Revert packages that more hangs on, or single edits; see :mod:`patchmgr.manager.remaking.reverting`."""
        from patchmgr.manager.remaking.reverting import take_out

        return take_out(
            self._manager, model, references, wishes, edits=edits, dependants=dependants, apply=apply, measure=measure
        )

    def check_take_out(
        self,
        model: str,
        references: Sequence[str],
        wishes: Wishes,
        *,
        edits: Sequence[str] = (),
        dependants: Dependants = "refuse",
        apply: bool = True,
    ) -> RevertPreview:
        """What reverting would make and change, without doing it."""
        from patchmgr.manager.remaking.reverting import check_take_out

        return check_take_out(self._manager, model, references, wishes, edits=edits, dependants=dependants, apply=apply)
