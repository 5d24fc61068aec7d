"""The verbs by which states and packages are exchanged with programs that know nothing of patchmgr."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchmgr.manager.edit import EditResult
    from patchmgr.manager.export import Exported, ExportOrder
    from patchmgr.manager.importing import ImportPreview
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.order import EditOrder
    from patchmgr_registry import VersionRecord


class Exchange:
    """What :class:`patchmgr.manager.manager.Manager` exchanges; each verb lives in a file of its own."""

    @property
    @abstractmethod
    def _manager(self) -> Manager:
        """The manager itself."""

    def export(self, order: ExportOrder) -> Exported:
        """Write a state in a form for other programs; see :func:`patchmgr.manager.export.export`."""
        from patchmgr.manager.export import export

        return export(self._manager, order)

    def plan_export(self, order: ExportOrder) -> Exported:
        """What :meth:`export` would write; see :func:`patchmgr.manager.export.plan_export`."""
        from patchmgr.manager.export import plan_export

        return plan_export(self._manager, order)

    def adapter_files(self, version: VersionRecord) -> Mapping[str, bytes] | None:
        """The exact LoRA adapter of a package, if it has one; see :func:`patchmgr.manager.export.adapter_files`."""
        from patchmgr.manager.export import adapter_files

        return adapter_files(self._manager, version)

    def import_package(self, folder: Path, *, again: bool = False) -> VersionRecord:
        """Take a package in from a folder; see :func:`patchmgr.manager.importing.import_package`."""
        from patchmgr.manager.importing import import_package

        return import_package(self._manager, folder, again=again)

    def import_adapter(self, model: str, folder: Path, order: EditOrder) -> EditResult:
        """Make a package from a LoRA adapter; see :func:`patchmgr.manager.importing.import_adapter`."""
        from patchmgr.manager.importing import import_adapter

        return import_adapter(self._manager, model, folder, order)

    def check_import(self, folder: Path, model: str | None = None, order: EditOrder | None = None) -> ImportPreview:
        """Everything that an import checks first; see :func:`patchmgr.manager.importing.check_import`."""
        from patchmgr.manager.importing import check_import

        return check_import(self._manager, folder, model, order)
