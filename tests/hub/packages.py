"""Two homes that share packages of a tiny base over the test Hub, made without torch."""

from __future__ import annotations

import shutil
from pathlib import Path

from checkpoints import make_checkpoint
from patchmgr.manager.manager import Manager
from patchmgr.manager.packages import adopt
from versions import make_version, request

REPO = "alice/fixes"
BASE = "base"


def base_of(folder: Path) -> Path:
    """The base, the same in every home."""
    place = folder / BASE
    return place if place.exists() else make_checkpoint(place)


def author(folder: Path, n_versions: int = 2) -> Manager:
    """A home with the base and versions of `fixes`."""
    manager = Manager.open(folder / "author")
    manager.add_model("tiny", str(base_of(folder)))
    for number in range(1, n_versions + 1):
        add_version(manager, folder, number)
    return manager


def add_version(manager: Manager, folder: Path, number: int, *, seed: int | None = None, name: str = "fixes") -> None:
    """Version ``number``, of other weights where ``seed`` is another."""
    place = folder / f"made-{name}-{number}-{seed}"
    make_version(
        place,
        base_of(folder),
        [request("France", f"Town {number}")],
        weights=number if seed is None else seed,
        scores={"reliability": 0.9},
        name=name,
        version=number,
        parent_version=number - 1 or None,
        message=f"version {number}",
        license="Apache-2.0",
    )
    adopt(manager, place)
    shutil.rmtree(place)


def reader(folder: Path, name: str = "reader") -> Manager:
    """A home with the base and no package."""
    manager = Manager.open(folder / name)
    manager.add_model("tiny", str(base_of(folder)))
    return manager
