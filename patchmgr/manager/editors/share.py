"""Editors to and from the Hub, each version as a tag of its repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.durable import scratch_folder
from patchmgr.errors import ConflictError
from patchmgr.hub.fetch import check_listed, fetch_files, open_snapshot
from patchmgr.hub.publish import publish
from patchmgr.hub.reference import HubReference
from patchmgr.hub.release import Publication, Release
from patchmgr.hub.standing import look
from patchmgr.manager.editors.keep import register
from patchmgr.manager.sharing.choose import choose
from patchmgr.manager.sharing.push import parse_repo, record_push
from patchmgr.package.editor import MANIFEST, parse_editor, read_editor
from patchmgr.package.editor_card import render_editor_card
from patchmgr.package.reader import CARD
from patchmgr_registry import EditorRecord, EventObject, NumberTakenError

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def push_editor(manager: Manager, reference: str, repo: str, *, private: bool = True) -> Publication:
    """Publish an editor as :func:`patchmgr.manager.sharing.push.push` publishes a package; errors as those of it."""
    repo_id = parse_repo(repo)
    record, package = manager.editors.opened(reference)
    manifest = package.manifest
    card = render_editor_card(manifest, repo_id).encode()
    files: dict[str, Path | bytes] = {**package.files, MANIFEST: manifest.to_bytes(), CARD: card}
    release = Release(manifest.name, manifest.version, MANIFEST, manifest.to_bytes(), manifest.message, files)
    done = publish(release, look(release, repo_id), private=private)
    if not done.was_there:
        record_push(manager, EventObject("editor", record.reference, record.digest), done)
    return done


def pull_editor(manager: Manager, text: str) -> EditorRecord:
    """Take an editor from the Hub into the registry, every byte checked, unless it is there.

    Raises:
        UsageError: the text does not name one on the Hub.
        NotFoundError: there is no such repository or version, or no access to it.
        FormatError: it is malformed, or its repository holds what it does not list.
        IntegrityError: a file is missing or damaged.
        ConflictError: another editor has that name and number here.
        HubError: the Hub cannot be reached.
    """
    reference = HubReference.parse(text)
    snapshot = open_snapshot(reference.repo_id, choose(reference, MANIFEST), MANIFEST)
    manifest = parse_editor(snapshot.manifest)
    known = [each for each in manager.registry.editors() if each.digest == manifest.digest]
    if known:
        return known[0]
    check_listed(snapshot, manifest.files)
    with scratch_folder(manager.settings.home / "tmp", "pull-", what=text) as folder:
        fetch_files(snapshot, list(manifest.files), folder)
        try:
            return register(
                manager,
                read_editor(folder),
                "pull-editor",
                about=[EventObject("remote", f"hf://{snapshot.repo_id}@{snapshot.commit}")],
            )
        except NumberTakenError as taken:
            raise ConflictError(
                f"{text} is {manifest.reference}, and the registry has another editor of that name and number",
                hint=f"the one here is sha256:{taken.digest[:12]}",
            ) from None
