"""Every door through which a plugin can come in, one hook a kind of thing.

A plugin is a module listed under the entry-point group ``patchmgr``; it implements hooks with
:data:`hookimpl` and is imported without torch. Patchmgr's own methods and encodings come in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer

    from patchmgr.exporters.contract import Exporter
    from patchmgr.methods.contract import Method, Statistics
    from patchmgr.methods.runtime import AnyRuntime
    from patchmgr.methods.training import Trainer
    from patchmgr.metrics.contract import Metric
    from patchmgr.package.encodings.contract import Encoding
    from patchmgr.readers.contract import Reader

PROJECT = "patchmgr"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    """Call ``register(method)`` for every editing method of the plugin."""


@hookspec
def patchmgr_register_statistics(register: Callable[[Statistics], None]) -> None:
    """Call ``register(statistics)`` for every kind of statistics that ``patchmgr stats`` can make ahead of an edit."""


@hookspec
def patchmgr_register_encodings(register: Callable[[Encoding], None]) -> None:
    """Call ``register(encoding)`` for every way of storing a weight delta."""


@hookspec
def patchmgr_register_metrics(register: Callable[[Metric], None]) -> None:
    """Call ``register(metric)`` for every way of measuring a state."""


@hookspec
def patchmgr_register_readers(register: Callable[[Reader], None]) -> None:
    """Call ``register(reader)`` for every format of editing data."""


@hookspec
def patchmgr_register_runtimes(register: Callable[[AnyRuntime], None]) -> None:
    """Call ``register(runtime)`` for every way of answering with a memory bundle."""


@hookspec
def patchmgr_register_trainers(register: Callable[[Trainer], None]) -> None:
    """Call ``register(trainer)`` for every method whose edits use a trained editor; its name is the method's."""


@hookspec
def patchmgr_register_exporters(register: Callable[[Exporter], None]) -> None:
    """Call ``register(exporter)`` for every form that states are exported in."""


@hookspec
def patchmgr_register_commands(app: typer.Typer) -> None:
    """Add commands to the command line; called only for a name that is not built in."""


@hookspec
def patchmgr_after_change(action: str, model: str, packages: tuple[str, ...], state_root: str) -> None:
    """Observe: ``action``, such as edit, rebase or apply, has been committed for ``model``, now at ``state_root``."""
