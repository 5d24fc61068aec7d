"""PEM files of users: public keys and certificates to trust, private keys to sign with; each found to be what it must.

A private key where a public one belongs is refused before anything of it is kept.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchmgr.errors import NotFoundError, PatchmgrError, UsageError
from patchmgr.signing.contract import TrustedKey

if TYPE_CHECKING:
    from cryptography import x509

CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
"""Curves of the keys that model-signing takes."""

_LIMIT_BYTES = 1024 * 1024
_NEW_KEY = "make one by `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`"
_PUBLIC = "`openssl pkey -in key.pem -pubout -out pub.pem` writes the public half of a key"


def read_public_key(path: Path, name: str) -> TrustedKey:
    """A public key to trust.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds a private key, a certificate, or no EC key that model-signing takes.
    """
    data = _read_public(path)
    if b"BEGIN CERTIFICATE" in data:
        raise UsageError(f"{path} holds a certificate", hint="give it by --certificate, if it is that of a CA")
    with_library()
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        key = load_pem_public_key(data)
    except Exception as error:  # unreadable, or of a kind that the library does not know
        raise UsageError(f"{path} holds no public key in PEM{_why(error)}", hint=_PUBLIC) from None
    _check_curve(key, path)
    return TrustedKey(name, "key", key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def read_certificate(path: Path, name: str) -> TrustedKey:
    """The certificate of a CA to trust.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds a private key, not one certificate, one that another issued, or one that does not hold now.
    """
    certificate = _one_certificate(path, _read_public(path))
    from cryptography.hazmat.primitives.serialization import Encoding

    if certificate.issuer != certificate.subject:
        raise UsageError(
            f"{path} was issued by {certificate.issuer.rfc4514_string()!r}, so no chain ends there",
            hint="trust the certificate of that CA itself",
        )
    _check_moment(certificate, path)
    return TrustedKey(name, "certificate", certificate.public_bytes(Encoding.PEM))


def check_private_key(path: Path) -> Any:
    """The private key in a file, found to be one that can sign.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds no private key, an encrypted one, or none that model-signing takes.
    """
    data = _read(path)
    with_library()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if b"PRIVATE KEY" not in data:
        raise UsageError(f"{path} holds no private key, and nothing else can sign", hint=_NEW_KEY)
    try:
        key = load_pem_private_key(data, None)
    except TypeError:
        raise UsageError(
            f"the key in {path} is encrypted", hint=f"decrypt it for the while: `openssl pkey -in {path} -out FILE`"
        ) from None
    except Exception as error:  # unreadable, or of a kind that the library does not know
        raise UsageError(f"{path} holds no private key in PEM{_why(error)}", hint=_NEW_KEY) from None
    _check_curve(key, path)
    return key


def check_signing_certificate(path: Path, key: Any) -> None:
    """Make sure that a certificate can sign by a key.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is not that of the key, does not hold now, or is not for signing.
    """
    certificate = _one_certificate(path, _read(path))
    from cryptography import x509

    if certificate.public_key() != key.public_key():
        raise UsageError(f"{path} is the certificate of another key", hint="give the key that it was issued for")
    _check_moment(certificate, path)

    def says(kind: Any, what: Any) -> bool:
        try:
            return bool(what(certificate.extensions.get_extension_for_class(kind).value))
        except x509.ExtensionNotFound:
            return False

    if not says(x509.KeyUsage, lambda usage: usage.digital_signature) and not says(
        x509.ExtendedKeyUsage, lambda usages: x509.oid.ExtendedKeyUsageOID.CODE_SIGNING in usages
    ):
        raise UsageError(
            f"{path} is not for signing", hint="let it be issued with keyUsage=digitalSignature, or codeSigning"
        )


def read_certificates(path: Path, data: bytes | None = None) -> list[x509.Certificate]:
    """Every certificate in a file, which was read already where ``data`` is given.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds none.
    """
    with_library()
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(_read(path) if data is None else data)
    except ValueError:
        raise UsageError(f"{path} holds no certificate in PEM", hint="give a PEM file") from None


def with_library() -> None:
    """Make sure that keys can be read; PatchmgrError says what to install."""
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise PatchmgrError(f"keys cannot be read here: {error}", hint="pip install 'patchmgr[signing]'") from None


def _one_certificate(path: Path, data: bytes) -> x509.Certificate:
    found = read_certificates(path, data)
    if len(found) != 1:
        raise UsageError(f"{path} holds {len(found)} certificates", hint="give one; others of a chain go by --chain")
    return found[0]


def _check_moment(certificate: x509.Certificate, path: Path) -> None:
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise UsageError(f"{path} expired on {certificate.not_valid_after_utc:%Y-%m-%d}", hint="use a newer one")
    if now < certificate.not_valid_before_utc:
        raise UsageError(
            f"{path} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d} on", hint="check the clock"
        )


def _check_curve(key: Any, path: Path) -> None:
    curve = getattr(key, "curve", None)
    if getattr(curve, "name", None) not in CURVES:
        kind = f"on the curve {curve.name}" if curve is not None else f"of the kind {type(key).__name__.strip('_')}"
        raise UsageError(
            f"the key in {path} is {kind}; model-signing takes EC keys on {', '.join(CURVES.values())}", hint=_NEW_KEY
        )


def _read_public(path: Path) -> bytes:
    data = _read(path)
    if b"PRIVATE KEY" in data:
        raise UsageError(f"{path} holds a private key; nothing of it was kept", hint=_PUBLIC)
    return data


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT_BYTES + 1)
    except OSError as error:
        raise NotFoundError(f"{str(path)!r} cannot be read: {error.strerror}", hint="give a PEM file") from None
    if len(data) > _LIMIT_BYTES:
        raise UsageError(f"{path} is too large for a key or a certificate", hint="give a PEM file")
    return data


def _why(error: Exception) -> str:
    """What the library says of a key that it does not know; where it could read none, its words say no more."""
    if isinstance(error, ValueError):
        return ""
    return f": {str(error).splitlines()[0][:120] if str(error) else type(error).__name__}"
