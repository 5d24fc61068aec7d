"""A package on the Hub: its manifest first, everything else only when it is wanted, and every byte checked."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.base.header import read_header
from patchmgr.durable import scratch_folder
from patchmgr.errors import ConflictError, FormatError, IntegrityError, UsageError
from patchmgr.hub.fetch import Snapshot, check_listed, fetch_files, forget_damaged, open_snapshot
from patchmgr.hub.reference import SCHEME, HubReference
from patchmgr.manager.sharing.choose import choose
from patchmgr.package.manifest import Manifest, parse_manifest
from patchmgr.package.reader import EDITS, MANIFEST, SCORES, SIGNATURE, EditPackage
from patchmgr.signing.bundle import LIMIT_BYTES as MOST_SIGNATURE_BYTES

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

MOST_HEADER_BYTES = 16 * 2**20
"""No header of a package's safetensors is larger; one of 10,000 touched tensors takes 3 MB."""
MOST_BYTES = {EDITS: 2**28, SCORES: 2**24, SIGNATURE: MOST_SIGNATURE_BYTES}
"""Of files that are read as a whole; an edit with all probes takes some kilobytes."""
MOST_FILES = 1_000
"""Of a package; a memory with its networks has some twenty."""
_VERSION = re.compile("v([0-9]+)")


@dataclass(frozen=True)
class RemotePackage:
    """A version that lies on the Hub."""

    reference: HubReference
    """As it was asked for."""
    snapshot: Snapshot
    manifest: Manifest

    @property
    def place(self) -> str:
        """``hf://org/name@<commit>``: exactly these bytes."""
        return f"hf://{self.snapshot.repo_id}@{self.snapshot.commit}"


def find_remote(text: str) -> RemotePackage:
    """A version on the Hub by what a user typed; only its manifest is fetched.

    Raises:
        UsageError: the text does not name one.
        NotFoundError: there is no such repository or version, or no access to it.
        FormatError: the manifest cannot be read, or the repository holds what it does not list.
        IntegrityError: the repository lacks a file, or has another than the manifest says; or its tag for a version
            is on another one.
        HubError: the Hub cannot be reached.
    """
    reference = HubReference.parse(text)
    if not text.startswith(SCHEME) and (Path(text) / MANIFEST).is_file():
        raise UsageError(f"{text} is a folder here, and could be a repository", hint=f"write ./{text} or hf://{text}")
    revision = choose(reference)
    snapshot = open_snapshot(reference.repo_id, revision, MANIFEST)
    manifest = parse_manifest(snapshot.manifest)
    tagged = _VERSION.fullmatch(revision)
    if tagged and int(tagged[1]) != manifest.version:
        raise IntegrityError(
            f"the tag {revision} of {reference.repo_id} is on {manifest.reference}", hint="ask its owner; do not use it"
        )
    check_listed(snapshot, manifest.files)
    if len(manifest.files) > MOST_FILES:
        raise FormatError(f"{reference} has {len(manifest.files)} files", hint="do not use it")
    for name, limit in MOST_BYTES.items():
        if name in snapshot.files and snapshot.files[name].size_bytes > limit:
            raise FormatError(f"{name} of {reference} is larger than any", hint="do not use it")
    return RemotePackage(reference, snapshot, manifest)


def check_no_other(manager: Manager, remote: RemotePackage, *, any_source: bool = False) -> None:
    """Make sure that versions of this name come from this repository, and that the number is free.

    Args:
        manager: the registry.
        remote: a version that the registry does not have.
        any_source: also where versions of the name were made here, or came from elsewhere.

    Raises:
        ConflictError: the registry has another package of that name and number, or other versions are from elsewhere:
            whoever says ``name@latest`` must not get a stranger's.
    """
    manifest, place = remote.manifest, f"{SCHEME}{remote.snapshot.repo_id}"
    if all(package.name != manifest.name for package in manager.registry.packages()):
        return
    for version in manager.registry.summaries(manifest.name):
        if version.number == manifest.version and version.digest != manifest.digest:
            raise ConflictError(
                f"{remote.reference} is {manifest.reference}, and the registry has another package of that name and "
                f"number (sha256:{version.digest[:12]}, there sha256:{manifest.digest[:12]})",
                hint="one of them was changed under its number; ask its author which is meant",
            )
    known = {known.name: known.url for known in manager.registry.remotes()}.get(manifest.name)
    if known != place and not any_source:
        raise ConflictError(
            f"{remote.reference} calls itself {manifest.reference}, and the versions of {manifest.name} here "
            f"{f'come from {known}' if known else 'were made here'}",
            hint=f"if you trust both, `patchmgr pull {remote.reference} --any-source`",
        )


@contextlib.contextmanager
def fetched(manager: Manager, remote: RemotePackage) -> Iterator[Path]:
    """The whole package in a temporary folder, with its signature where it has one.

    Raises:
        IntegrityError: a byte is not what the manifest says.
        FormatError: a header lies about its bytes, or something is larger than it can be.
        HubError: the Hub cannot be reached.
        StorageError: the disk is full, read-only or failing.
    """
    names = [*remote.manifest.files, *({SIGNATURE} & set(remote.snapshot.files))]
    with scratch_folder(manager.settings.home / "tmp", "pull-", what=str(remote.reference)) as folder:
        fetch_files(remote.snapshot, names, folder)
        with _forgetting_damage(remote):
            package = EditPackage.read(folder)
        _check_headers(package)
        if package.manifest.digest != remote.manifest.digest:
            raise IntegrityError(f"{remote.reference} changed while it was fetched", hint="run it again")
        yield folder


@contextlib.contextmanager
def _forgetting_damage(remote: RemotePackage) -> Iterator[None]:
    """What came damaged does not stay in the Hub's cache, where the next attempt would find it again."""
    try:
        yield
    except IntegrityError:
        forget_damaged(remote.snapshot, remote.manifest.files)
        raise


def _check_headers(package: EditPackage) -> None:
    """Make sure that every safetensors file is one, whoever reads it later; no tensor is read."""
    for name in package.manifest.files:
        if name.endswith(".safetensors"):
            read_header(package.files[name], limit_bytes=MOST_HEADER_BYTES)


def fetch_words(manager: Manager, remote: RemotePackage) -> EditPackage:
    """Manifest, edits and scores of a package, without its weights; what is fetched is checked.

    The files are read before this returns, for they lie in a temporary folder.

    Raises:
        IntegrityError: a byte is not what the manifest says.
        HubError: the Hub cannot be reached.
    """
    names = [name for name in (EDITS, SCORES) if name in remote.manifest.files]
    with scratch_folder(manager.settings.home / "tmp", "show-", what=str(remote.reference)) as folder:
        fetch_files(remote.snapshot, names, folder)
        with _forgetting_damage(remote):
            package = EditPackage.open_part(remote.manifest, {name: folder / name for name in names})
        _ = package.requests, package.scores
    return package
