"""Signing: a version of the registry, or a package in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.durable import store_file
from patchmgr.errors import FormatError
from patchmgr.manager.packages import folder_of, is_folder
from patchmgr.manager.signing.ask import signature_beside
from patchmgr.manager.signing.keep import Kept, replace_signature
from patchmgr.manager.states import open_version
from patchmgr.package.reader import SIGNATURE, EditPackage
from patchmgr.signing.bundle import parse_bundle
from patchmgr.signing.contract import Signer, signed_digests
from patchmgr.signing.sign import SigningOrder, sign_manifest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Signed:
    """A package that was signed, or would be."""

    reference: str
    digest: str
    files: tuple[str, ...]
    """What the signature covers."""
    signer: Signer | None
    """None: nothing was signed."""
    replaced: Signer | None
    """Who had signed it before."""
    place: Path | None
    """Where the signature lies; None: in the registry."""


def sign(manager: Manager, reference: str, order: SigningOrder, *, dry_run: bool = False) -> Signed:
    """Sign a package, every byte of which was checked first; a signature that it has goes.

    One in a folder gets its ``model.sig`` there. One of the registry keeps it there, with an event, and takes it along
    wherever it is laid out or sent.

    Args:
        manager: the registry.
        reference: a version, or the folder of a package.
        order: by what to sign.
        dry_run: check everything and sign nothing.

    Raises:
        NotFoundError: there is no such package, or no such file of a key.
        UsageError: a file holds something else than a key or certificate that can sign.
        IntegrityError: a file of the package is missing or is not what its digest says.
        PatchmgrError: the library model-signing is not installed, or Sigstore cannot be used.
        StorageError: the disk is full, read-only or failing.
    """
    folder = folder_of(reference) if is_folder(reference) else None
    package = EditPackage.read(folder) if folder else open_version(manager, manager.registry.version(reference))
    manifest, covered = package.manifest, tuple(signed_digests(package.manifest))
    order.check()
    if dry_run:
        return Signed(manifest.reference, manifest.digest, covered, None, None, folder)
    signature, signer = sign_manifest(manifest, order)
    if folder is None:
        replaced = replace_signature(manager, package, Kept(signature, signer), "sign")
    else:
        replaced = _signer_beside(folder)
        store_file(signature, folder / SIGNATURE, what=f"the signature of {manifest.reference}")
    return Signed(manifest.reference, manifest.digest, covered, signer, replaced, folder)


def _signer_beside(folder: Path) -> Signer | None:
    try:
        signature = signature_beside(folder)
        return None if signature is None else parse_bundle(signature).signer
    except FormatError:
        return None
