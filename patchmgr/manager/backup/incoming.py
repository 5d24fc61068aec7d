"""A backup on its way into a home: every file compared with its digest, the database looked through and moved.

Nothing that the database says names a place to write to: generations lie where this home has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from patchmgr.durable import storing
from patchmgr.errors import IntegrityError, NotFoundError, UsageError
from patchmgr.manager.backup.contract import BLOBS, DATABASE, FOLDERS, WITHHELD, BackupManifest, problems_of
from patchmgr.manager.backup.reading import Source, check_bytes, copy_checked
from patchmgr.manager.progress import Progress
from patchmgr.package.fields import FileRecord
from patchmgr.package.manifest import check_name
from patchmgr_registry import Registry


def unpack(manifest: BackupManifest, source: Source, scratch: Path, progress: Progress, *, dry_run: bool) -> None:
    """Check every file of a backup and lay it out as a home; in a dry run only the database.

    Raises:
        IntegrityError: a file is not what its digest says, or belongs into no home.
        StorageError: one cannot be read or written.
    """
    done = 0
    for name, record in manifest.files.items():
        place, what = scratch / _place(name, record), f"{name} in the backup"
        with source.open(name) as reader:
            if dry_run and name != DATABASE:
                check_bytes(reader, record, what)
            else:
                with storing("the restored home"):
                    _make_folder(place.parent, private=name.startswith(f"{WITHHELD}/"))
                    copy_checked(reader, place, record, what)
                    if name.startswith(BLOBS):
                        place.chmod(0o444)
                    elif name.startswith(f"{WITHHELD}/"):
                        place.chmod(0o600)
        done += record.size_bytes
        progress(done, manifest.size_bytes, "checking (bytes)")


def _place(name: str, record: FileRecord) -> str:
    """Where in a home a file of a backup belongs."""
    if name == f"{BLOBS}{record.sha256}":
        return f"blobs/sha256/{record.sha256[:2]}/{record.sha256}"
    folder, _, rest = name.partition("/")
    if name != DATABASE and not (folder in FOLDERS and rest):
        raise IntegrityError(f"the backup lists {name!r}, which belongs into no home", hint="do not use it")
    return name


def _make_folder(folder: Path, *, private: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if private:
        folder.chmod(0o700)


def settle(manifest: BackupManifest, scratch: Path, home: Path, *, force: bool) -> None:
    """See that the database is whole and the one that was backed up, and make it that of its new home.

    What a process was just writing when the backup was taken is given up: that process writes to another registry.

    Raises:
        IntegrityError: it is damaged, and the backup does not say so or that was not accepted; it is another one, lacks
            a blob, or names a model or generation as no program does.
    """
    if DATABASE not in manifest.files:
        raise IntegrityError("the backup has no database", hint="take another one")
    with Registry.open(scratch) as registry:
        problems = problems_of(registry)
        if problems and not (force and manifest.problems):
            hint = "--force restores it as it is" if manifest.problems else "take another one"
            raise IntegrityError(f"the registry in the backup is damaged: {problems[0]}", hint=hint)
        head = registry.event_head()
        if (head.sequence, head.sha256) != (manifest.events.sequence, manifest.events.sha256):
            raise IntegrityError("the registry in the backup is not the one that its manifest tells of")
        lost = sorted(sha256 for sha256 in registry.blob_digests() if f"{BLOBS}{sha256}" not in manifest.files)
        if lost:
            raise IntegrityError(f"the backup lacks the blob sha256:{lost[0]}", hint="take another one")
        _check_models(registry)
        _move(registry, filter(None, (manifest.home, manifest.real_home)), home)
    for log in scratch.glob(f"{DATABASE}-*"):
        log.unlink()


def _check_models(registry: Registry) -> None:
    """Names and numbers become names of folders, so they must be what this program gives."""
    for model in registry.models():
        generations = registry.generations(model.name)
        try:
            check_name(model.name)
            current = registry.generation(model.name).status
        except (UsageError, NotFoundError, TypeError) as error:
            raise _no_model(model.name, str(error)) from None
        if current != "ready":
            raise _no_model(model.name, f"its current generation is {current}")
        for generation in generations:
            if not isinstance(generation.number, int) or generation.number < 0:
                raise _no_model(model.name, f"a generation of it has the number {generation.number!r}")


def _no_model(name: object, reason: str) -> IntegrityError:
    return IntegrityError(
        f"the registry in the backup has a model {name!r} that cannot be: {reason}", hint="do not use it"
    )


def _move(registry: Registry, before: Iterable[str], home: Path) -> None:
    with registry.begin() as tx:
        for model in tx.models():
            for generation in tx.generations(model.name):
                if generation.status == "pending":
                    tx.fail_generation(model.name, generation.number)
        tx.move_home(before, str(home))
        tx.commit()
