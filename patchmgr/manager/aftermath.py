"""What comes after: telling plugins of a change, and clearing away what killed processes left."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.durable import repoint
from patchmgr.errors import BusyError, NotFoundError, StorageError

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

LEFTOVER_AFTER_S = 24 * 3600.0
"""What an edit left half-made is cleared away after this; an edit does not take so long."""

_OURS = re.compile(r"(?P<new>\.new-)?(?P<number>\d+)(?(new)-.*)")
"""Name of a generation's folder, finished or in the making."""
_LOG = logging.getLogger("patchmgr")


def notify(manager: Manager, action: str, model: str, packages: tuple[str, ...], state_root: str) -> None:
    """Tell observing plugins of a committed change; one that fails is logged and changes nothing."""
    try:
        manager.observers.hook.patchmgr_after_change(
            action=action, model=model, packages=packages, state_root=state_root
        )
    except Exception:  # whatever a foreign observer does
        _LOG.warning("a plugin failed after %s of %s", action, model, exc_info=True)


def point_current(manager: Manager, model: str, folder: Path) -> None:
    """Let the model's ``current`` link point to the folder that the registry names.

    The link follows and never leads, so a link that cannot be written is logged and undoes nothing. Of two changes the
    earlier may come here last; so it is asked again afterwards what the registry names.
    """
    home = manager.settings.generations(model).parent
    link, pointed = home / "current", None
    while folder != pointed:
        target = str(folder.relative_to(home)) if folder.is_relative_to(home) else str(folder)
        if not link.is_symlink() or str(link.readlink()) != target:
            try:
                repoint(link, target)
            except StorageError as error:
                _LOG.warning("%s; `patchmgr path %s` is right all the same", error, model)
                return
        try:
            pointed, folder = folder, _current_folder(manager, model)
        except NotFoundError:  # removed meanwhile
            return


def mend_links(manager: Manager) -> None:
    """Point every model's ``current`` link right: a process that was killed may have committed and not come to it."""
    for record in manager.registry.models():
        with contextlib.suppress(NotFoundError):  # removed meanwhile
            point_current(manager, record.name, _current_folder(manager, record.name))


def clear_leftovers(manager: Manager) -> None:
    """Finish off what killed processes left: pending generations with their folders, and scratch folders."""
    for stale in manager.registry.stale_generations():
        generations = manager.settings.generations(stale.model)
        # another process may clear it too, or the whole model
        with contextlib.suppress(BusyError, NotFoundError), manager.registry.begin() as tx:
            tx.fail_generation(stale.model, stale.number)
            for folder in (generations / str(stale.number), *generations.glob(f".new-{stale.number}-*")):
                shutil.rmtree(folder, ignore_errors=True)
            tx.commit()
    for record in manager.registry.models():
        _clear_folders(manager, record.name)
    for forgotten in (manager.settings.home / "tmp").glob("*-*"):
        with contextlib.suppress(FileNotFoundError):  # cleared away meanwhile
            if time.time() - forgotten.stat().st_mtime > LEFTOVER_AFTER_S:
                shutil.rmtree(forgotten, ignore_errors=True)
    manager.registry.blobs.remove_leftovers(older_than_s=LEFTOVER_AFTER_S)


def _clear_folders(manager: Manager, model: str) -> None:
    """Remove folders of generations that were given up or cleared away; the folders are listed before the rows.

    What has no name of ours is somebody's own.
    """
    listed = list(manager.settings.generations(model).glob("*"))
    found = [(folder, named) for folder in listed if (named := _OURS.fullmatch(folder.name))]
    if not found:
        return
    try:
        status = {str(generation.number): generation.status for generation in manager.registry.generations(model)}
    except NotFoundError:  # removed meanwhile, with its folders
        return
    for folder, named in found:
        if status.get(named["number"]) not in (("pending",) if named["new"] else ("pending", "ready")):
            shutil.rmtree(folder, ignore_errors=True)


def _current_folder(manager: Manager, model: str) -> Path:
    generation = manager.registry.generation(model)
    return Path(generation.folder or manager.registry.model(model).base.folder)
