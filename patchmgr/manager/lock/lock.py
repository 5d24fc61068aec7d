"""Locking: from what ``patches.toml`` allows to exactly one state for each model. The registry is only read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.durable import store_file
from patchmgr.errors import ConflictError, IntegrityError
from patchmgr.manager.lock.locate import find_base
from patchmgr.manager.lock.lockfile import (
    Lock,
    LockedBase,
    LockedModel,
    LockedPackage,
    read_lock,
    toml_string,
    write_lock,
)
from patchmgr.manager.lock.patches import PATCHES, Patches, WantedModel, WantedPackage, parse_patches, read_patches
from patchmgr.manager.lock.requirement import Candidate
from patchmgr.manager.lock.resolve import resolve
from patchmgr.manager.lock.results import resulting_tensors
from patchmgr.manager.packages import folder_of
from patchmgr.manager.states import open_base, open_version, registered_fingerprint
from patchmgr.ops import stack as stacks
from patchmgr.ops.sums import check_replacing
from patchmgr.package.reader import EditPackage
from patchmgr_registry import ModelRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Locked:
    """What locking came to."""

    lock: Lock
    changes: tuple[str, ...]
    """What differs from the lock that was there, a line each; none: it was up to date."""
    written: bool


def lock(
    manager: Manager, folder: Path, *, model: str | None = None, upgrade: bool = False, write: bool = True
) -> Locked:
    """Choose the versions that ``patches.toml`` allows and write ``patches.lock``.

    Args:
        manager: whose registry has the packages.
        folder: where the two files lie.
        model: only this one; the others stay as they are locked.
        upgrade: move to the newest versions that are allowed; otherwise what is locked stays while it is allowed.
        write: otherwise nothing is written, and the changes say whether the lock is up to date.

    Raises:
        NotFoundError: no file, model, base or package of that name, or what is locked is not here.
        UsageError: ``patches.toml`` cannot be read.
        FormatError: ``patches.lock`` cannot be read.
        BaseMismatchError: no version that is allowed was made for the base.
        ConflictError: no choice of versions goes together.
        IntegrityError: what is locked is another package here, or the base or a package is not whole.
        HubError: the Hub, from which a package comes, cannot be reached.
    """
    patches, before = read_patches(folder), read_lock(folder) or Lock()
    names = list(patches.models) if model is None else [patches.model(model).name]
    return _locked(manager, patches, before, names, upgrade=upgrade, write=write)


def lock_from(manager: Manager, folder: Path, model: str, *, write: bool = True) -> Locked:
    """Write down what a registered model is now: its section of ``patches.toml``, and the lock.

    What else ``patches.toml`` says stays as it is, to the letter.

    Raises:
        NotFoundError: there is no such model.
        ConflictError: ``patches.toml`` has that model already.
        UsageError: ``patches.toml`` cannot be read.
        PatchmgrError: as for :func:`lock`.
    """
    section, path = _section(manager, model), folder / PATCHES
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if model in parse_patches(text, folder).models:
        raise ConflictError(
            f"{path} says already what {model} shall be",
            hint=f"take [models.{model}] out of it first, or `patchmgr lock`",
        )
    patches = parse_patches("\n".join(filter(None, [text, section])), folder)
    done = _locked(manager, patches, read_lock(folder) or Lock(), [model], upgrade=True, write=False)
    if write:
        store_file("\n".join(filter(None, [text, section])).encode(), path, what=PATCHES)
        write_lock(folder, done.lock)
    return Locked(done.lock, done.changes, write)


def _locked(
    manager: Manager, patches: Patches, before: Lock, names: Sequence[str], *, upgrade: bool, write: bool
) -> Locked:
    was = {model.name: model for model in before.models}
    now = {name: found for name, found in was.items() if name in patches.models}
    for name in names:
        now[name] = _lock_model(manager, patches, patches.models[name], None if upgrade else was.get(name))
    changes = tuple(
        line for name in sorted(was.keys() | now.keys()) for line in _changes(name, was.get(name), now.get(name))
    )
    done = Lock(model=tuple(now[name] for name in sorted(now)))
    written = write and read_lock(patches.folder) != done
    if written:
        write_lock(patches.folder, done)
    return Locked(done, changes, written)


def _lock_model(manager: Manager, patches: Patches, model: WantedModel, locked: LockedModel | None) -> LockedModel:
    base = find_base(manager, model)
    chosen = resolve(manager, patches, model, base, locked)
    packages = [
        _open(manager, patches, candidate, wanted) for candidate, wanted in zip(chosen, model.packages, strict=True)
    ]
    stack, known = tuple(package.manifest for package in packages), registered_fingerprint(manager, base)
    for manifest in stack:
        stacks.check_base(manifest, known, model=model.name)
    check_replacing(stack, manager.plugins.encodings, known)
    checkpoint = open_base(manager, ModelRecord(model.name, base, 0, base.created), known)
    tensors = resulting_tensors(manager, base.key, checkpoint, packages)
    return LockedModel(
        name=model.name,
        state_root=stacks.root_of(known.with_tensors(tensors), stack),
        base=LockedBase(
            model=model.base.model, source=model.base.source, revision=model.base.revision, **base.key._asdict()
        ),
        package=tuple(
            LockedPackage(
                name=manifest.name,
                wanted=wanted.requirement.text,
                version=manifest.version,
                digest=manifest.digest,
                path=wanted.path,
                hub=wanted.hub,
                commit=candidate.commit if wanted.hub is not None else None,
            )
            for manifest, wanted, candidate in zip(stack, model.packages, chosen, strict=True)
        ),
        tensors=dict(tensors),
    )


def _open(manager: Manager, patches: Patches, candidate: Candidate, wanted: WantedPackage) -> EditPackage:
    """A package with its files, every byte checked; one of the Hub is only tried, for locking takes nothing in."""
    if wanted.path is not None:
        return EditPackage.read(patches.folder / folder_of(wanted.path))
    if wanted.hub is not None and manager.registry.version_by_digest(candidate.digest) is None:
        package = EditPackage.read(Path(manager.nearby([f"{wanted.hub}@{candidate.commit}"])[0]))
        if package.manifest.digest != candidate.digest:
            raise IntegrityError(f"{wanted.hub} changed while it was fetched", hint="run it again")
        return package
    return open_version(manager, manager.registry.version(f"sha256:{candidate.digest}"))


def _section(manager: Manager, model: str) -> str:
    """What a model is now, as a section of ``patches.toml``: every version as it is."""
    record = manager.registry.model(model)
    versions = [manager.registry.version(f"sha256:{digest}") for digest in manager.registry.generation(model).packages]
    lines = [f"[models.{toml_string(model) if '.' in model else model}]\n"]
    if record.base.revision is not None:
        source = f"source = {toml_string(record.base.source)}, revision = {toml_string(record.base.revision)}"
        lines.append(f"base = {{ {source} }}\n")
    elif ":" in record.base.source:  # such as demo:atlas; the name of a folder would say nothing elsewhere
        lines.append(f"base = {{ source = {toml_string(record.base.source)} }}\n")
    lines.append("packages = [\n")
    lines += [f'  "{version.package}@=={version.number}",\n' for version in versions]
    return "".join([*lines, "]\n"])


def _changes(name: str, was: LockedModel | None, now: LockedModel | None) -> Iterator[str]:
    """What differs between two locks of a model, a line each."""
    if was is None or now is None:
        yield f"{name}: {'new' if was is None else 'gone'}"
    had = () if was is None else was.packages
    have = () if now is None else now.packages
    if was is not None and now is not None and was.base != now.base:
        moved = f"{was.base.fingerprint[:12]} → {now.base.fingerprint[:12]}"
        yield f"{name}: base {moved}" if was.base.key != now.base.key else f"{name}: the base, named otherwise"
    yield from (f"{name}: -{old.reference}" for old in had if old.digest not in {new.digest for new in have})
    yield from (f"{name}: +{new.reference}" for new in have if new.digest not in {old.digest for old in had})
    if was is None or now is None:
        return
    if had != have and {old.digest for old in had} == {new.digest for new in have}:
        ordered = [old.digest for old in had] == [new.digest for new in have]
        yield f"{name}: {'another order' if not ordered else 'the same packages, asked for otherwise'}"
    if was.base.key == now.base.key and {old.digest for old in had} == {new.digest for new in have}:
        names = sorted(was.tensors.keys() | now.tensors.keys())
        yield from (
            f"{name}: {tensor!r} {was.tensors.get(tensor, 'absent')[:12]} → {now.tensors.get(tensor, 'absent')[:12]}"
            for tensor in names
            if was.tensors.get(tensor) != now.tensors.get(tensor)
        )
        if was.state_root != now.state_root:
            yield f"{name}: state {was.state_root[:12]} → {now.state_root[:12]}"
