"""The verbs that make or change something: models, packages, and what a model is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from patchmgr.manager.carry_out import Outcome
    from patchmgr.manager.edit import EditPreview, EditResult
    from patchmgr.manager.lock.lock import Locked
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.order import EditOrder
    from patchmgr.manager.signing.sign import Signed
    from patchmgr.manager.tags import TagChange
    from patchmgr.manager.write_out import WrittenOut
    from patchmgr.ops.plan import Plan
    from patchmgr.request import EditRequest
    from patchmgr.signing.sign import SigningOrder
    from patchmgr_registry import ModelRecord


class Changes:
    """What :class:`patchmgr.manager.manager.Manager` changes; each verb lives in a file of its own."""

    @property
    @abstractmethod
    def _manager(self) -> Manager:
        """The manager itself."""

    def add_model(self, name: str, source: str, *, revision: str | None = None) -> ModelRecord:
        """Register a base under a name and fingerprint it; see :func:`patchmgr.manager.model.add_model`."""
        from patchmgr.manager.model import add_model

        return add_model(self._manager, name, source, revision=revision)

    def remove_model(self, name: str) -> None:
        """Forget a model and its generations; packages and events stay."""
        from patchmgr.manager.model import remove_model

        remove_model(self._manager, name)

    def check_edit(self, model: str, order: EditOrder) -> EditPreview:
        """Everything that :meth:`edit` checks before it computes; see :func:`patchmgr.manager.edit.check_edit`."""
        from patchmgr.manager.edit import check_edit

        return check_edit(self._manager, model, order)

    def continued_order(self, reference: str, requests: Sequence[EditRequest], **given: Any) -> EditOrder:
        """An order that adds edits to a version; see :func:`patchmgr.manager.remaking.going_on.continued_order`."""
        from patchmgr.manager.remaking.going_on import continued_order

        return continued_order(self._manager, reference, requests, **given)

    def edit(self, model: str, order: EditOrder) -> EditResult:
        """Make the next version of a package; see :func:`patchmgr.manager.edit.edit`."""
        from patchmgr.manager.edit import edit

        return edit(self._manager, model, order)

    def plan(self, model: str, references: Sequence[str], *, revert: bool = False, cascade: bool = False) -> Plan:
        """What applying, or reverting, would do, without doing it."""
        from patchmgr.manager.change import plan

        return plan(self._manager, model, self._manager.nearby(references), revert=revert, cascade=cascade)

    def apply(
        self,
        model: str,
        references: Sequence[str],
        *,
        message: str = "",
        require: Sequence[str] = (),
        allow_conflicts: bool = False,
    ) -> Outcome:
        """Put packages on a model; see :func:`patchmgr.manager.change.apply`."""
        from patchmgr.manager.change import apply

        return apply(
            self._manager, model, references, message=message, require=require, allow_conflicts=allow_conflicts
        )

    def revert(self, model: str, references: Sequence[str], *, cascade: bool = False, message: str = "") -> Outcome:
        """Take packages out of a model; see :func:`patchmgr.manager.change.revert`."""
        from patchmgr.manager.change import revert

        return revert(self._manager, model, references, cascade=cascade, message=message)

    def rollback(self, model: str, generation: int | None = None, *, message: str = "") -> Outcome:
        """Make a model what it was; see :func:`patchmgr.manager.change.rollback`."""
        from patchmgr.manager.change import rollback

        return rollback(self._manager, model, generation, message=message)

    def plan_rollback(self, model: str, generation: int | None = None) -> Plan:
        """What rolling back would do, without doing it."""
        from patchmgr.manager.change import plan_rollback

        return plan_rollback(self._manager, model, generation)

    def write_out(
        self,
        model: str,
        references: Sequence[str],
        destination: Path,
        *,
        links: bool = False,
        allow_conflicts: bool = False,
    ) -> WrittenOut:
        """Write a state to a folder to ship; see :func:`patchmgr.manager.write_out.write_out`."""
        from patchmgr.manager.write_out import write_out

        return write_out(self._manager, model, references, destination, links=links, allow_conflicts=allow_conflicts)

    def plan_out(self, model: str, references: Sequence[str], destination: Path, *, links: bool = False) -> Plan:
        """What writing a state to a folder would write, without doing it."""
        from patchmgr.manager.write_out import plan_out

        return plan_out(self._manager, model, self._manager.nearby(references), destination, links=links)

    def lock(self, folder: Path, *, model: str | None = None, upgrade: bool = False, write: bool = True) -> Locked:
        """Make ``patches.lock`` from ``patches.toml``; see :func:`patchmgr.manager.lock.lock.lock`."""
        from patchmgr.manager.lock.lock import lock

        return lock(self._manager, folder, model=model, upgrade=upgrade, write=write)

    def lock_from(self, folder: Path, model: str, *, write: bool = True) -> Locked:
        """Write down what a model is now; see :func:`patchmgr.manager.lock.lock.lock_from`."""
        from patchmgr.manager.lock.lock import lock_from

        return lock_from(self._manager, folder, model, write=write)

    def sync(
        self,
        folder: Path,
        *,
        model: str | None = None,
        frozen: bool = False,
        message: str = "",
        require: Sequence[str] = (),
    ) -> tuple[Outcome, ...]:
        """Make models what ``patches.lock`` says; see :func:`patchmgr.manager.lock.sync.sync`."""
        from patchmgr.manager.lock.sync import sync

        return sync(self._manager, folder, model=model, frozen=frozen, message=message, require=require)

    def plan_sync(self, folder: Path, *, model: str | None = None, frozen: bool = False) -> Mapping[str, Plan]:
        """What syncing would do to each model, without doing it."""
        from patchmgr.manager.lock.sync import plan_sync

        return plan_sync(self._manager, folder, model=model, frozen=frozen)

    def sign(self, reference: str, order: SigningOrder, *, dry_run: bool = False) -> Signed:
        """Sign a package; see :func:`patchmgr.manager.signing.sign.sign`."""
        from patchmgr.manager.signing.sign import sign

        return sign(self._manager, reference, order, dry_run=dry_run)

    def tag(self, reference: str, name: str, *, move: bool = False, dry_run: bool = False) -> TagChange:
        """Tag a version; see :func:`patchmgr.manager.tags.tag`."""
        from patchmgr.manager.tags import tag

        return tag(self._manager, reference, name, move=move, dry_run=dry_run)

    def untag(self, text: str, *, dry_run: bool = False) -> TagChange:
        """Take a tag away; see :func:`patchmgr.manager.tags.untag`."""
        from patchmgr.manager.tags import untag

        return untag(self._manager, text, dry_run=dry_run)
