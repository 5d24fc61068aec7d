"""Verifying one thing to the last byte: a model with its base, or a package with all that it says of itself."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.digests import FreshDigests
from patchmgr.errors import IntegrityError, NotFoundError, UsageError
from patchmgr.manager.packages import folder_of, is_folder
from patchmgr.manager.proof import Proof, prove
from patchmgr.manager.signing.ask import enforce, finding
from patchmgr.manager.states import compare, fingerprint_of, open_version, read_state
from patchmgr.package.reader import EditPackage
from patchmgr.signing.contract import Finding, TrustedKey
from patchmgr.signing.pem import read_certificate, read_public_key
from patchmgr.signing.trust import trusted_keys

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Verified:
    """A model that was read again and found to be as registered."""

    model: str
    tensors: int
    size_bytes: int
    state_root: str
    also_package: bool = False
    """Whether a package has that name too; `name@latest` means that one."""


@dataclass(frozen=True)
class VerifiedPackage:
    """A package every byte of which is what its manifest says, and what could be proved beyond that."""

    reference: str
    digest: str
    n_files: int
    size_bytes: int
    n_edits: int
    n_scores: int
    n_deltas: int
    proof: Proof
    signature: Finding


def verify(
    manager: Manager, name: str, *, key: Path | None = None, certificate: Path | None = None
) -> Verified | VerifiedPackage:
    """Verify the model of this name, else the package that it refers to, which may be a folder.

    Args:
        manager: the registry.
        name: of a model, or of a package.
        key: a file with the public key that must have signed the package.
        certificate: a file with that of the CA whose certificate must have signed it, instead.

    Raises:
        NotFoundError: there is neither.
        UsageError: a model is not signed, or a file holds no such key.
        IntegrityError: a byte is not what it was, or a package does not do what it says; names the first.
    """
    models = [record.name for record in manager.registry.models()]
    signers = _signers(key, certificate)
    if name in models:
        if signers:
            raise UsageError(f"{name} is a model, and only packages are signed", hint=f"see `patchmgr status {name}`")
        return verify_model(manager, name)
    return verify_package(manager, name, models, signers)


def verify_model(manager: Manager, name: str) -> Verified:
    """Read every byte of a model's base and current state again.

    Raises:
        IntegrityError: something is not what it was; names the first tensor and both digests.
    """
    state = read_state(manager, name)
    fresh = FreshDigests(manager.settings.digests)
    compare(f"the base of {name}", state.fingerprint, fingerprint_of(manager, state.base, fresh))
    checkpoint = state.base
    if state.folder != state.base.folder:
        wanted = state.fingerprint.with_tensors(state.generation.tensors)
        checkpoint = Checkpoint.read(state.folder)
        what = f"generation {state.generation.number} of {name}"
        compare(what, wanted, fingerprint_of(manager, checkpoint, fresh))
    packages = [package.name for package in manager.registry.packages()]
    return Verified(name, len(checkpoint.tensors), checkpoint.size_bytes, state.root, name in packages)


def verify_package(
    manager: Manager, reference: str, models: list[str], signers: Sequence[TrustedKey] = ()
) -> VerifiedPackage:
    """Read every file of a package, look at its signature, and compute what it makes of its base, where that is here.

    Args:
        manager: the registry.
        reference: of the package.
        models: their names, for messages.
        signers: who must have signed it; nobody: whoever is trusted, if anybody.

    Raises:
        NotFoundError: there is no such package; names what is most like it, among ``models`` too.
        IntegrityError: a file is not what the manifest says, cannot be read as what it is, or a tensor becomes
            something else than the manifest says; or the signature is bad, or by none of ``signers``.
    """
    folder = folder_of(reference) if is_folder(reference) else None
    package = _open(manager, reference, models) if folder is None else EditPackage.read(folder)
    manifest = package.manifest
    signature = finding(manager, manifest, signers or trusted_keys(manager.settings.trust), folder)
    enforce(manifest, signature, "trusted" if signers else "any")
    return VerifiedPackage(
        manifest.reference,
        manifest.digest,
        len(manifest.files) + 1,
        len(manifest.to_bytes()) + sum(file.size_bytes for file in manifest.files.values()),
        len(package.requests),
        len(package.scores),
        len(package.deltas(manager.plugins.encodings)),
        prove(manager, package),
        signature,
    )


def _signers(key: Path | None, certificate: Path | None) -> tuple[TrustedKey, ...]:
    return (
        *(() if key is None else (read_public_key(key, str(key)),)),
        *(() if certificate is None else (read_certificate(certificate, str(certificate)),)),
    )


def _open(manager: Manager, reference: str, models: list[str]) -> EditPackage:
    try:
        version = manager.registry.version(reference)
    except NotFoundError as missing:
        close = difflib.get_close_matches(reference, models, n=1)
        if not close:
            raise
        raise NotFoundError(missing.message, hint=f"did you mean the model {close[0]}?") from None
    package = open_version(manager, version)
    if package.manifest.digest != version.digest:
        raise IntegrityError(
            f"the manifest of {reference} has digest {package.manifest.digest[:12]}…, the registry knows "
            f"{version.digest[:12]}…",
            hint="the registry was changed; run `patchmgr fsck`, and restore a backup of it",
        )
    return package
