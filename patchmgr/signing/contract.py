"""What is signed, who signs, whom a user trusts, and what is found of a signature."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from patchmgr.canonical import sha256_hex
from patchmgr.package.manifest import Manifest
from patchmgr.package.reader import MANIFEST

Kind = Literal["key", "certificate", "keyless"]
"""``key``: an EC key · ``certificate``: one that a CA issued · ``keyless``: one of a moment, which Sigstore issued."""

Status = Literal["unsigned", "trusted", "unknown", "bad"]
"""``trusted``: by a trusted key, of these bytes · ``unknown``: by somebody else, unproved · ``bad``: refuse it."""


def signed_digests(manifest: Manifest) -> Mapping[str, str]:
    """What a signature of a package must cover: path to SHA-256 of the manifest and of every file that it lists."""
    return {MANIFEST: manifest.digest, **{name: record.sha256 for name, record in manifest.files.items()}}


@dataclass(frozen=True)
class Signer:
    """Who signed, as far as the signature says."""

    kind: Kind
    fingerprint: str
    """SHA-256: of a public key as PEM, which is what signatures name it by; of a certificate as DER."""

    def __str__(self) -> str:
        return f"{'certificate' if self.kind == 'keyless' else self.kind} sha256:{self.fingerprint}"


@dataclass(frozen=True)
class TrustedKey:
    """A public key, or the certificate of a CA, under a name that the user gave it."""

    name: str
    kind: Literal["key", "certificate"]
    pem: bytes
    """As ``cryptography`` writes it: one block and nothing beside it."""

    @property
    def fingerprint(self) -> str:
        """As that of a :class:`Signer`."""
        if self.kind == "key":
            return sha256_hex(self.pem)
        return sha256_hex(base64.b64decode(b"".join(self.pem.splitlines()[1:-1]), validate=True))

    def __str__(self) -> str:
        return f"{self.kind} sha256:{self.fingerprint}"


@dataclass(frozen=True)
class Finding:
    """What is known of the signature of a package."""

    status: Status
    signer: Signer | None = None
    """None: unsigned, or nobody can tell."""
    trusted_as: str | None = None
    """The name that the user trusts the signer under; of a certificate, its CA."""
    trouble: str | None = None
    """What is bad about it."""

    @property
    def line(self) -> str:
        """The finding in one line."""
        if self.status == "unsigned":
            return "none"
        if self.status == "bad":
            return f"BAD: {self.trouble}"
        if self.status == "trusted":
            return f"by {self.trusted_as} ({self.signer})"
        keyless = " (keyless)" if self.signer is not None and self.signer.kind == "keyless" else ""
        return f"not proved: it names the {self.signer}{keyless}, which is not trusted here"
