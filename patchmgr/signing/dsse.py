"""in-toto statements in DSSE envelopes, signed by an EC key: what is said of states and of audit trails.

The envelope is that of DSSE 1.0 (https://github.com/secure-systems-lab/dsse) with one signature. What is signed is
``DSSEv1 LENGTH TYPE LENGTH PAYLOAD``, by ECDSA with SHA-256, SHA-384 or SHA-512 as the curve asks. ``keyid`` is the
fingerprint of the key, as :class:`patchmgr.signing.contract.Signer` has it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.errors import FormatError, IntegrityError
from patchmgr.signing.contract import Signer, TrustedKey
from patchmgr.signing.pem import check_private_key
from patchmgr.signing.sign import public_pem

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

_AGAIN = "get the file again from whoever made it"
_DIGEST_DIGITS = 64


@dataclass(frozen=True)
class Statement:
    """What is said of which things: an in-toto Statement v1."""

    subject: tuple[Mapping[str, Any], ...]
    """Each with ``name`` and ``digest``."""
    predicate_type: str
    predicate: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The statement as JSON."""
        return {
            "_type": STATEMENT_TYPE,
            "subject": [dict(thing) for thing in self.subject],
            "predicateType": self.predicate_type,
            "predicate": dict(self.predicate),
        }


@dataclass(frozen=True)
class Envelope:
    """A statement with its signature, which proves nothing yet; without one where it is not signed."""

    statement: Statement
    payload: bytes = b""
    key_id: str | None = None
    """None: not signed."""
    signature: bytes = b""


def sign_statement(statement: Statement, key: Path) -> dict[str, Any]:
    """An envelope with a statement, signed.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds no private EC key that can sign.
        PatchmgrError: the library cryptography is not installed.
    """
    private = check_private_key(key)
    from cryptography.hazmat.primitives.asymmetric import ec

    payload = canonical_json(statement.to_json()).rstrip(b"\n")
    signature = private.sign(_signed_bytes(payload), ec.ECDSA(_hash_of(private)))
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": sha256_hex(public_pem(private)), "sig": base64.b64encode(signature).decode()}],
    }


def parse_envelope(value: Any, predicate_type: str, *, what: str) -> Envelope:
    """An envelope, or a statement without one, from its JSON.

    Args:
        value: what was read.
        predicate_type: what the statement must be.
        what: names the file, for messages.

    Raises:
        FormatError: it is neither.
    """
    try:
        if "payload" not in value:
            return Envelope(_statement(value, predicate_type))
        _expect("payloadType", value["payloadType"], PAYLOAD_TYPE)
        _expect("number of signatures", len(value["signatures"]), 1)
        payload = base64.b64decode(value["payload"], validate=True)
        statement = _statement(json.loads(payload), predicate_type)
        (signed,) = value["signatures"]
        key_id, signature = signed["keyid"], base64.b64decode(signed["sig"], validate=True)
        if not isinstance(key_id, str) or len(key_id) != _DIGEST_DIGITS:
            raise ValueError("it does not name its key")
        return Envelope(statement, payload, key_id, signature)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        told = f"it lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise FormatError(f"{what} holds no statement as patchmgr makes it: {told[:200]}", hint=_AGAIN) from None


def proved_by(envelope: Envelope, keys: Sequence[TrustedKey], *, what: str) -> TrustedKey | None:
    """Who of these signed; None: it is not signed, or by none of them.

    Raises:
        IntegrityError: it names one of the keys and is not by it.
        PatchmgrError: the library cryptography is not installed.
    """
    for key in keys:
        if key.kind == "key" and key.fingerprint == envelope.key_id:
            _prove(envelope, key, what)
            return key
    return None


def require_signer(envelope: Envelope, keys: Sequence[TrustedKey], *, required: bool, what: str) -> TrustedKey | None:
    """The same; refused where one of the keys must have signed, and none has.

    Raises:
        IntegrityError: it is not signed as is required, or the signature is bad.
    """
    found = proved_by(envelope, keys, what=what)
    if found is None and required:
        signer = "nobody" if envelope.key_id is None else f"the {Signer('key', envelope.key_id)}"
        wanted = " or ".join(key.name for key in keys) or "somebody, and nobody is trusted here"
        raise IntegrityError(
            f"{what} is signed by {signer}, and must be by {wanted}", hint="do not rely on it; ask whoever sent it"
        )
    return found


def _prove(envelope: Envelope, key: TrustedKey, what: str) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    public: Any = load_pem_public_key(key.pem)
    try:
        public.verify(envelope.signature, _signed_bytes(envelope.payload), ec.ECDSA(_hash_of(public)))
    except InvalidSignature:
        raise IntegrityError(
            f"the signature of {what} is bad: it is not by {key.name}, whose key it names",
            hint="it was changed after it was signed; do not rely on it",
        ) from None


def _signed_bytes(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _hash_of(key: Any) -> Any:
    from cryptography.hazmat.primitives import hashes

    by_size: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    return by_size[key.curve.key_size]


def _statement(value: Any, predicate_type: str) -> Statement:
    _expect("_type", value["_type"], STATEMENT_TYPE)
    _expect("predicateType", value["predicateType"], predicate_type)
    subject, predicate = value["subject"], value["predicate"]
    sound = isinstance(subject, list) and all(
        isinstance(thing["name"], str) and isinstance(thing["digest"], dict) for thing in subject
    )
    if not sound or not isinstance(predicate, dict):
        raise ValueError("its subject or predicate is malformed")
    return Statement(tuple(subject), predicate_type, predicate)


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise ValueError(f"its {what} is {found!r}, not {wanted!r}")
