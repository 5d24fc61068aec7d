"""What is exported: a model's present stack on its base, or a package on the base that it was made for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from patchmgr.errors import ConflictError, NotFoundError, UsageError
from patchmgr.exporters.contract import ExportSource
from patchmgr.hub.reference import is_hub_reference
from patchmgr.manager.making import base_record
from patchmgr.manager.packages import folder_of, is_folder
from patchmgr.manager.recipe import known_results
from patchmgr.manager.signing.ask import require_signatures
from patchmgr.manager.states import (
    open_base,
    open_packages,
    open_version,
    read_state,
    registered_fingerprint,
    stack_of,
)
from patchmgr.manager.subjects import model_on
from patchmgr.ops.sums import check_replacing, collect
from patchmgr.package.reader import EditPackage

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def find_source(manager: Manager, name: str, *, with_parents: bool = False) -> ExportSource:
    """What is named: the model of that name, else a package, which may be a folder.

    Args:
        manager: the registry.
        name: of a model, or a reference.
        with_parents: a package together with those that it was computed on.

    Raises:
        NotFoundError: there is neither, or no model here stands on the package's base.
        UsageError: ``with_parents`` with a model, or a reference to the Hub.
        ConflictError: the package was computed on others, and these are not wanted.
        IntegrityError: a byte of the base or of a package is not what its digest says, or a package is not signed as
            the setting ``signatures`` asks; what a model has already is not asked again.
    """
    if is_model(manager, name):
        if with_parents:
            raise UsageError(f"{name} is a model, whose whole stack is exported", hint="leave --with-parents out")
        return _of_model(manager, name)
    if is_hub_reference(name):
        raise UsageError(
            f"{name} is a repository of the Hub", hint=f"`patchmgr pull {name}` first, then name the package"
        )
    folders = {}
    if is_folder(name):
        package = EditPackage.read(folder_of(name))
        folders[package.manifest.digest] = folder_of(name)
    else:
        package = open_version(manager, manager.registry.version(name))
    source = source_of(manager, package, with_parents=with_parents)
    require_signatures(manager, source.stack, folders)
    return source


def _of_model(manager: Manager, name: str) -> ExportSource:
    state = read_state(manager, name)
    packages = open_packages(manager, state.stack)
    return ExportSource(
        name,
        state.base,
        state.fingerprint,
        base_record(state.record.base),
        packages,
        collect(_of_weights(packages), manager.plugins.encodings, state.base),
        known_results(manager, state.record.base.key, state.stack),
    )


def source_of(manager: Manager, package: EditPackage, *, with_parents: bool) -> ExportSource:
    """A package on its base, with those that it was computed on where that is wanted; errors as :func:`find_source`."""
    manifest = package.manifest
    record = model_on(manager, manifest)
    known = registered_fingerprint(manager, record.base)
    below = _parents(manager, package) if with_parents else ()
    if manifest.parent.packages and not with_parents:
        raise ConflictError(
            f"{manifest.reference} was computed on {len(manifest.parent.packages)} package(s), "
            "and its change is of use only together with theirs",
            hint="--with-parents exports it together with them; or apply it, and export the model",
        )
    packages = (*below, package)
    stack = tuple(each.manifest for each in packages)
    check_replacing(stack, manager.plugins.encodings, known)
    base = open_base(manager, record, known)
    return ExportSource(
        manifest.reference,
        base,
        known,
        manifest.base,
        packages,
        collect(_of_weights(packages), manager.plugins.encodings, base),
        known_results(manager, record.base.key, stack),
    )


def _parents(manager: Manager, package: EditPackage) -> tuple[EditPackage, ...]:
    parents = package.manifest.parent.packages
    absent = [digest for digest in parents if manager.registry.version_by_digest(digest) is None]
    if absent:
        raise NotFoundError(
            f"{package.manifest.reference} was computed on {len(absent)} package(s) that are not here "
            f"({', '.join(digest[:12] for digest in absent)})",
            hint="take those into the registry first: `patchmgr import FOLDER`",
        )
    return open_packages(manager, stack_of(manager, parents))


def _of_weights(packages: Iterable[EditPackage]) -> tuple[EditPackage, ...]:
    return tuple(package for package in packages if package.manifest.kind == "weights")


def is_model(manager: Manager, name: str) -> bool:
    """Whether a name means a model; a package of the same name is named with ``@latest``."""
    return not is_folder(name) and any(record.name == name for record in manager.registry.models())
