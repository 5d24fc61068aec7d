"""What comes after: telling plugins of a change, and clearing away what killed processes left."""

from __future__ import annotations

import contextlib
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.durable import repoint
from patchmgr.errors import BusyError

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

_LOG = logging.getLogger("patchmgr")


def notify(manager: Manager, action: str, model: str, packages: tuple[str, ...], state_root: str) -> None:
    """Tell observing plugins of a committed change; one that fails is logged and changes nothing."""
    try:
        manager.plugins.manager.hook.patchmgr_after_change(
            action=action, model=model, packages=packages, state_root=state_root
        )
    except Exception:  # whatever a foreign observer does
        _LOG.warning("a plugin failed after %s of %s", action, model, exc_info=True)


def point_current(manager: Manager, model: str, folder: Path) -> None:
    """Let the model's ``current`` link point to the folder that the registry names; it follows and never leads."""
    home = manager.settings.generations(model).parent
    target = str(folder.relative_to(home)) if folder.is_relative_to(home) else str(folder)
    link = home / "current"
    if not link.is_symlink() or str(link.readlink()) != target:
        repoint(link, target)


def clear_leftovers(manager: Manager) -> None:
    """Finish off what killed processes left: their pending generations and the folders of these."""
    for stale in manager.registry.stale_generations():
        generations = manager.settings.generations(stale.model)
        with contextlib.suppress(BusyError), manager.registry.begin() as tx:  # another process may clear it too
            tx.fail_generation(stale.model, stale.number)
            for folder in (generations / str(stale.number), *generations.glob(f".new-{stale.number}-*")):
                shutil.rmtree(folder, ignore_errors=True)
            tx.commit()
