"""Finding exactly what a lock names: its base and its packages, by digest and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import BaseMismatchError, IntegrityError, NotFoundError, PatchmgrError, UsageError
from patchmgr.manager.lock.lockfile import LOCK, LockedModel, LockedPackage
from patchmgr.manager.lock.on_hub import locked_remote
from patchmgr.manager.lock.patches import WantedModel
from patchmgr.manager.packages import folder_of
from patchmgr.package.manifest import Manifest, parse_manifest
from patchmgr.package.reader import EditPackage
from patchmgr_registry import BaseKey, BaseRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def find_base(manager: Manager, model: WantedModel) -> BaseRecord:
    """The base that ``patches.toml`` means.

    Raises:
        NotFoundError: no such model or base is registered.
        UsageError: several registered bases come from there.
    """
    wanted = model.base
    if wanted.source is None:
        return manager.registry.model(wanted.model or model.name).base
    found = [
        base
        for base in manager.registry.bases()
        if base.source == wanted.source and (base.revision or "").startswith(wanted.revision or "")
    ]
    own = {record.base.key for record in manager.registry.models() if record.name == model.name}
    found = [base for base in found if base.key in own] or found
    at = f" --revision {wanted.revision}" if wanted.revision else ""
    if not found:
        raise NotFoundError(
            f"the base {wanted.source} of {model.name} is not registered here",
            hint=f"patchmgr model add {model.name} {wanted.source}{at}",
        )
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} registered bases come from {wanted.source}",
            hint=f'say which by its revision, or by base = "MODEL" below [models.{model.name}]',
        )
    return found[0]


def check_base(model: LockedModel, found: BaseKey) -> None:
    """Make sure that a registered model stands on the base that is locked.

    Raises:
        BaseMismatchError: naming the part that differs and both digests.
    """
    for part in BaseKey._fields:
        locked, here = getattr(model.base.key, part), getattr(found, part)
        if locked != here:
            what = part.removesuffix("_sha256").replace("fingerprint", "base")
            source = f"; it is {model.base.source}" if model.base.source else ""
            raise BaseMismatchError(
                f"{LOCK} has {model.name} on the {what} {locked[:12]}, the registered one has {here[:12]}",
                hint=f"register the locked base under that name{source}, or `patchmgr lock` for this one",
            )


def locate(manager: Manager, model: str, package: LockedPackage, folder: Path | None = None) -> Manifest:
    """The package that a lock names, from the registry or else from where the lock says that it comes from.

    Args:
        manager: the registry.
        model: whose package it is, for messages.
        package: what is locked.
        folder: where the lock lies, whose packages may lie beside it or on the Hub; None: only the registry counts.

    Raises:
        NotFoundError: it is in neither.
        HubError: the Hub cannot be reached.
        IntegrityError: there is another package under its name and number, or the digest is of another one.
    """
    version = manager.registry.version_by_digest(package.digest)
    if version is not None:
        manifest = parse_manifest(version.manifest.encode())
    elif folder is not None and package.path is not None:
        manifest = EditPackage.read(folder / folder_of(package.path)).manifest
    elif folder is not None and package.hub is not None:
        manifest = locked_remote(package).manifest
    else:
        raise _absent(manager, model, package)
    if (manifest.digest, manifest.reference) != (package.digest, package.reference):
        raise IntegrityError(
            f"{LOCK} has {package.reference} of {model} as sha256:{package.digest[:12]}, and "
            f"{package.path or package.hub or 'the registry'} has {manifest.reference}, sha256:{manifest.digest[:12]}",
            hint="they are different edits; bring the one that is locked, or `patchmgr lock` what is here",
        )
    return manifest


def _absent(manager: Manager, model: str, package: LockedPackage) -> PatchmgrError:
    try:
        other = manager.registry.version(package.reference)
    except NotFoundError:
        return NotFoundError(
            f"{model} is locked to {package.reference} (sha256:{package.digest[:12]}), which is not here",
            hint="bring it, for instance as a folder with its `path` in patches.toml, or `patchmgr lock --upgrade`",
        )
    return IntegrityError(
        f"{model} is locked to {package.reference} with digest {package.digest[:12]}…, "
        f"the registry has {other.digest[:12]}… under that name",
        hint="they are different edits under one name; bring the one that is locked, or `patchmgr lock --upgrade`",
    )
