"""The client of S3, by the library s3fs: credentials, region and endpoint are those of AWS's own tools.

They come from ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_ENDPOINT_URL``, ``~/.aws`` or the machine's role.
"""

from __future__ import annotations

from typing import Any

from patchmgr.errors import StorageError


def open_s3() -> Any:
    """A file system of fsspec that keeps no lists, so that it sees what others store.

    Raises:
        StorageError: the library is not installed.
    """
    try:
        from s3fs import S3FileSystem
    except ModuleNotFoundError as error:
        raise StorageError(
            f"cannot use blobs in S3: {error.name} is not installed", hint="pip install 'patchmgr[s3]'"
        ) from error
    return S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
