"""Whether a package fits a base on the Hub, of which nothing is downloaded but what tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from patchmgr.base.fingerprint import CONFIG_FILES, TOKENIZER_FILES
from patchmgr.errors import BaseMismatchError, NotFoundError
from patchmgr.hub.reference import HubReference, is_hub_reference
from patchmgr.hub.remote_base import RemoteBase, open_remote_base
from patchmgr.manager.states import find_manifests
from patchmgr.package.manifest import Manifest, TouchedTensor, parse_manifest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

Status = Literal["fits", "other bytes", "other shape", "other dtype", "missing"]


@dataclass(frozen=True)
class TensorAgainst:
    """One tensor that the package was computed on, and what lies in its place."""

    name: str
    status: Status
    shard: str | None
    wanted: str
    """Digest, shape or dtype, whichever differs; the digest where nothing does."""
    found: str | None


@dataclass(frozen=True)
class Against:
    """What a comparison came to."""

    reference: str
    repo_id: str
    commit: str
    by: Literal["nothing", "shards", "tensors"]
    """What was compared: the digests of all weight files as the author recorded them, the touched tensors where those
    differ or were not recorded, or nothing, for a memory of texts works on any base."""
    tensors: tuple[TensorAgainst, ...]
    same_config: bool
    same_tokenizer: bool
    fetched_bytes: int
    """Read of the weights."""

    @property
    def misfits(self) -> tuple[TensorAgainst, ...]:
        """Those that are not what the package was computed on."""
        return tuple(tensor for tensor in self.tensors if tensor.status != "fits")

    @property
    def fits(self) -> bool:
        """Whether nothing that was compared speaks against it; another configuration alone does not."""
        return self.by == "nothing" or (self.same_tokenizer and not self.misfits)

    def check(self) -> None:
        """Refuse what does not fit.

        Raises:
            BaseMismatchError: it does not; names the first tensor that differs.
        """
        if self.fits:
            return
        where = f"{self.repo_id} at {self.commit[:12]}"
        if self.misfits:
            first = self.misfits[0]
            what = f"{first.name!r} has {first.status}" if first.found is not None else f"there is no {first.name!r}"
            more = f", and {len(self.misfits) - 1} more" if len(self.misfits) > 1 else ""
        else:
            what, more = "the tokenizer is another", ""
        raise BaseMismatchError(
            f"{self.reference} was not made for {where}: {what}{more}",
            hint="name the revision that it was made for, or make it again: `patchmgr rebase`",
        )


def verify_against(manager: Manager, reference: str, base: str) -> Against:
    """Compare a package with a base on the Hub.

    Args:
        manager: the registry.
        reference: of the package: in the registry, a folder, or on the Hub, of which only the manifest is fetched.
        base: ``org/name`` or ``org/name@revision``.

    Raises:
        NotFoundError: there is no such package, repository or revision; or the package was computed on others that
            are not here.
        UsageError: the base is no repository.
        FormatError: a header or an index of the base cannot be read.
        HubError: the Hub cannot be reached.
    """
    manifest = _manifest(manager, reference)
    asked = HubReference.parse(base)
    remote = open_remote_base(asked.repo_id, asked.which or None)
    if manifest.memory is not None and manifest.memory.level == "text":
        return _against(manifest, remote, "nothing", ())
    recorded = manifest.base.shards
    if recorded and recorded == remote.shards:
        return _against(manifest, remote, "shards", ())
    touched = {tensor.name: tensor for tensor in manifest.tensors}
    return _against(
        manifest,
        remote,
        "tensors",
        tuple(
            _compare(remote, name, sha256, touched.get(name))
            for name, sha256 in sorted(_pristine(manager, manifest).items())
        ),
    )


def _manifest(manager: Manager, reference: str) -> Manifest:
    if is_hub_reference(reference):
        from patchmgr.manager.sharing.remote_package import find_remote

        return find_remote(reference).manifest
    return find_manifests(manager, [reference])[0]


def _pristine(manager: Manager, manifest: Manifest) -> Mapping[str, str]:
    """Digest of each tensor that matters, as it is in the pristine base: before the lowest package that touches it."""
    before: dict[str, str] = {}
    for digest in manifest.parent.packages:
        version = manager.registry.version_by_digest(digest)
        if version is None:
            raise NotFoundError(
                f"{manifest.reference} was computed on the package {digest[:12]}, which is not here",
                hint="only that one tells what the base was before; import or pull it",
            )
        for tensor in parse_manifest(version.manifest.encode()).tensors:
            before.setdefault(tensor.name, tensor.before_sha256)
    reads = {} if manifest.memory is None else dict(manifest.memory.reads or {})
    own = {tensor.name: tensor.before_sha256 for tensor in manifest.tensors} | reads
    return {name: before.get(name, sha256) for name, sha256 in own.items()}


def _compare(remote: RemoteBase, name: str, sha256: str, touched: TouchedTensor | None) -> TensorAgainst:
    found = remote.entry(name)
    if found is None:
        return TensorAgainst(name, "missing", None, sha256, None)
    shard, entry = found
    if touched is not None and entry.dtype != touched.dtype:
        return TensorAgainst(name, "other dtype", shard, touched.dtype, entry.dtype)
    if touched is not None and entry.shape != touched.shape:
        return TensorAgainst(name, "other shape", shard, str(list(touched.shape)), str(list(entry.shape)))
    there = remote.sha256(shard, entry)
    return TensorAgainst(name, "fits" if there == sha256 else "other bytes", shard, sha256, there)


def _against(
    manifest: Manifest,
    remote: RemoteBase,
    by: Literal["nothing", "shards", "tensors"],
    tensors: tuple[TensorAgainst, ...],
) -> Against:
    return Against(
        manifest.reference,
        remote.repo_id,
        remote.commit,
        by,
        tensors,
        remote.listing_sha256(CONFIG_FILES) == manifest.base.config_sha256,
        remote.listing_sha256(TOKENIZER_FILES) == manifest.base.tokenizer_sha256,
        remote.fetched_bytes,
    )
