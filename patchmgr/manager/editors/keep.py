"""Editors in the registry: taken in, opened for an edit, written to folders and taken from them, forgotten."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchmgr.durable import check_vacant, new_folder
from patchmgr.errors import ConflictError, UsageError
from patchmgr.methods.training import Editor
from patchmgr.package.editor import MANIFEST, EditorManifest, EditorPackage, parse_editor, read_editor
from patchmgr.package.files import check_files
from patchmgr_registry import EditorRecord, EventObject, FileRecord, NumberTakenError, timestamp

if TYPE_CHECKING:
    from patchmgr.hub.release import Publication
    from patchmgr.manager.editors.train import TrainOrder, TrainPreview
    from patchmgr.manager.manager import Manager


class Editors:
    """What can be done with editors; a manager hands it out."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def train(self, model: str, order: TrainOrder) -> EditorRecord:
        """Train one and keep it; see :func:`patchmgr.manager.editors.train.train`."""
        from patchmgr.manager.editors import train

        return train.train(self._manager, model, order)

    def check_training(self, model: str, order: TrainOrder) -> TrainPreview:
        """What training would do; see :func:`patchmgr.manager.editors.train.check_training`."""
        from patchmgr.manager.editors import train

        return train.check_training(self._manager, model, order)

    def list(self, name: str | None = None) -> tuple[EditorRecord, ...]:
        """Every version of all editors or of one; NotFoundError when there is none of that name."""
        return self._manager.registry.editors(name)

    def show(self, reference: str) -> EditorManifest:
        """What an editor says of itself; errors as those of :meth:`patchmgr_registry.Registry.editor`."""
        return parse_editor(self._manager.registry.editor(reference).manifest.encode())

    def open(self, reference: str, *, method: str) -> Editor:
        """An editor for an edit, every byte checked.

        Raises:
            NotFoundError: there is none.
            UsageError: it is of another method.
            IntegrityError: a file is missing or is not what its digest says.
        """
        record = self._manager.registry.editor(reference)
        if record.method != method:
            raise UsageError(
                f"{record.reference} is an editor of {record.method}, not of {method}",
                hint="see `patchmgr editor list`",
            )
        package = _opened(self._manager, record)
        return Editor(record.reference, record.digest, record.method, package.manifest.parameters, package.files)

    def export(self, reference: str, folder: Path) -> EditorRecord:
        """Write an editor to a new folder, to be shared.

        Raises:
            NotFoundError: there is none.
            ConflictError: something lies in the folder.
            IntegrityError: a file is missing or damaged.
            StorageError: the disk is full, read-only or failing.
        """
        check_vacant(folder)
        record, package = self.opened(reference)
        with new_folder(folder, what="the editor") as temporary:
            for name, path in package.files.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, temporary / name)
            (temporary / MANIFEST).write_bytes(record.manifest.encode())
        return record

    def opened(self, reference: str) -> tuple[EditorRecord, EditorPackage]:
        """An editor with its files, every byte checked; NotFoundError when there is none, IntegrityError if damaged."""
        record = self._manager.registry.editor(reference)
        return record, _opened(self._manager, record)

    def push(self, reference: str, repo: str, *, private: bool = True) -> Publication:
        """Publish one on the Hub; see :func:`patchmgr.manager.editors.share.push_editor`."""
        from patchmgr.manager.editors import share

        return share.push_editor(self._manager, reference, repo, private=private)

    def pull(self, text: str) -> EditorRecord:
        """Take one from the Hub; see :func:`patchmgr.manager.editors.share.pull_editor`."""
        from patchmgr.manager.editors import share

        return share.pull_editor(self._manager, text)

    def import_folder(self, folder: Path, *, dry_run: bool = False) -> EditorRecord:
        """Take in an editor that :meth:`export` wrote, every byte checked; one that is here already stays as it is.

        Raises:
            NotFoundError: there is no editor in the folder.
            FormatError: it is malformed, or holds something that it does not list.
            IntegrityError: a file is missing or damaged.
            ConflictError: another editor has that name and number here.
        """
        editor = read_editor(folder)
        known = [each for each in self._manager.registry.editors() if each.digest == editor.manifest.digest]
        if known or dry_run:
            return known[0] if known else record_of(editor.manifest)
        try:
            return register(self._manager, editor, "import-editor")
        except NumberTakenError as taken:
            raise ConflictError(
                f"{folder} is {editor.manifest.reference}, and the registry has another editor of that name and number",
                hint=f"the one here is sha256:{taken.digest[:12]}",
            ) from None

    def remove(self, reference: str, *, dry_run: bool = False) -> EditorRecord:
        """Forget an editor; the packages that it made stay as they are, and `gc` clears its files away.

        Raises:
            NotFoundError: there is none.
            UsageError: the reference names no version.
        """
        record = self._manager.registry.editor(reference)
        if "@" not in reference and not reference.startswith("sha256:"):
            raise UsageError(f"which version of {reference} shall go?", hint=f"write {record.reference}")
        if not dry_run:
            with self._manager.registry.begin() as tx:
                tx.remove_editor(record.digest)
                about = [EventObject("editor", record.reference, record.digest)]
                tx.record_event(self._manager.origin, "remove-editor", objects=about)
                tx.commit()
        return record


def register(
    manager: Manager,
    editor: EditorPackage,
    action: str,
    *,
    model: str | None = None,
    about: Sequence[EventObject] = (),
) -> EditorRecord:
    """Store an editor under the name and number that its manifest says: its blobs, then one transaction.

    Args:
        manager: the registry.
        editor: its files are those that the manifest lists.
        action: what the event is called.
        model: whose base it was trained on.
        about: what else the event is about.

    Raises:
        NumberTakenError: there is one of that name and number.
        StorageError: the disk is full, read-only or failing.
    """
    manifest = editor.manifest
    for name, file in manifest.files.items():
        manager.registry.blobs.put_file(editor.files[name], sha256=file.sha256)
    record = record_of(manifest)
    objects = [EventObject("editor", record.reference, record.digest), *about]
    if model is not None:
        objects.append(EventObject("model", model, manifest.base.fingerprint))
    objects.append(EventObject("data", "training", manifest.training.sha256))
    figures: list[Mapping[str, Any]] = [{"metric": name, "value": value} for name, value in manifest.figures.items()]
    with manager.registry.begin() as tx:
        tx.add_editor(record)
        for file in manifest.files.values():  # none was cleared away before this editor needed it
            manager.registry.blobs.check(file.sha256)
        tx.record_event(manager.origin, action, objects=objects, scores=figures)
        tx.commit()
    return record


def record_of(manifest: EditorManifest) -> EditorRecord:
    """The row of a manifest."""
    return EditorRecord(
        name=manifest.name,
        number=manifest.version,
        digest=manifest.digest,
        method=manifest.method,
        created=timestamp(),
        size_bytes=manifest.size_bytes,
        manifest=manifest.to_bytes().decode(),
        files=tuple(FileRecord(name, file.sha256, file.size_bytes) for name, file in sorted(manifest.files.items())),
    )


def _opened(manager: Manager, record: EditorRecord) -> EditorPackage:
    manifest = parse_editor(record.manifest.encode())
    files = {file.path: manager.registry.blobs.path(file.sha256) for file in record.files}
    check_files(record.reference, MANIFEST, manifest.files, files)
    return EditorPackage(manifest, files)
