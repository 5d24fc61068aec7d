"""After a change was made: the user's hooks are called, and when one of them fails the model goes back.

A hook reloads a server, asks it whether it is well, or tells somebody. It is called when the change is committed, with
no lock held, and it may take its time. Plugins that only look on are told elsewhere: see
:func:`patchmgr.manager.aftermath.notify`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import HookError, PatchmgrError
from patchmgr.manager.change_hook import NO_HOOK, ChangeHook
from patchmgr.manager.progress import Progress
from patchmgr.manager.settings import Settings

if TYPE_CHECKING:
    from patchmgr.manager.call_hook import Trouble
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.states import ModelState
    from patchmgr.ops.stack import Stack
    from patchmgr_registry import GenerationRecord

SCHEMA_VERSION = 1
"""Of the JSON that a hook is given; it grows when a field changes its meaning or goes."""


@dataclass(frozen=True)
class ChangedPackage:
    """One package of a model's new stack."""

    reference: str
    digest: str


@dataclass(frozen=True)
class Change:
    """A change that was committed: what the model is now, and what it was."""

    action: str
    """``apply``, ``revert``, ``rollback`` or ``sync``."""
    model: str
    generation: int
    folder: Path
    state_root: str
    previous_generation: int
    previous_folder: Path
    previous_state_root: str
    packages: tuple[ChangedPackage, ...]
    """The whole new stack, in its order."""
    message: str

    def to_json(self) -> bytes:
        """One JSON object with a field for each of these."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **asdict(self)}, ensure_ascii=False, default=str).encode()


@dataclass(frozen=True)
class Failure:
    """A hook that failed at its last attempt."""

    hook: ChangeHook
    trouble: Trouble

    @property
    def brief(self) -> str:
        """Without what the hook said, for the history, which is for good."""
        attempts = f" ({self.hook.retries + 1} attempts)" if self.hook.retries else ""
        return f"{self.hook.label} failed: {self.trouble.how}{attempts}"

    def __str__(self) -> str:
        return f"{self.brief}, and said: {self.trouble.said}" if self.trouble.said else self.brief


def change_of(state: ModelState, record: GenerationRecord, folder: Path, stack: Stack) -> Change:
    """What hooks are told of a change.

    Args:
        state: the model before it.
        record: the generation that was committed.
        folder: where that lies.
        stack: the packages of its state.
    """
    return Change(
        action=record.action,
        model=record.model,
        generation=record.number,
        folder=folder,
        state_root=record.state_root or "",
        previous_generation=state.generation.number,
        previous_folder=state.folder,
        previous_state_root=state.generation.state_root or "",
        packages=tuple(ChangedPackage(manifest.reference, manifest.digest) for manifest in stack),
        message=record.message,
    )


def settle(manager: Manager, change: Change, undo: Callable[[str], Change | None]) -> None:
    """Call the hooks of a change that was committed; when one of them says so, take the change back.

    A rollback is never taken back: it leads to a state that was good once, and whoever falls back on it must not be
    thrown out of it. After a change was taken back the hooks are called once more, so that a server loads the old
    state.

    Args:
        manager: for its settings, its progress, and what the model's newest generation is.
        change: what was committed.
        undo: rolls the model back to ``change.previous_generation`` with this message and calls no hook; it gives that
            change back, or None when the model's state was the same all along.

    Raises:
        HookError: a hook failed; the message says which, how, and at which generation the model is now.
    """
    failures = run_after_change(manager.settings, change, manager.progress)
    if not failures:
        return
    failed = _listed(failures)
    hint = f"see `patchmgr log {change.model}`"
    stays = f"{change.model} stays at generation {change.generation}, but {failed}"
    if failures[-1].hook.on_failure == "report":
        raise HookError(stays, hint=hint)
    if change.action == "rollback":
        raise HookError(f"{stays}; a rollback is not taken back", hint=hint)
    newest = manager.registry.model(change.model).generation
    if newest != change.generation:
        raise HookError(f"{failed}; generation {newest} of {change.model} came after it and stays", hint=hint)
    try:
        undone = undo(f"after generation {change.generation}, {failures[-1].brief}")
    except PatchmgrError as problem:
        raise HookError(f"{stays}; it cannot be taken back: {problem.message}", hint=problem.hint) from problem
    if undone is None:
        raise HookError(f"{stays}; its state was the same before", hint=hint)
    again = run_after_change(manager.settings, undone, manager.progress)
    then = f"; after that, {_listed(again)}" if again else ""
    raise HookError(
        f"{failed}; {change.model} is back at the state of generation {change.previous_generation}, "
        f"as generation {undone.generation}{then}",
        hint=hint,
    )


def run_after_change(settings: Settings, change: Change, progress: Progress) -> tuple[Failure, ...]:
    """Call the hooks of a change in their order.

    One that fails and only reports does not keep the later ones from being called; one that fails and takes the change
    back does.

    Returns:
        Those that failed; one that takes the change back can only be the last.
    """
    hooks = [hook for hook in settings.after_change if hook.concerns(change.model)]
    environment, body = _environment(settings, change), change.to_json()
    failures: list[Failure] = []
    for number, hook in enumerate(hooks):
        progress(number, len(hooks), f"calling {hook.label}")
        trouble = _attempt(hook, body, environment, settings.home)
        if trouble is not None:
            failures.append(Failure(hook, trouble))
            if hook.on_failure == "rollback":
                break
    return tuple(failures)


def _attempt(hook: ChangeHook, body: bytes, environment: Mapping[str, str], folder: Path) -> Trouble | None:
    from patchmgr.manager.call_hook import call_hook

    trouble = call_hook(hook, body, environment, folder)
    for _ in range(hook.retries):
        if trouble is None:
            break
        time.sleep(hook.retry_every_s)
        trouble = call_hook(hook, body, environment, folder)
    return trouble


def _environment(settings: Settings, change: Change) -> Mapping[str, str]:
    """What a command gets: the change, and what a ``patchmgr`` in it needs to see this registry and call no hook."""
    database = {} if settings.database_url is None else {"PATCHMGR_DATABASE_URL": settings.database_url}
    return {
        "PATCHMGR_ACTION": change.action,
        "PATCHMGR_MODEL": change.model,
        "PATCHMGR_GENERATION": str(change.generation),
        "PATCHMGR_FOLDER": str(change.folder),
        "PATCHMGR_STATE_ROOT": change.state_root,
        "PATCHMGR_PREVIOUS_GENERATION": str(change.previous_generation),
        "PATCHMGR_PREVIOUS_FOLDER": str(change.previous_folder),
        "PATCHMGR_HOME": str(settings.home),
        "PATCHMGR_ACTOR": settings.actor,
        "PATCHMGR_AFTER_CHANGE": NO_HOOK,
        **database,
    }


def _listed(failures: Sequence[Failure]) -> str:
    return ", and ".join(str(failure) for failure in failures)
