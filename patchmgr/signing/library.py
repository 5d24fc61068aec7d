"""The library model-signing: the one place that imports it, and only when something is to be signed or proved.

Its public ``verifying.Config`` opens files by the names in the signature, and leaves out those that the signature says
to leave out. So its verifiers are asked here what was signed, and the package is compared with that elsewhere.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from patchmgr.errors import IntegrityError, PatchmgrError
from patchmgr.package.files import COMPANIONS
from patchmgr.package.reader import SIGNATURE


def sign_with_key(what: str, digests: Mapping[str, str], key: Path) -> bytes:
    """A signature of these files by an EC key; ``what`` names them for people."""
    with _library():
        from model_signing import signing

        return _written(signing.Config().use_elliptic_key_signer(private_key=key), what, digests)


def sign_with_certificate(
    what: str, digests: Mapping[str, str], key: Path, certificate: Path, chain: Sequence[Path]
) -> bytes:
    """A signature of these files by the key of a certificate, which it carries with its chain."""
    with _library():
        from model_signing import signing

        signer = signing.Config().use_certificate_signer(
            private_key=key,
            signing_certificate=certificate,
            certificate_chain=chain or [certificate],  # it takes no empty chain; standing there twice does no harm
        )
        return _written(signer, what, digests)


def sign_keyless(what: str, digests: Mapping[str, str]) -> bytes:
    """A signature of these files by a certificate that Sigstore issues to whoever logs in.

    Raises:
        PatchmgrError: Sigstore cannot be reached, or does not let the user in.
    """
    with _library():
        from model_signing import signing
    try:
        return _written(signing.Config().use_sigstore_signer(), what, digests)
    except Exception as error:  # the network, the login and three services: whatever the library meets
        raise PatchmgrError(
            f"nothing was signed: Sigstore could not be used ({type(error).__name__}: {str(error)[:200]})",
            hint="it needs the network and a login; without them, sign with --key",
        ) from error


def proved_by_key(signature: bytes, pem: bytes) -> Mapping[str, str]:
    """What a key signed: path to SHA-256.

    Raises:
        IntegrityError: the signature is not by this key.
    """
    with _library():
        from model_signing._signing import sign_ec_key
    with _files(signature, pem) as (signed, key):
        return _proved(sign_ec_key.Verifier(key), signed)


def proved_by_certificate(signature: bytes, pem: bytes) -> Mapping[str, str] | None:
    """What the holder of a certificate of this CA signed: path to SHA-256; None: the certificate is not of this CA.

    Raises:
        IntegrityError: the signature is not by its certificate, or that may not sign.
    """
    with _library():
        from model_signing._signing import sign_certificate
        from OpenSSL.crypto import X509StoreContextError
    with _files(signature, pem) as (signed, certificate):
        try:
            return _proved(sign_certificate.Verifier([certificate]), signed)
        except IntegrityError as bad:
            if isinstance(bad.__cause__, X509StoreContextError):
                return None
            raise


@contextlib.contextmanager
def _library() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise PatchmgrError(
            f"signatures need the library model-signing: {error}", hint="pip install 'patchmgr[signing]'"
        ) from None


@contextlib.contextmanager
def _files(signature: bytes, pem: bytes) -> Iterator[tuple[Path, Path]]:
    """Both as files, which is how the library takes them: the bytes that were looked at, whatever lies elsewhere."""
    with TemporaryDirectory(prefix="patchmgr-signature-") as folder:
        signed, key = Path(folder, SIGNATURE), Path(folder, "key.pem")
        signed.write_bytes(signature)
        key.write_bytes(pem)
        yield signed, key


def _proved(verifier: Any, signature: Path) -> Mapping[str, str]:
    from model_signing._signing import sign_sigstore_pb

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints warnings among what a command says
            manifest = verifier.verify(sign_sigstore_pb.Signature.read(signature))
    except Exception as error:  # anything may be in a stranger's file, and the library meets it as it comes
        told = f": {str(error)[:200]}" if str(error) else ""
        raise IntegrityError(f"it is not by that key ({type(error).__name__}{told})") from error
    return {item.identifier: item.digest.digest_hex for item in manifest.resource_descriptors()}


def _written(signer: Any, what: str, digests: Mapping[str, str]) -> bytes:
    """What the library writes for files whose digests are known, so that none is read again."""
    from model_signing import hashing, manifest
    from model_signing._hashing.hashing import Digest

    ignored = sorted(COMPANIONS - digests.keys())  # whoever checks by the plain tool may have these beside the package
    kind = manifest.SerializationType.from_args(
        {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": ignored}
    )
    items = [
        manifest.FileManifestItem(path=PurePosixPath(name), digest=Digest("sha256", bytes.fromhex(sha256)))
        for name, sha256 in digests.items()
    ]

    class Known(hashing.Config):
        """Gives what is known in place of reading a folder."""

        def hash(self, *_folder: Any, **_how: Any) -> Any:
            return manifest.Manifest(what, items, kind)

    with TemporaryDirectory(prefix="patchmgr-signature-") as folder:
        place = Path(folder, SIGNATURE)
        signer.set_hashing_config(Known()).sign(Path(folder), place)
        return place.read_bytes()
