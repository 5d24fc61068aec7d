"""The Hugging Face Hub: fetching a base at a pinned commit. Nothing else in patchmgr speaks to the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from patchmgr.errors import NotFoundError, PatchmgrError, StorageError

_WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja", "LICENSE*")
_UNWANTED = ("original/*", "onnx/*", "*/*", "consolidated*.safetensors", "*.msgpack", "*.h5", "*.bin")


@dataclass(frozen=True)
class FetchedBase:
    """A checkpoint in the Hub's own cache, and the commit that it is."""

    folder: Path
    revision: str


def fetch_base(repo_id: str, revision: str | None) -> FetchedBase:
    """A model repository at a revision, from the cache where it is there already.

    ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME`` and ``HF_HUB_OFFLINE`` are honoured by the Hub's client.

    Raises:
        NotFoundError: no such repository or revision, no access to it, or no network and nothing in the cache.
        StorageError: the cache cannot be written.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{repo_id}@{revision}" if revision else repo_id
    try:
        folder = Path(
            snapshot_download(
                repo_id, revision=revision, allow_patterns=list(_WANTED), ignore_patterns=list(_UNWANTED),
                library_name="patchmgr",
            )
        )  # fmt: skip
    except HFValidationError:
        raise NotFoundError(
            f"{repo_id!r} is neither a folder nor a Hub id", hint="give a folder, org/name, or demo:atlas"
        ) from None
    except GatedRepoError:
        raise NotFoundError(
            f"{repo_id} is gated and this account has no access",
            hint=f"accept its terms on its page, then `hf auth login`, and run this again ({repo_id})",
        ) from None
    except RepositoryNotFoundError:
        raise NotFoundError(
            f"the Hub has no model {repo_id!r}, or it is private", hint="check the id, or `hf auth login`"
        ) from None
    except RevisionNotFoundError:
        raise NotFoundError(f"{repo_id} has no revision {revision!r}", hint="name a branch, tag or commit") from None
    except (LocalEntryNotFoundError, ConnectionError) as error:
        raise _unreachable(where, error) from None
    except HfHubHTTPError as error:
        raise _unreachable(where, error) from None
    except OSError as error:
        raise StorageError(f"cannot store {where} in the Hub's cache: {error}", hint="see HF_HOME") from error
    if not any(folder.glob("*.safetensors")):
        raise NotFoundError(
            f"{where} has no safetensors weights",
            hint="if they are pickled, convert them: AutoModelForCausalLM.from_pretrained(A).save_pretrained(B)",
        )
    return FetchedBase(folder, folder.name)


def _unreachable(where: str, error: Exception) -> PatchmgrError:
    reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
    return NotFoundError(
        f"{where} is not in the Hub's cache and the Hub cannot be reached ({reason})",
        hint="check the network, HF_ENDPOINT and HF_HUB_OFFLINE, or give a local folder",
    )
