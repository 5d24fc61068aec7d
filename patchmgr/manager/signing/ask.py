"""What is asked of the signatures of packages before they are used: the one place that refuses for their sake.

Whoever puts packages on a model, or tries them on one, comes through :func:`require_signatures` with the stack that
would be; nothing has been written by then. Taking packages out asks nothing, so it stays possible whatever is trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import FormatError, IntegrityError
from patchmgr.manager.settings import Signatures
from patchmgr.package.manifest import Manifest
from patchmgr.package.reader import SIGNATURE, EditPackage
from patchmgr.signing.bundle import read_signature
from patchmgr.signing.contract import Finding, TrustedKey
from patchmgr.signing.trust import trusted_keys
from patchmgr.signing.verify import judge

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.states import ModelState
    from patchmgr.manager.wanted import Wanted
    from patchmgr.ops.stack import StackChange


def require_signatures(
    manager: Manager, packages: Iterable[Manifest], folders: Mapping[str, Path] | None = None
) -> None:
    """Refuse packages whose signatures are not as the setting ``signatures`` asks.

    Args:
        manager: knows the setting, the trusted keys and the signatures.
        packages: those that would be used.
        folders: of those among them that were named by their folder, by digest.

    Raises:
        IntegrityError: one is not signed, or by nobody trusted, where that is asked for; or its signature is bad,
            whatever is asked for. Names the package, the trouble and the next step.
    """
    trusted, asked = trusted_keys(manager.settings.trust), manager.settings.signatures
    for manifest in packages:
        enforce(manifest, finding(manager, manifest, trusted, (folders or {}).get(manifest.digest)), asked)


def finding(manager: Manager, manifest: Manifest, trusted: Sequence[TrustedKey], folder: Path | None = None) -> Finding:
    """What is known of the signature of a package: of the one in its folder, else of the one in the registry."""
    try:
        signature = None if folder is None else signature_beside(folder)
        if signature is None:
            signature = registered_signature(manager, manifest.digest)
        return judge(manifest, signature, trusted)
    except FormatError as error:
        return Finding("bad", trouble=error.message)
    except IntegrityError as error:
        return Finding("bad", trouble=f"its blob is missing or damaged ({error.message})")


def finding_of(package: EditPackage, trusted: Sequence[TrustedKey]) -> Finding:
    """What is known of the signature that lies with a package."""
    place = package.files.get(SIGNATURE)
    try:
        return judge(package.manifest, None if place is None else read_signature(place), trusted)
    except FormatError as error:
        return Finding("bad", trouble=error.message)


def enforce(manifest: Manifest, found: Finding, asked: Signatures) -> None:
    """Refuse one package; errors as those of :func:`require_signatures`."""
    name = manifest.reference
    if found.status == "bad":
        raise IntegrityError(
            f"the signature of {name} is bad: {found.trouble}",
            hint=f"do not use the package; fetch it again, or sign what is here: `patchmgr sign {name} --key KEY.pem`",
        )
    if asked == "any" or found.status == "trusted":
        return
    if found.status == "unsigned":
        raise IntegrityError(
            f"{name} is not signed, and only packages by trusted keys are let in",
            hint=f"if it is yours, `patchmgr sign {name} --key KEY.pem`; else ask its author to sign it",
        )
    raise IntegrityError(
        f"{name} is signed by a key that is not trusted: {found.signer}",
        hint="compare that with what its author says, then `patchmgr trust add NAME --key PUB.pem`, "
        "or --certificate CA.pem",
    )


def asking(manager: Manager, wanted: Wanted) -> Wanted:
    """The same change of a stack, refused when a package that it brings is not signed as the setting asks."""

    def asked(state: ModelState) -> StackChange:
        change = wanted(state)
        require_signatures(manager, change.added)
        return change

    return asked


def signature_beside(folder: Path) -> bytes | None:
    """The signature in the folder of a package; None: there is none.

    Raises:
        FormatError: it is no plain file, or too large.
    """
    place = folder / SIGNATURE
    return read_signature(place) if place.is_symlink() or place.exists() else None


def registered_signature(manager: Manager, digest: str) -> bytes | None:
    """The signature that the registry has of a version; None: it has none.

    Raises:
        IntegrityError: its blob is missing or damaged.
    """
    record = manager.registry.signature(digest)
    return None if record is None else manager.registry.blobs.read_bytes(record.sha256)
