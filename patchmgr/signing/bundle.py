"""``model.sig`` as it lies there: read within bounds, and taken apart without believing it.

Nothing here proves anything: whoever wrote the file wrote all of it. It tells signatures that cannot be those of a
package from those that may be, and whom to ask. :mod:`patchmgr.signing.verify` proves.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchmgr.canonical import sha256_hex
from patchmgr.errors import FormatError
from patchmgr.package.reader import SIGNATURE
from patchmgr.signing.contract import Signer

LIMIT_BYTES = 4 * 1024 * 1024
"""A signature is a kilobyte and a hundred bytes for each file; a larger one is not read."""

_AGAIN = "fetch the package again, or sign it again"
_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_DIGEST_DIGITS = 64


@dataclass(frozen=True)
class Bundle:
    """What a signature claims."""

    signer: Signer
    signed: Mapping[str, str]
    """Path to SHA-256."""


def read_signature(path: Path) -> bytes:
    """The bytes of a signature.

    Raises:
        FormatError: it is no plain file, or larger than a signature can be.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise FormatError(f"{SIGNATURE} cannot be read: {error.strerror}", hint=_AGAIN) from None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise FormatError(f"{SIGNATURE} is no plain file", hint=_AGAIN)
        data = file.read(LIMIT_BYTES + 1) if found.st_size <= LIMIT_BYTES else b""
    if found.st_size > LIMIT_BYTES or len(data) > LIMIT_BYTES:
        raise FormatError(f"{SIGNATURE} is larger than {LIMIT_BYTES} bytes, so it is no signature", hint=_AGAIN)
    return data


def parse_bundle(data: bytes) -> Bundle:
    """A signature from its bytes.

    Raises:
        FormatError: it is not a sigstore bundle as model-signing 1 writes it, with SHA-256 of whole files.
    """
    try:
        if len(data) > LIMIT_BYTES:
            raise ValueError(f"it is larger than {LIMIT_BYTES} bytes")
        return _parsed(data)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        told = f"it lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise FormatError(f"{SIGNATURE} is not a signature by model-signing: {told[:200]}", hint=_AGAIN) from None


def difference(signed: Mapping[str, str], wanted: Mapping[str, str]) -> str | None:
    """Why what was signed is not what is wanted; None: all of that was. Other files may have been signed as well."""
    for name, sha256 in wanted.items():
        if name not in signed:
            return f"it does not cover {name}"
        if signed[name] != sha256:
            return f"the bytes of {name} are not those that were signed"
    return None


def _parsed(data: bytes) -> Bundle:
    bundle = json.loads(data)
    _expect("mediaType", bundle["mediaType"], _MEDIA_TYPE)
    envelope = bundle["dsseEnvelope"]
    _expect("payloadType", envelope["payloadType"], _PAYLOAD_TYPE)
    _expect("number of signatures", len(envelope["signatures"]), 1)
    statement = json.loads(base64.b64decode(envelope["payload"], validate=True))
    _expect("_type", statement["_type"], _STATEMENT)
    _expect("predicateType", statement["predicateType"], _PREDICATE)
    predicate = statement["predicate"]
    _expect("method", predicate["serialization"]["method"], "files")
    signed: dict[str, str] = {}
    for resource in predicate["resources"]:
        _expect("algorithm", resource["algorithm"], "sha256")
        name, digest = resource["name"], resource["digest"]
        if not isinstance(name, str) or name in signed:
            raise ValueError(f"the name {name!r} stands twice, or is none")
        if not isinstance(digest, str) or len(digest) != _DIGEST_DIGITS:
            raise ValueError(f"{name!r} has no SHA-256")
        signed[name] = digest
    return Bundle(_signer(bundle["verificationMaterial"]), signed)


def _signer(material: Mapping[str, Any]) -> Signer:
    if "publicKey" in material:
        hint = material["publicKey"]["hint"]
        if not isinstance(hint, str) or len(hint) != _DIGEST_DIGITS:
            raise ValueError("it does not name its key")
        return Signer("key", hint)
    if "x509CertificateChain" in material:
        first = material["x509CertificateChain"]["certificates"][0]
        return Signer("certificate", sha256_hex(base64.b64decode(first["rawBytes"], validate=True)))
    return Signer("keyless", sha256_hex(base64.b64decode(material["certificate"]["rawBytes"], validate=True)))


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise ValueError(f"its {what} is {found!r}, not {wanted!r}")
