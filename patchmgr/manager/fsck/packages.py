"""Packages: rows that say what the manifest says, and blobs that hold what the rows say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from patchmgr.canonical import sha256_hex
from patchmgr.errors import IntegrityError, PatchmgrError
from patchmgr.manager.fsck.contract import Inspection, Problem, twice
from patchmgr.package.manifest import Manifest, parse_manifest
from patchmgr.package.reader import SIGNATURE
from patchmgr_registry import EditorRecord, VersionRecord

_RESTORE = "restore a backup of the registry, or fetch the package again"


def check_packages(inspection: Inspection) -> Iterator[Problem]:
    """Every version's manifest has its digest, and its row and its list of files agree with it."""
    for version in inspection.versions:
        inspection.n_checked["package"] += 1
        found = sha256_hex(version.manifest.encode())
        if found != version.digest:
            yield Problem(
                "package",
                version.reference,
                f"the manifest of {version.reference} has digest {found[:12]}…, its row says {version.digest[:12]}…",
                _RESTORE,
            )
            continue
        try:
            manifest = parse_manifest(version.manifest.encode())
        except PatchmgrError as error:
            yield Problem("package", version.reference, f"{version.reference}: {error.message}", error.hint)
            continue
        said = _said(manifest)
        for name in [name for name, value in said.items() if getattr(version, name) != value]:
            yield Problem(
                "package",
                version.reference,
                f"the row of {version.reference} and its manifest disagree on {name}: "
                f"{str(getattr(version, name))[:60]!r} and {str(said[name])[:60]!r}",
                _RESTORE,
            )
        if {file.path: (file.sha256, file.size_bytes) for file in version.files} != {
            name: (file.sha256, file.size_bytes) for name, file in manifest.files.items()
        }:
            yield Problem(
                "package", version.reference, f"{version.reference} and its manifest list other files", _RESTORE
            )


def check_blobs(inspection: Inspection) -> Iterator[Problem]:
    """Every blob that a package, its signature or an editor needs is here and has its digest; others are garbage."""
    blobs = inspection.manager.registry.blobs
    owners: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    listing: tuple[VersionRecord | EditorRecord, ...] = (*inspection.versions, *inspection.manager.registry.editors())
    for owner in listing:
        for file in owner.files:
            owners.setdefault(file.sha256, []).append(f"{owner.reference}/{file.path}")
            sizes[file.sha256] = file.size_bytes
    named = {version.digest: version.reference for version in inspection.versions}
    for digest, signature in inspection.manager.registry.signatures().items():
        owners.setdefault(signature.sha256, []).append(f"{named.get(digest, digest[:12])}/{SIGNATURE}")
        sizes[signature.sha256] = signature.size_bytes
    for sha256, names in owners.items():
        inspection.n_checked["blob"] += 1
        yield from twice(_look_at_blob, inspection, sha256, names)
        inspection.meter.finish(sizes[sha256])
    needed = owners.keys() | inspection.manager.registry.blob_digests()
    inspection.garbage_bytes += sum(blob.size_bytes for blob in blobs.listing() if blob.sha256 not in needed)
    for path in blobs.leftovers():
        with contextlib.suppress(OSError):
            inspection.garbage_bytes += path.stat().st_size


def _look_at_blob(inspection: Inspection, sha256: str, names: list[str]) -> Iterator[Problem]:
    blobs, more = inspection.manager.registry.blobs, f" and of {len(names) - 1} more" if len(names) > 1 else ""
    hint = "apply the package from a folder again, or restore a backup of the blobs"
    try:
        blobs.open_verified(sha256)
    except IntegrityError as error:
        yield Problem("blob", names[0], f"{error.message}; it is {names[0]}{more}", hint)
    except OSError as error:
        message = f"blob sha256:{sha256} cannot be read ({error.strerror}); it is {names[0]}{more}"
        yield Problem("blob", names[0], message, hint)


def _said(manifest: Manifest) -> Mapping[str, object]:
    """What the row of a manifest must say."""
    return {
        "package": manifest.name,
        "number": manifest.version,
        "parent_version": manifest.parent_version,
        "kind": manifest.kind,
        "method": manifest.method.name,
        "message": manifest.message,
        "author": manifest.author,
        "base_fingerprint": manifest.base.fingerprint,
        "parent_root": manifest.parent.root,
        "parent_packages": manifest.parent.packages,
        "n_edits": manifest.n_edits,
        "size_bytes": len(manifest.to_bytes()) + sum(file.size_bytes for file in manifest.files.values()),
    }
