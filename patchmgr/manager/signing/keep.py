"""Signatures on their way into the registry: a blob each, and a row beside that of their version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr.canonical import sha256_hex
from patchmgr.errors import FormatError, IntegrityError
from patchmgr.manager.signing.ask import registered_signature
from patchmgr.package.reader import SIGNATURE, EditPackage
from patchmgr.signing.bundle import difference, parse_bundle, read_signature
from patchmgr.signing.contract import Signer, signed_digests
from patchmgr.signing.trust import trusted_keys
from patchmgr.signing.verify import judge
from patchmgr_registry import EventObject, SignatureRecord, timestamp

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr_registry import Transaction


@dataclass(frozen=True)
class Kept:
    """A signature that may be kept: it is of the package's bytes, whoever made it."""

    data: bytes
    signer: Signer

    def keep(self, manager: Manager, tx: Transaction, digest: str) -> EventObject:
        """Give a version this signature, whose blob is stored; what the event says of it."""
        sha256 = sha256_hex(self.data)
        tx.set_signature(digest, SignatureRecord(sha256, len(self.data), timestamp()))
        manager.registry.blobs.check(sha256)  # it was not cleared away before this version needed it
        return EventObject("signature", str(self.signer), sha256)


def signature_to_keep(package: EditPackage) -> Kept | None:
    """The signature that lies with a package; None: there is none.

    Raises:
        IntegrityError: it cannot be that of the package, whoever made it.
    """
    if SIGNATURE not in package.files:
        return None
    reference = package.manifest.reference
    try:
        data = read_signature(package.files[SIGNATURE])
        bundle = parse_bundle(data)
    except FormatError as error:
        raise FormatError(f"{reference}: {error.message}", hint=error.hint) from None
    trouble = difference(bundle.signed, signed_digests(package.manifest))
    if trouble is not None:
        raise IntegrityError(
            f"the signature of {reference} is bad: {trouble}",
            hint=f"it is that of another package or version; fetch both again, or remove {SIGNATURE}",
        )
    return Kept(data, bundle.signer)


def keep_better(manager: Manager, package: EditPackage) -> None:
    """Keep the signature that lies with a registered package, where it says more than the one that is here.

    That is: where there is none, or this one is by a trusted key and that one is not.

    Raises:
        IntegrityError: it cannot be that of the package, whoever made it.
        PatchmgrError: the library model-signing is needed to tell, and not installed.
    """
    kept = signature_to_keep(package)
    if kept is None:
        return
    manifest = package.manifest
    try:
        here = registered_signature(manager, manifest.digest)
    except IntegrityError:  # lost or damaged, and this one mends it
        here = None
    if here == kept.data:
        return
    if here is not None:
        trusted = trusted_keys(manager.settings.trust)
        standing, coming = judge(manifest, here, trusted), judge(manifest, kept.data, trusted)
        if standing.status == "trusted" or coming.status != "trusted":
            return
    replace_signature(manager, package, kept, "import")


def replace_signature(manager: Manager, package: EditPackage, kept: Kept, action: str) -> Signer | None:
    """Give a registered version a signature, in one transaction with its event, which tells of the one that goes.

    Returns:
        Who made the one that went; None: there was none, or nobody can tell.
    """
    manifest = package.manifest
    manager.registry.blobs.put_bytes(kept.data)
    with manager.registry.begin() as tx:
        before = tx.signature(manifest.digest)
        gone = None if before is None else _signer(manager, before)
        objects = [
            EventObject("package", manifest.reference, manifest.digest),
            kept.keep(manager, tx, manifest.digest),
        ]
        if before is not None:
            objects.append(EventObject("replaced", "unreadable" if gone is None else str(gone), before.sha256))
        tx.record_event(manager.origin, action, objects=objects)
        tx.commit()
    return gone


def _signer(manager: Manager, record: SignatureRecord) -> Signer | None:
    try:
        return parse_bundle(manager.registry.blobs.read_bytes(record.sha256)).signer
    except IntegrityError:
        return None
