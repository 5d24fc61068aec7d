"""The bytes of packages: :class:`BlobStore` is the contract; a folder or a bucket keeps them."""

from __future__ import annotations

from pathlib import Path

from patchmgr.errors import UsageError
from patchmgr_registry.blobs.contract import Blob, BlobStore
from patchmgr_registry.blobs.folder import FolderBlobs

__all__ = ["Blob", "BlobStore", "FolderBlobs", "blob_store"]


def blob_store(home: Path, place: str | None) -> BlobStore:
    """The store of a home. Nothing is made or asked yet.

    Args:
        home: holds the blobs, or the copies of those that lie elsewhere.
        place: ``s3://BUCKET/PREFIX``; None: the home.

    Raises:
        UsageError: the place is of no kind that is known.
    """
    if place is None:
        return FolderBlobs(home / "blobs" / "sha256")
    bucket, _, prefix = place.removeprefix("s3://").strip("/").partition("/")
    if not place.startswith("s3://") or not bucket:
        raise UsageError(f"blobs cannot be kept in {place!r}", hint="write s3://BUCKET/PREFIX, or leave it out")
    from patchmgr_registry.blobs.remote import RemoteBlobs
    from patchmgr_registry.blobs.s3 import open_s3

    return RemoteBlobs(open_s3, "/".join(filter(None, (bucket, prefix))), place, home / "cache" / "blobs")
