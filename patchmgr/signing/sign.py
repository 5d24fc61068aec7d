"""Signing a package: by a key, by the key of a certificate, or keyless."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchmgr.errors import IntegrityError, UsageError
from patchmgr.package.manifest import Manifest
from patchmgr.signing.bundle import parse_bundle
from patchmgr.signing.contract import Signer, signed_digests
from patchmgr.signing.pem import check_private_key, check_signing_certificate, read_certificates


@dataclass(frozen=True)
class SigningOrder:
    """By what to sign."""

    key: Path | None = None
    """A private EC key, PEM, not encrypted; None with ``keyless``."""
    certificate: Path | None = None
    """Of that key; None: the key speaks for itself."""
    chain: tuple[Path, ...] = ()
    """Certificates between that one and its CA."""
    keyless: bool = False
    """By Sigstore, which needs the network and a login."""

    def check(self) -> Any:
        """The private key, found to be usable with the certificate; None with ``keyless``.

        Raises:
            UsageError: the order contradicts itself, or a file holds something else.
            NotFoundError: there is no such file.
            PatchmgrError: the libraries are not installed.
        """
        if self.keyless == (self.key is not None):
            raise UsageError("by what shall it be signed?", hint="give --key KEY.pem, or --keyless")
        if self.certificate is not None and self.key is None:
            raise UsageError("a certificate does not go with --keyless", hint="leave one of the two out")
        if self.chain and self.certificate is None:
            raise UsageError("a chain goes with a certificate", hint="give --certificate CERT.pem too")
        if self.key is None:
            return None
        key = check_private_key(self.key)
        if self.certificate is not None:
            check_signing_certificate(self.certificate, key)
            for link in self.chain:
                read_certificates(link)
        return key


def sign_manifest(manifest: Manifest, order: SigningOrder) -> tuple[bytes, Signer]:
    """Sign a package whose files are those that its manifest lists.

    Returns:
        The bytes of ``model.sig``, and the signer that they name.

    Raises:
        PatchmgrError: as :meth:`SigningOrder.check`; or Sigstore cannot be used.
    """
    from patchmgr.signing import library

    key, what, digests = order.check(), manifest.reference, signed_digests(manifest)
    if order.key is None:
        signature = library.sign_keyless(what, digests)
    elif order.certificate is None:
        signature = library.sign_with_key(what, digests, order.key)
        if library.proved_by_key(signature, public_pem(key)) != digests:
            raise IntegrityError("the signature that was made does not hold", hint="the key was changed meanwhile?")
    else:
        signature = library.sign_with_certificate(what, digests, order.key, order.certificate, order.chain)
    return signature, parse_bundle(signature).signer


def public_pem(key: Any) -> bytes:
    """The public half of a private key, as a signature names it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
