"""Xet without a content server: the token routes name a folder, where the client's own ``local://`` back end stores.

The client uploads and downloads with its real chunking and deduplication. Which Xet hash a file of a SHA-256 has is
read from the shards that it writes there.
"""

from __future__ import annotations

import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from starlette.responses import JSONResponse, Response

from hub.testhub.access import proposable, readable, writable
from hub.testhub.refusals import Refusal
from hub.testhub.wire import Ask

_RECORD = 48  # the header of a shard, and everything in its list of files
_WITH_VERIFICATION, _WITH_METADATA = 1 << 31, 1 << 30
_END = b"\xff" * 32


class Cas:
    """The content-addressed store in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: set[str] = set()
        self._hashes: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"local://{self.folder}"

    def hash_of(self, sha256: str) -> str | None:
        """The Xet hash of a stored file, or None."""
        for shard in self.folder.rglob("*.mdb"):
            if shard.name not in self._read:
                self._read.add(shard.name)
                self._hashes.update(_files_of(shard.read_bytes()))
        return self._hashes.get(sha256)

    def read(self, xet_hash: str, size: int) -> bytes:
        """A file's bytes, put together by the client's library."""
        from hf_xet import XetFileInfo, XetSession

        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "file"
            session = XetSession()
            with session.new_file_download_group(endpoint=self.url) as group:
                group.start_download_file(XetFileInfo(xet_hash, size), str(target))
            return target.read_bytes()


def _files_of(shard: bytes) -> Iterator[tuple[str, str]]:
    """(SHA-256, Xet hash) of each file that a shard describes."""
    at = _RECORD
    while shard[at : at + 32] != _END and at + _RECORD <= len(shard):
        flags, entries = struct.unpack_from("<II", shard, at + 32)
        rest = at + _RECORD * (1 + entries * (2 if flags & _WITH_VERIFICATION else 1))
        if flags & _WITH_METADATA:
            yield _hexadecimal(shard[rest : rest + 32]), _hexadecimal(shard[at : at + 32])
            rest += _RECORD
        at = rest


def _hexadecimal(digest: bytes) -> str:
    """Xet writes a hash as four little-endian numbers."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", digest))


def write_token(ask: Ask, repo: str, revision: str) -> Response:
    _check_on(ask)
    (proposable if ask.flag("create_pr") or revision.startswith("refs/pr/") else writable)(
        ask.hub.store, ask.caller, repo
    )
    return _token(ask, "write")


def read_token(ask: Ask, repo: str, revision: str) -> Response:
    _check_on(ask)
    readable(ask.hub.store, ask.caller, repo).at(revision)
    return _token(ask, "read")


def _check_on(ask: Ask) -> None:
    if not ask.hub.xet:
        raise Refusal(404, f"Sorry, we can't find the page you are looking for: {ask.path}")


def _token(ask: Ask, kind: str) -> Response:
    expires = int(time.time()) + 3600
    token, url = f"xet-{kind}", ask.hub.cas.url
    headers = {
        "X-Xet-Cas-Url": url, "X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(expires),
    }  # fmt: skip
    return JSONResponse({"accessToken": token, "exp": expires, "casUrl": url}, headers=headers)
