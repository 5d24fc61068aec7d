"""A registered version as a plain folder, for others: what the registry keeps as rows and blobs, under its names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.durable import check_vacant, new_folder, sync_file, sync_folder
from patchmgr.manager.states import open_version
from patchmgr.package.card import render_card
from patchmgr.package.reader import CARD, MANIFEST, EditPackage

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr_registry import VersionRecord


def package_folder(manager: Manager, version: VersionRecord, folder: Path) -> EditPackage:
    """Lay a version out in a new folder: ``patch.json``, every file that it lists, ``model.sig`` if it is signed.

    The card is that of the package where its manifest lists one, and is written anew where it does not.

    Args:
        manager: the registry; nothing in it is changed.
        version: which one.
        folder: not there yet, or empty; it is there as a whole afterwards, or as it was before.

    Returns:
        The package, its files in the folder.

    Raises:
        ConflictError: something lies in the folder.
        IntegrityError: a blob is missing or damaged.
        StorageError: the disk is full, read-only or failing.
    """
    check_vacant(folder)
    package = open_version(manager, version)
    with new_folder(folder, what=f"the package {version.reference}") as temporary:
        for name, blob in package.files.items():
            place = temporary / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(blob, place)
            if place.parent != temporary:  # the others are synced at the end of the block
                sync_file(place)
                sync_folder(place.parent)
        if CARD not in package.files:
            card = render_card(package.manifest, package.requests, package.scores)
            (temporary / CARD).write_text(card, encoding="utf-8")
        (temporary / MANIFEST).write_bytes(version.manifest.encode())
    return EditPackage(package.manifest, {name: folder / name for name in (*package.files, CARD)})
