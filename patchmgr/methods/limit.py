"""``PATCHMGR_LOAD_PLUGINS``: which of the installed plugins may be loaded, and what it names in vain."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

GROUP = "patchmgr"
LIMIT_VARIABLE = "PATCHMGR_LOAD_PLUGINS"


@dataclass(frozen=True)
class PluginReport:
    """A plugin and how loading it went."""

    name: str
    module: str
    distribution: str
    status: str
    """``loaded``, ``failed``, ``not loaded`` or ``not installed``."""
    reason: str = ""


def unmet_limits() -> tuple[PluginReport, ...]:
    """What ``PATCHMGR_LOAD_PLUGINS`` names and nothing that is installed is; nothing is loaded to tell."""
    there = {point.name: point for point in entry_points(group=GROUP)}
    allowed = limits() or {}
    return (
        *(PluginReport(name, "-", "-", "not installed", f"{LIMIT_VARIABLE} names it")
          for name in sorted(allowed) if name and name not in there),
        *(misfit(there[name], pinned) for name, pinned in sorted(allowed.items())
          if name in there and not fits(there[name], pinned)),
    )  # fmt: skip


def limits() -> dict[str, str | None] | None:
    """The names that may be loaded, with their versions; None: all."""
    limit = os.environ.get(LIMIT_VARIABLE)
    return None if limit is None else dict(_wanted(part) for part in limit.split(","))


def _wanted(part: str) -> tuple[str, str | None]:
    """Name and version of ``rome`` or ``rome==0.1.0``; None: any version."""
    name, pinned, version = part.partition("==")
    return name.strip(), version.strip() if pinned else None


def fits(point: EntryPoint, pinned: str | None) -> bool:
    """Whether a plugin has the version that is wanted of it."""
    return pinned is None or (point.dist is not None and point.dist.version == pinned)


def misfit(point: EntryPoint, pinned: str | None) -> PluginReport:
    """What is said of a plugin of another version."""
    distribution = f"{point.dist.name} {point.dist.version}" if point.dist else ""
    reason = f"{LIMIT_VARIABLE} wants version {pinned} of it"
    return PluginReport(point.name, point.value, distribution, "not loaded", reason)
