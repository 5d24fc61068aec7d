"""Loading plugins one by one, so that a broken one is reported and stops nothing else."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

import pluggy

from patchmgr.errors import NotFoundError
from patchmgr.methods import hookspecs
from patchmgr.methods.contract import Method
from patchmgr.package import encodings
from patchmgr.package.encodings.contract import Encoding

GROUP = "patchmgr"
LIMIT_VARIABLE = "PATCHMGR_LOAD_PLUGINS"


@dataclass(frozen=True)
class PluginReport:
    """A plugin and how loading it went."""

    name: str
    module: str
    distribution: str
    status: str
    """``loaded``, ``failed`` or ``not loaded``."""
    reason: str = ""


@dataclass(frozen=True)
class Plugins:
    """What the loaded plugins brought."""

    manager: pluggy.PluginManager
    methods: Mapping[str, Method]
    encodings: Mapping[str, Encoding]
    reports: tuple[PluginReport, ...] = field(default=())

    def method(self, name: str) -> Method:
        """A method by name.

        Raises:
            NotFoundError: no loaded plugin brings it; names close matches.
        """
        try:
            return self.methods[name]
        except KeyError:
            close = difflib.get_close_matches(name, self.methods, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(self.methods)) or 'none'}"
            raise NotFoundError(f"there is no method {name!r}", hint=f"{hint}; see `patchmgr plugins`") from None


def load_plugins() -> Plugins:
    """Load what patchmgr brings and every plugin of the entry-point group.

    ``PATCHMGR_LOAD_PLUGINS`` limits the latter to a comma-separated list of names.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(encodings, "encodings")
    limit = os.environ.get(LIMIT_VARIABLE)
    allowed = None if limit is None else {name.strip() for name in limit.split(",")}
    reports = tuple(
        _load(manager, point, allowed) for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)
    )
    methods: dict[str, Method] = {}
    manager.hook.patchmgr_register_methods(register=lambda method: methods.setdefault(method.name, method))
    known: dict[str, Encoding] = {}
    manager.hook.patchmgr_register_encodings(register=lambda encoding: known.setdefault(encoding.name, encoding))
    return Plugins(manager, methods, known, reports)


def _load(manager: pluggy.PluginManager, point: EntryPoint, allowed: set[str] | None) -> PluginReport:
    distribution = f"{point.dist.name} {point.dist.version}" if point.dist else ""
    if allowed is not None and point.name not in allowed:
        return PluginReport(point.name, point.value, distribution, "not loaded", f"{LIMIT_VARIABLE} leaves it out")
    try:
        plugin = point.load()
        manager.register(plugin, point.name)
        manager.check_pending()
    except Exception as error:  # whatever a foreign module does when it is imported
        if manager.has_plugin(point.name):
            manager.unregister(name=point.name)
        return PluginReport(point.name, point.value, distribution, "failed", f"{type(error).__name__}: {error}")
    return PluginReport(point.name, point.value, distribution, "loaded")
