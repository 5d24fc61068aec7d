"""A base on the Hub of which only what is asked for is read: digests from its listing, tensors by ranges of bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from patchmgr.base.blocks import BlockReader
from patchmgr.base.checkpoint import INDEX_FILE, SINGLE_FILE, weight_map
from patchmgr.base.header import Header, TensorEntry, header_length, parse_header, read_header
from patchmgr.canonical import sha256_file, sha256_json
from patchmgr.errors import FormatError, HubError, IntegrityError, NotFoundError
from patchmgr.hub.client import LOCAL, asking, client, is_offline
from patchmgr.hub.fetch import RemoteFile, list_files

FIRST_BYTES = 16 * 1024
"""Of a shard; the headers of most are shorter."""
MOST_HEADER_BYTES = 16 * 2**20
MOST_SMALL_BYTES = 64 * 2**20
"""A configuration, a tokenizer or an index is smaller."""
_ATTEMPTS = 5


@dataclass
class RemoteBase:
    """A checkpoint in a repository at one commit."""

    repo_id: str
    commit: str
    files: Mapping[str, RemoteFile]
    fetched_bytes: int = 0
    """What was read by ranges so far; small files, which the cache keeps, aside."""
    _headers: dict[str, Header] = field(default_factory=dict)
    _shard_of: Mapping[str, str] | None = None

    @property
    def shards(self) -> Mapping[str, str | None]:
        """SHA-256 of every safetensors file that belongs to the model, as the Hub lists it; None: it does not."""
        return {
            name: file.sha256
            for name, file in sorted(self.files.items())
            if name.endswith(".safetensors") and "/" not in name and not name.startswith("consolidated")
        }

    def listing_sha256(self, names: Sequence[str]) -> str:
        """The digest of those of these files that are there, as a base has it of its config and its tokenizer.

        Raises:
            FormatError: one is larger than it can be.
            HubError: the Hub cannot be reached.
        """
        there = [name for name in names if name in self.files]
        return sha256_json({name: self.files[name].sha256 or sha256_file(self._small(name)) for name in there})

    def entry(self, tensor: str) -> tuple[str, TensorEntry] | None:
        """The shard of a tensor, and where it lies in it; None: there is no such tensor.

        Raises:
            FormatError: the index or the header of the shard cannot be read.
            NotFoundError: there are no safetensors weights.
            HubError: the Hub cannot be reached.
        """
        if SINGLE_FILE in self.files:
            shard: str | None = SINGLE_FILE
        else:
            shard = self._index().get(tensor)
        if shard is None:
            return None
        found = next((entry for entry in self._header(shard).tensors if entry.name == tensor), None)
        return None if found is None else (shard, found)

    def sha256(self, shard: str, tensor: TensorEntry) -> str:
        """The digest of a tensor's bytes: from the cache where the whole shard is there, else read as they come.

        Raises:
            IntegrityError: the Hub serves other bytes than were asked for.
            HubError: the Hub cannot be reached.
        """
        cached, digest = self._cached(shard), hashlib.sha256()
        if cached is not None:
            for block in BlockReader().blocks(cached, tensor.start, tensor.end):
                digest.update(block)
            return digest.hexdigest()
        with asking(self.repo_id, self.commit, instead=LOCAL):
            for chunk in self._range(shard, tensor.start, tensor.end):
                digest.update(chunk)
        return digest.hexdigest()

    def _header(self, shard: str) -> Header:
        if shard not in self._headers:
            cached = self._cached(shard)
            self._headers[shard] = self._remote_header(shard) if cached is None else read_header(cached)
        return self._headers[shard]

    def _remote_header(self, shard: str) -> Header:
        if shard not in self.files:
            raise FormatError(f"{INDEX_FILE} of {self.repo_id} names {shard}, which is not there", hint="ask its owner")
        size_bytes = self.files[shard].size_bytes
        with asking(self.repo_id, self.commit, instead=LOCAL):
            data = b"".join(self._range(shard, 0, min(FIRST_BYTES, size_bytes)))
            end = 8 + header_length(data[:8], size_bytes, shard, limit_bytes=MOST_HEADER_BYTES)
            if end > len(data):
                data += b"".join(self._range(shard, len(data), end))
        return parse_header(data[8:end], size_bytes, shard)

    def _index(self) -> Mapping[str, str]:
        if self._shard_of is None:
            if INDEX_FILE not in self.files:
                raise NotFoundError(
                    f"{self.repo_id} has neither {SINGLE_FILE} nor {INDEX_FILE}", hint="give a safetensors model"
                )
            self._shard_of = weight_map(self._small(INDEX_FILE).parent)
        return self._shard_of

    def _small(self, name: str) -> Path:
        """A small file, whole, in the Hub's own cache."""
        if self.files[name].size_bytes > MOST_SMALL_BYTES:
            raise FormatError(
                f"{name} of {self.repo_id} takes {self.files[name].size_bytes} bytes", hint="ask its owner"
            )
        with asking(self.repo_id, self.commit, instead=LOCAL):
            return Path(client().hf_hub_download(self.repo_id, name, revision=self.commit))

    def _cached(self, shard: str) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.repo_id, shard, revision=self.commit)
        return Path(found) if isinstance(found, str) else None

    def _range(self, file: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes of a file from ``start`` to ``end`` as they come; what breaks off goes on where it stopped."""
        from httpx2 import NetworkError, RemoteProtocolError, TimeoutException

        position = start
        for attempt in range(_ATTEMPTS):
            try:
                for chunk in _stream(self.repo_id, self.commit, file, position, end):
                    position += len(chunk)
                    self.fetched_bytes += len(chunk)
                    if position > end:
                        raise IntegrityError(f"the Hub sends more of {file} than was asked for", hint="ask its owner")
                    yield chunk
            except (NetworkError, RemoteProtocolError, TimeoutException):
                if attempt == _ATTEMPTS - 1:
                    raise
            if position == end:
                return
        raise HubError(f"the Hub sends {file} of {self.repo_id} only as far as byte {position}", hint="run it again")


def open_remote_base(repo_id: str, revision: str | None) -> RemoteBase:
    """A base on the Hub; only what it lists is fetched.

    Raises:
        NotFoundError: there is no such repository or revision, or no access to it.
        HubError: the Hub cannot be reached, or no network is to be used.
    """
    if is_offline():
        raise HubError(
            f"looking at {repo_id} takes a network, and HF_HUB_OFFLINE is set", hint="unset it, or `patchmgr model add`"
        )
    with asking(repo_id, revision, instead=LOCAL):
        commit = str(client().resolve_revision(repo_id, revision=revision).resolved)
        return RemoteBase(repo_id, commit, list_files(repo_id, commit))


def _stream(repo_id: str, commit: str, file: str, start: int, end: int) -> Iterator[bytes]:
    """What the Hub answers to a request for these bytes; errors are the client's."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils._headers import build_hf_headers  # as huggingface_hub.utils has them, without saying so
    from huggingface_hub.utils._http import hf_raise_for_status, http_stream_backoff

    wanted = {**build_hf_headers(), "Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
    url = hf_hub_url(repo_id, file, revision=commit)
    limit_s = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with http_stream_backoff("GET", url, headers=wanted, timeout=limit_s, retry_on_exceptions=()) as response:
        hf_raise_for_status(response)
        if response.status_code != 206 or not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise HubError(
                f"the Hub does not serve parts of {file} of {repo_id}", hint="`patchmgr model add` fetches it whole"
            )
        yield from response.iter_bytes()
