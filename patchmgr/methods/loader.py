"""Loading plugins one by one, so that a broken one is reported and stops nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from patchmgr.errors import NotFoundError, UsageError
from patchmgr.methods import hookspecs
from patchmgr.methods.limit import GROUP, LIMIT_VARIABLE, PluginReport, fits, limits, misfit, unmet_limits

if TYPE_CHECKING:
    import typer

    from patchmgr.exporters.contract import Exporter
    from patchmgr.methods.contract import Method
    from patchmgr.methods.runtime import AnyRuntime
    from patchmgr.methods.training import Trainer
    from patchmgr.metrics.contract import Metric
    from patchmgr.package.encodings.contract import Encoding
    from patchmgr.readers.contract import Reader

_KINDS = ("methods", "encodings", "metrics", "readers", "runtimes", "trainers", "exporters")
"""What plugins register, each by the hook of its name."""


@dataclass(frozen=True)
class Plugins:
    """What the loaded plugins brought."""

    manager: pluggy.PluginManager
    methods: Mapping[str, Method]
    encodings: Mapping[str, Encoding]
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    readers: Mapping[str, Reader] = field(default_factory=dict)
    runtimes: Mapping[str, AnyRuntime] = field(default_factory=dict)
    trainers: Mapping[str, Trainer] = field(default_factory=dict)
    exporters: Mapping[str, Exporter] = field(default_factory=dict)
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

    def trainer(self, method: str) -> Trainer:
        """The trainer of a method.

        Raises:
            NotFoundError: there is no such method.
            UsageError: its edits need no training.
        """
        self.method(method)
        if method not in self.trainers:
            known = ", ".join(sorted(self.trainers)) or "none"
            raise UsageError(f"{method} needs no training", hint=f"trained before they edit: {known}")
        return self.trainers[method]

    def exporter(self, name: str) -> Exporter:
        """An exporter by name.

        Raises:
            UsageError: no loaded plugin brings it; names those that are known.
        """
        if name not in self.exporters:
            known = ", ".join(sorted(self.exporters)) or "none"
            raise UsageError(f"nothing is exported to {name!r}", hint=f"known: {known}")
        return self.exporters[name]

    def runtime(self, name: str, *, wanted_by: str) -> AnyRuntime:
        """A memory runtime by name.

        Raises:
            NotFoundError: no loaded plugin brings it; says which package wants it.
        """
        found = self.runtimes.get(name)
        if found is None:
            known = ", ".join(sorted(self.runtimes)) or "none"
            raise NotFoundError(
                f"{wanted_by} answers by {name!r}, which is not known here",
                hint=f"known: {known}; install the plugin that brings it",
            )
        return found


def load_plugins() -> Plugins:
    """Load what patchmgr brings and every plugin of the entry-point group.

    ``PATCHMGR_LOAD_PLUGINS`` limits the latter to a comma-separated list of names, each with ``==`` and a version where
    no other shall be loaded.
    """
    manager = _new_manager()
    known: dict[str, dict[str, Any]] = {kind: {} for kind in _KINDS}

    def admit(plugin: object, name: str) -> None:
        """Register a plugin and what it brings; whatever it does wrong, nothing of it stays."""
        if manager.register(plugin, name) is None:
            raise ValueError(f"{name} is blocked")
        try:
            manager.check_pending()
            brought = {kind: _brought(manager, plugin, kind) for kind in _KINDS}
            for kind, things in brought.items():
                _check_free(known[kind], things)
        except BaseException:
            manager.unregister(plugin)
            raise
        for kind, things in brought.items():
            known[kind].update(things)

    from patchmgr import exporters, metrics, readers
    from patchmgr.package import encodings

    admit(encodings, "patchmgr-encodings")
    admit(metrics, "patchmgr-metrics")
    admit(readers, "patchmgr-readers")
    admit(exporters, "patchmgr-exporters")
    reports = _load_all(admit)
    return Plugins(manager, **known, reports=reports)


def load_observers() -> pluggy.PluginManager:
    """The plugins of the entry-point group without what they bring, for calling the hooks that observe."""
    manager = _new_manager()

    def admit(plugin: object, name: str) -> None:
        manager.register(plugin, name)

    _load_all(admit)
    return manager


def register_commands(app: typer.Typer) -> list[PluginReport]:
    """Let plugins add their commands; returns the reports of those that failed to."""
    plugins, failed = load_plugins(), []
    for name, plugin in plugins.manager.list_name_plugin():
        try:
            _only(plugins.manager, "patchmgr_register_commands", plugin)(app=app)
        except Exception as error:  # whatever a foreign module does
            failed.append(PluginReport(name, str(plugin), "", "failed", f"{type(error).__name__}: {error}"))
    return failed


def _new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _load_all(admit: Callable[[object, str], None]) -> tuple[PluginReport, ...]:
    allowed = limits()
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    missing = [report for report in unmet_limits() if report.status == "not installed"]
    return (*(_load(point, allowed, admit) for point in points), *missing)


def _load(
    point: EntryPoint, allowed: Mapping[str, str | None] | None, admit: Callable[[object, str], None]
) -> PluginReport:
    distribution = f"{point.dist.name} {point.dist.version}" if point.dist else ""
    if allowed is not None and point.name not in allowed:
        return PluginReport(point.name, point.value, distribution, "not loaded", f"{LIMIT_VARIABLE} leaves it out")
    pinned = None if allowed is None else allowed[point.name]
    if not fits(point, pinned):
        return misfit(point, pinned)
    try:
        admit(point.load(), point.name)
    except (Exception, SystemExit) as error:  # whatever a foreign module does when it is imported
        return PluginReport(point.name, point.value, distribution, "failed", f"{type(error).__name__}: {error}")
    return PluginReport(point.name, point.value, distribution, "loaded")


def _brought(manager: pluggy.PluginManager, plugin: object, kind: str) -> dict[str, Any]:
    """What one plugin brings of one kind, by name."""
    found: list[Any] = []
    _only(manager, f"patchmgr_register_{kind}", plugin)(register=found.append)
    return {each.name: each for each in found}


def _check_free(taken: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    for name in wanted:
        if name in taken:
            raise ValueError(f"{name!r} is registered by another plugin already")


def _only(manager: pluggy.PluginManager, hook: str, plugin: object) -> pluggy.HookCaller:
    """A hook of one plugin alone."""
    return manager.subset_hook_caller(hook, [other for other in manager.get_plugins() if other is not plugin])
