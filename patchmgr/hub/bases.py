"""A base from the Hub, at a pinned commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from patchmgr.errors import NotFoundError
from patchmgr.hub.client import LOCAL, asking, client
from patchmgr.hub.reference import is_hub_reference

_WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja", "LICENSE*")
_UNWANTED = ("original/*", "onnx/*", "*/*", "consolidated*.safetensors", "*.msgpack", "*.h5", "*.bin")


@dataclass(frozen=True)
class FetchedBase:
    """A checkpoint in the Hub's own cache, and the commit that it is."""

    folder: Path
    revision: str


def fetch_base(repo_id: str, revision: str | None) -> FetchedBase:
    """A model repository at a revision, from the cache where it is there already.

    Raises:
        NotFoundError: the id cannot be one, there is no such repository or revision, or no access to it.
        HubError: no network and nothing in the cache.
        StorageError: the cache cannot be written.
    """
    if not is_hub_reference(repo_id):
        raise NotFoundError(
            f"{repo_id!r} is neither a folder nor a Hub id", hint="give a folder, org/name, or demo:atlas"
        )
    with asking(repo_id, revision, instead=LOCAL):
        folder = Path(
            client().snapshot_download(
                repo_id, revision=revision, allow_patterns=list(_WANTED), ignore_patterns=list(_UNWANTED)
            )
        )
    if not any(folder.glob("*.safetensors")):
        raise NotFoundError(
            f"{repo_id}{f'@{revision}' if revision else ''} has no safetensors weights",
            hint="if they are pickled, convert them: AutoModelForCausalLM.from_pretrained(A).save_pretrained(B)",
        )
    return FetchedBase(folder, folder.name)
