"""Syncing: making registered models what ``patches.lock`` says, byte for byte, or saying what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import ConflictError, IntegrityError, NotFoundError, PatchmgrError
from patchmgr.manager.carry_out import Outcome, carry_out
from patchmgr.manager.conflicts.refused import noting_conflicts
from patchmgr.manager.lock.locate import check_base, locate
from patchmgr.manager.lock.lockfile import LOCK, Lock, LockedModel, LockedPackage, read_lock
from patchmgr.manager.lock.on_hub import folder_on_trial, locked_remote
from patchmgr.manager.lock.patches import PATCHES, read_patches
from patchmgr.manager.packages import adopt, folder_of
from patchmgr.manager.recipe import find_kept
from patchmgr.manager.sharing.pull import pull
from patchmgr.manager.signing.ask import require_signatures
from patchmgr.manager.states import ModelState, read_state
from patchmgr.manager.wanted import Wanted, unless_changed
from patchmgr.ops import stack as stacks
from patchmgr.ops.plan import Plan, make_plan
from patchmgr.ops.stack import StackChange
from patchmgr.ops.sums import check_replacing

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def sync(
    manager: Manager,
    folder: Path,
    *,
    model: str | None = None,
    frozen: bool = False,
    message: str = "",
    require: Sequence[str] = (),
) -> tuple[Outcome, ...]:
    """Make each model what is locked: one new generation, or nothing where it is that already.

    Every model is looked at before the first is changed. Packages that the registry does not have are taken from the
    folders that the lock names, or pulled from the Hub at the commits that it names.

    Args:
        manager: the registry.
        folder: where the two files lie.
        model: only this one.
        frozen: go by the lock alone, whatever ``patches.toml`` says or whether there is one.
        message: why, for the history.
        require: what the scores of every new state must be, such as ``reliability>=0.95``; measured in memory first.

    Raises:
        GateError: a requirement would not be met; no model has changed.
        NotFoundError: there is no lock, no such model, or a package is nowhere.
        PatchmgrError: the lock is out of date.
        BaseMismatchError: a model stands on another base than the locked one.
        IntegrityError: a package, a tensor that would result, or the state is not the locked one; nothing has changed.
        ConflictError: the packages do not go together.
        HubError: the Hub, from which a package is missing, cannot be reached.
        HookError: a hook failed after the change was made; the message says where the model is now.
    """
    locked = _chosen(folder, model, frozen=frozen)
    for one in locked:
        wanted_state(manager, one, folder)(read_state(manager, one.name))
    for one in locked:
        for package in _missing(manager, one):
            if package.hub is not None:
                pull(manager, locked_remote(package).place, digest=package.digest)
            elif package.path is not None:
                adopt(manager, _beside(folder, package.path))
    changes = [noting_conflicts(manager, wanted_state(manager, one, folder), ()) for one in locked]
    if require:
        changes = [_gated(manager, one.name, wanted, require) for one, wanted in zip(locked, changes, strict=True)]
    return tuple(
        carry_out(manager, one.name, "sync", wanted, message, accept=partial(_check, one))
        for one, wanted in zip(locked, changes, strict=True)
    )


def plan_sync(manager: Manager, folder: Path, *, model: str | None = None, frozen: bool = False) -> Mapping[str, Plan]:
    """What :func:`sync` would do to each model; errors as there, but for what only writing can show."""
    found = {}
    for one in _chosen(folder, model, frozen=frozen):
        state = read_state(manager, one.name)
        change = noting_conflicts(
            manager, wanted_state(manager, one, folder), list(map(str, _elsewhere(manager, one, folder).values()))
        )(state)
        found[one.name] = make_plan(state.base, change, find_kept(manager, state, change.stack))
    return found


def wanted_state(manager: Manager, locked: LockedModel, folder: Path) -> Wanted:
    """The locked stack in place of the present one, everything known beforehand compared with the lock."""

    def exchanging(state: ModelState) -> StackChange:
        check_base(locked, state.record.base.key)
        stack = tuple(locate(manager, locked.name, package, folder) for package in locked.packages)
        for manifest in stack:
            stacks.check_base(manifest, state.fingerprint, model=locked.name)
        if stacks.add((), stack).stack != stack:
            raise ConflictError(
                f"{LOCK} lists two versions of one package for {locked.name}, the later not computed on the earlier",
                hint="mend patches.toml and run `patchmgr lock`",
            )
        check_replacing(stack, manager.plugins.encodings, state.fingerprint)
        require_signatures(manager, stack, _elsewhere(manager, locked, folder))
        root = stacks.root_of(state.fingerprint.with_tensors(locked.tensors), stack)
        if root != locked.state_root:
            raise IntegrityError(
                f"{LOCK} contradicts itself: what it says of {locked.name} gives the state {root[:12]}…, "
                f"it has {locked.state_root[:12]}…",
                hint="bring it back as it was, or run `patchmgr lock`",
            )
        known = manager.registry.same_stack(state.record.base.key, stacks.digests(stack))
        if known is not None:
            _check(locked, known.tensors)
        return stacks.exchange(state.stack, stack)

    return exchanging


def _gated(manager: Manager, model: str, wanted: Wanted, require: Sequence[str]) -> Wanted:
    """The change, if the state that it leads to is good enough, and while the model is what it is now."""
    from patchmgr.manager.evaluate import check_gates  # torch, and only here
    from patchmgr.manager.subjects import after

    state = read_state(manager, model)
    check_gates(manager, model, (), require, subject=after(manager, state, wanted(state)))
    return unless_changed(state.generation.number, wanted)


def _chosen(folder: Path, model: str | None, *, frozen: bool) -> tuple[LockedModel, ...]:
    """The models to sync, found to be what ``patches.toml`` asks for."""
    lock = read_lock(folder)
    if lock is None:
        raise NotFoundError(f"there is no {LOCK} in {folder}", hint="make one with `patchmgr lock`")
    chosen = lock.models if model is None else (lock.model(model),)
    if not frozen:
        _check_current(folder, lock, model)
    return chosen


def _check_current(folder: Path, lock: Lock, model: str | None) -> None:
    patches = read_patches(folder)
    names = sorted({*patches.models, *(one.name for one in lock.models)}) if model is None else [model]
    locked = {one.name: one for one in lock.models}
    strays: list[str] = []
    for name in names:
        if name in patches.models and name in locked:
            strays += locked[name].strays(patches.models[name])
        else:
            strays.append(f"{name}: only in {PATCHES if name in patches.models else LOCK}")
    if strays:
        more = f", and {len(strays) - 1} more" if len(strays) > 1 else ""
        raise PatchmgrError(
            f"{LOCK} is out of date: {strays[0]}{more}", hint="run `patchmgr lock`, or take it as it is with --frozen"
        )


def _elsewhere(manager: Manager, locked: LockedModel, folder: Path) -> Mapping[str, Path]:
    """The folders of packages that the registry does not have, by digest; they were found to be the locked ones."""
    found = {}
    for package in _missing(manager, locked):
        if package.path is not None:
            found[package.digest] = _beside(folder, package.path)
        elif package.hub is not None:
            found[package.digest] = folder_on_trial(manager, package)
    return found


def _missing(manager: Manager, locked: LockedModel) -> tuple[LockedPackage, ...]:
    return tuple(package for package in locked.packages if manager.registry.version_by_digest(package.digest) is None)


def _beside(folder: Path, path: str) -> Path:
    return (folder / folder_of(path)).absolute()


def _check(locked: LockedModel, found: Mapping[str, str]) -> None:
    """Make sure that tensors are those that are locked; IntegrityError names the first that is not."""
    for name in sorted(locked.tensors.keys() | found.keys()):
        was, now = locked.tensors.get(name), found.get(name)
        if was != now:
            digests = " and would be ".join(f"{digest[:12]}…" if digest else "untouched" for digest in (was, now))
            raise IntegrityError(
                f"{locked.name}: {name!r} is locked to {digests}",
                hint="the lock was changed, or another program made it; `patchmgr lock --check` says what differs",
            )
