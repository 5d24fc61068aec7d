"""The verbs that look after what is there: checking, counting, clearing away."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from patchmgr.manager.audit.trail import AuditReport
    from patchmgr.manager.backup.make import Backup
    from patchmgr.manager.du import DiskUsage
    from patchmgr.manager.forget import Forgetting
    from patchmgr.manager.fsck.contract import Report as FsckReport
    from patchmgr.manager.gc import Cleared
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.verify import Verified, VerifiedPackage


class Upkeep:
    """How :class:`patchmgr.manager.manager.Manager` looks after things; each verb lives in a file of its own."""

    @property
    @abstractmethod
    def _manager(self) -> Manager:
        """The manager itself."""

    def verify_model(self, name: str) -> Verified:
        """Read a model's base and touched tensors again and compare them with the registry."""
        from patchmgr.manager.verify import verify_model

        return verify_model(self._manager, name)

    def gc(
        self,
        model: str | None = None,
        *,
        keep: int = 3,
        older_than_s: float | None = None,
        dry_run: bool = False,
    ) -> Cleared:
        """Clear away what is not needed; see :func:`patchmgr.manager.gc.gc`."""
        from patchmgr.manager.gc import gc

        return gc(self._manager, model, keep=keep, older_than_s=older_than_s, dry_run=dry_run)

    def verify_audit(self) -> AuditReport:
        """Check the chain of events."""
        from patchmgr.manager.audit.trail import verify_audit

        return verify_audit(self._manager)

    def verify(
        self, name: str, *, key: Path | None = None, certificate: Path | None = None
    ) -> Verified | VerifiedPackage:
        """Verify a model or a package to the last byte; see :func:`patchmgr.manager.verify.verify`."""
        from patchmgr.manager.verify import verify

        return verify(self._manager, name, key=key, certificate=certificate)

    def fsck(self, *, full: bool = False) -> FsckReport:
        """Look at everything that the registry and the folders promise; see :func:`patchmgr.manager.fsck.run.fsck`."""
        from patchmgr.manager.fsck.run import fsck

        return fsck(self._manager, full=full)

    def backup(self, place: Path, *, artefacts: bool = False, force: bool = False, dry_run: bool = False) -> Backup:
        """Copy the whole registry; see :func:`patchmgr.manager.backup.make.backup`."""
        from patchmgr.manager.backup.make import backup

        return backup(self._manager, place, artefacts=artefacts, force=force, dry_run=dry_run)

    def forget(self, reference: str, *, reason: str, revert: bool = False, dry_run: bool = False) -> Forgetting:
        """Erase a version's texts and payload; see :func:`patchmgr.manager.forget.forget`."""
        from patchmgr.manager.forget import forget

        return forget(self._manager, reference, reason=reason, revert=revert, dry_run=dry_run)

    def du(self, model: str | None = None) -> DiskUsage:
        """What everything takes on the disk; see :func:`patchmgr.manager.du.du`."""
        from patchmgr.manager.du import du

        return du(self._manager, model)
