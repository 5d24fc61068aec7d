"""Who signed a package: found among those whom the user trusts, and proved on the bytes that are here."""

from __future__ import annotations

from collections.abc import Sequence

from patchmgr.errors import FormatError, IntegrityError
from patchmgr.package.manifest import Manifest
from patchmgr.signing.bundle import Bundle, difference, parse_bundle
from patchmgr.signing.contract import Finding, TrustedKey, signed_digests


def judge(manifest: Manifest, signature: bytes | None, trusted: Sequence[TrustedKey]) -> Finding:
    """What is to be thought of a signature.

    It is *bad* when it cannot be that of the package, whoever made it, or is not by the trusted key that it names. By
    somebody else it proves nothing, and nothing is proved.

    Args:
        manifest: of the package, whose files were found to have the digests that it lists.
        signature: the bytes of ``model.sig``; None: there is none.
        trusted: whom to believe. The library is needed only where the signature names one of them.

    Raises:
        PatchmgrError: the library model-signing is needed and not installed.
    """
    if signature is None:
        return Finding("unsigned")
    try:
        bundle = parse_bundle(signature)
    except FormatError as error:
        return Finding("bad", trouble=error.message)
    trouble = difference(bundle.signed, signed_digests(manifest))
    if trouble is not None:
        return Finding("bad", bundle.signer, trouble=trouble)
    try:
        return _proved(manifest, bundle, signature, trusted)
    except IntegrityError as error:
        return Finding("bad", bundle.signer, trouble=error.message)


def _proved(manifest: Manifest, bundle: Bundle, signature: bytes, trusted: Sequence[TrustedKey]) -> Finding:
    for key in trusted:
        if key.kind != bundle.signer.kind or (key.kind == "key" and key.fingerprint != bundle.signer.fingerprint):
            continue
        from patchmgr.signing.library import proved_by_certificate, proved_by_key

        signed = (proved_by_key if key.kind == "key" else proved_by_certificate)(signature, key.pem)
        if signed is None:
            continue
        trouble = difference(signed, signed_digests(manifest))
        if trouble is not None:
            return Finding("bad", bundle.signer, trouble=trouble)
        return Finding("trusted", bundle.signer, key.name)
    return Finding("unknown", bundle.signer)
