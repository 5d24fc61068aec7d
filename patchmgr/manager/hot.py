"""Patching a live model for a while, with packages whose signatures are asked for as before any other use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.manager.settings import load_settings
from patchmgr.manager.signing.ask import enforce, finding_of
from patchmgr.package.reader import EditPackage
from patchmgr.signing.trust import trusted_keys

if TYPE_CHECKING:
    from torch import nn

    from patchmgr.live.hot import HotState


@contextlib.contextmanager
def hot_apply(model: nn.Module, *packages: EditPackage | Path | str) -> Iterator[HotState]:
    """Give a live model the weights that packages make of it, inside the block only.

    As :func:`patchmgr.live.hot.hot_apply`, under the settings that hold here and now; no registry is needed.

    Raises:
        IntegrityError: a package is not signed as the setting ``signatures`` asks, or its signature is bad.
        PatchmgrError: as there.
    """
    from patchmgr.live import hot

    opened = [given if isinstance(given, EditPackage) else EditPackage.read(Path(given)) for given in packages]
    settings = load_settings()
    trusted = trusted_keys(settings.trust)
    for package in opened:
        enforce(package.manifest, finding_of(package, trusted), settings.signatures)
    with hot.hot_apply(model, *opened) as state:
        yield state
