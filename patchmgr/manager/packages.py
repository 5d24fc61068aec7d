"""Packages on their way into the registry: their blobs first, then one transaction with the row and its event."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import ConflictError, NotFoundError
from patchmgr.manager.signing.keep import keep_better, signature_to_keep
from patchmgr.package.manifest import Manifest
from patchmgr.package.memory.bundle import read_bundle
from patchmgr.package.reader import EditPackage
from patchmgr.package.scores import Score
from patchmgr_registry import EventObject, FileRecord, NumberTakenError, ScoreRecord, VersionRecord, timestamp

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def register(
    manager: Manager,
    package: EditPackage,
    action: str,
    objects: Sequence[EventObject] = (),
    *,
    cost: Sequence[Score] = (),
    again: bool = False,
) -> VersionRecord:
    """Store a package under the name and number that its manifest says.

    Args:
        manager: the registry.
        package: read and checked; its edits, scores and deltas are checked here too, before anything is stored.
        action: what the event is called, such as ``edit``.
        objects: what else the event is about.
        cost: what making it took, kept beside its scores.
        again: also when it was forgotten.

    Raises:
        ForgottenError: it was forgotten.
        NumberTakenError: the package has that number already.
        FormatError: its arrays do not fit its manifest, or it is of a kind that is not known here.
        IntegrityError: its signature cannot be its own.
        StorageError: the disk is full, read-only or failing.
    """
    manifest = package.manifest
    signature = signature_to_keep(package)
    requests, measured = package.requests, (*package.scores, *cost)
    package.deltas(manager.plugins.encodings)
    if manifest.kind == "memory":
        read_bundle(manifest.reference, package.files).check(manifest.memory)
    _store(manager, package)
    if signature is not None:
        manager.registry.blobs.put_bytes(signature.data)
    version = version_record(manifest)
    with manager.registry.begin() as tx:
        tx.add_version(version, requests, [score_record(score) for score in measured], again=again)
        for record in manifest.files.values():  # none was cleared away before this version needed it
            manager.registry.blobs.check(record.sha256)
        signed = () if signature is None else (signature.keep(manager, tx, manifest.digest),)
        tx.record_event(
            manager.origin,
            action,
            objects=[
                EventObject("package", manifest.reference, manifest.digest),
                *signed,
                *objects,
                EventObject("base", manifest.base.source, manifest.base.fingerprint),
            ],
            scores=[score.to_json() for score in measured],
        )
        tx.commit()
    return version


def adopt(
    manager: Manager,
    folder: Path,
    action: str = "import",
    objects: Sequence[EventObject] = (),
    *,
    again: bool = False,
) -> VersionRecord:
    """Take a package from a folder into the registry with its signature, unless both are there already, and whole.

    Raises:
        ForgottenError: it was forgotten, and ``again`` does not say to take it in all the same.
        NotFoundError: the folder holds no package.
        IntegrityError: a file is missing or is not what its digest says, or the signature cannot be that of the
            package, whoever made it.
        ConflictError: the registry has other bytes under that name and number.
    """
    package = EditPackage.read(folder)
    known = registered(manager, package.manifest.digest, again=again)
    if known is not None:
        _store(manager, package)  # what was lost of it, or damaged
        keep_better(manager, package)
        return known
    try:
        return register(manager, package, action, objects, again=again)
    except NumberTakenError as taken:
        raise ConflictError(
            f"{folder} is {package.manifest.reference}, and the registry has another package of that name and number",
            hint=f"the one here is sha256:{taken.digest[:12]}; they are different edits under one name",
        ) from None


def registered(manager: Manager, digest: str, *, again: bool = False) -> VersionRecord | None:
    """The version of a digest, None when it is not here; one that was forgotten is not here when it may come again.

    Raises:
        ForgottenError: it was forgotten, and may not.
    """
    if again and manager.registry.forgotten(digest):
        return None
    return manager.registry.version_by_digest(digest)


def _store(manager: Manager, package: EditPackage) -> None:
    for name, record in package.manifest.files.items():
        manager.registry.blobs.put_file(package.files[name], sha256=record.sha256)


def adopt_folders(manager: Manager, references: Sequence[str]) -> None:
    """Take every package that is named by its folder into the registry; errors as those of :func:`adopt`."""
    for text in filter(is_folder, references):
        adopt(manager, folder_of(text))


def is_folder(reference: str) -> bool:
    """Whether a reference means a folder and not a name: it begins as a path does."""
    return reference.startswith((".", "/", "~"))


def folder_of(reference: str) -> Path:
    """The folder that a reference means.

    Raises:
        NotFoundError: it begins with the home of a user who does not exist.
    """
    try:
        return Path(reference).expanduser()
    except RuntimeError:
        raise NotFoundError(f"{reference!r} begins with the home of nobody", hint="write the whole path") from None


def version_record(manifest: Manifest) -> VersionRecord:
    """The row of a manifest."""
    data = manifest.to_bytes()
    return VersionRecord(
        package=manifest.name,
        number=manifest.version,
        digest=manifest.digest,
        parent_version=manifest.parent_version,
        kind=manifest.kind,
        method=manifest.method.name,
        message=manifest.message,
        author=manifest.author,
        created=timestamp(),
        base_fingerprint=manifest.base.fingerprint,
        parent_root=manifest.parent.root,
        parent_packages=manifest.parent.packages,
        n_edits=manifest.n_edits,
        size_bytes=len(data) + sum(record.size_bytes for record in manifest.files.values()),
        manifest=data.decode(),
        files=tuple(FileRecord(name, file.sha256, file.size_bytes) for name, file in manifest.files.items()),
    )


def score_record(score: Score) -> ScoreRecord:
    """A score as the registry keeps it, measured now."""
    return ScoreRecord(**score.model_dump(), created=timestamp())
