"""A file of lines in a repository of its own, which only grows: each addition is one commit on the one before."""

from __future__ import annotations

from pathlib import Path

from patchmgr.errors import ConflictError, FormatError, HubError, NotFoundError
from patchmgr.hub.client import asking, client, is_offline
from patchmgr.hub.listing import MAIN, list_versions

_BESIDE = frozenset({".gitattributes", "README.md"})
"""What may lie beside the file."""
_MOST_BYTES = 64 * 2**20


def append_line(repo_id: str, name: str, line: bytes, *, message: str) -> str:
    """Add a line to a file of the main branch; a private repository is made where there is none.

    Returns:
        The page of the commit.

    Raises:
        ConflictError: the repository holds something else, or was changed meanwhile.
        NotFoundError: this account may not write there.
        HubError: the Hub cannot be reached, or refuses.
    """
    if is_offline():
        raise HubError("adding to the Hub takes a network, and HF_HUB_OFFLINE is set", hint="unset it")
    from huggingface_hub import CommitOperationAdd

    with asking(repo_id):
        if not client().repo_exists(repo_id):
            client().create_repo(repo_id, private=True, exist_ok=True)
        head = list_versions(repo_id).head
        names = set(client().list_repo_files(repo_id, revision=head or MAIN)) - _BESIDE
        if names - {name}:
            raise ConflictError(
                f"{repo_id} holds something else, such as {min(names - {name})!r}", hint="name another repository"
            )
        before = _read(repo_id, head or MAIN, name) if name in names else b""
        if before and not before.endswith(b"\n"):
            before += b"\n"
        info = client().create_commit(
            repo_id, [CommitOperationAdd(name, before + line)], commit_message=message, parent_commit=head
        )
        return str(info.commit_url)


def read_appended(repo_id: str, revision: str | None, name: str) -> bytes:
    """The file at a revision, or at the newest.

    Raises:
        NotFoundError: there is no such repository, revision or file.
        FormatError: it is larger than 64 MiB.
        HubError: the Hub cannot be reached.
    """
    with asking(repo_id, revision):
        listed = client().get_paths_info(repo_id, [name], revision=revision or MAIN)
        if not listed:
            raise NotFoundError(f"{repo_id} has no {name}", hint=f"`patchmgr audit anchor --hub {repo_id}` makes it")
        if getattr(listed[0], "size", 0) > _MOST_BYTES:
            raise FormatError(f"{name} of {repo_id} is larger than {_MOST_BYTES} bytes")
        return _read(repo_id, revision or MAIN, name)


def _read(repo_id: str, revision: str, name: str) -> bytes:
    return Path(client().hf_hub_download(repo_id, name, revision=revision)).read_bytes()
