"""Finding packages on the Hub: by text, base, method and author."""

from __future__ import annotations

from dataclasses import dataclass

from patchmgr.errors import HubError
from patchmgr.hub.client import asking, check_known_host, client, is_offline

LIBRARY = "patchmgr"
_BASE = "base_model:"
_BASE_KINDS = ("adapter:", "finetune:", "merge:", "quantized:")


@dataclass(frozen=True)
class FoundRepository:
    """A repository that says that it holds versions of a package."""

    repo_id: str
    bases: tuple[str, ...]
    tags: tuple[str, ...]
    """Without those that every package has; the method among them."""
    is_private: bool
    downloads: int
    likes: int
    changed: str
    """The day of the last commit, UTC; empty where the Hub does not tell."""


def search_hub(
    text: str = "", *, base: str | None = None, method: str | None = None, author: str | None = None, limit: int = 20
) -> tuple[FoundRepository, ...]:
    """Repositories whose card names patchmgr, the most downloaded first.

    Args:
        text: part of the id.
        base: Hub id of the base that they were made for.
        method: such as ``rome``.
        author: a user or an organisation.
        limit: how many at most.

    Raises:
        HubError: the Hub cannot be reached.
    """
    if is_offline():
        raise HubError("searching takes a network, and HF_HUB_OFFLINE is set", hint="unset it")
    wanted = [LIBRARY, *([f"{_BASE}adapter:{base}"] if base else []), *([method] if method else [])]
    check_known_host()
    with asking("a search"):
        found = client().list_models(
            filter=wanted, search=text or None, author=author, sort="downloads", limit=limit, full=True
        )
        return tuple(
            FoundRepository(
                repo_id=model.id,
                bases=_bases(model.tags or []),
                tags=_own_tags(model.tags or []),
                is_private=bool(model.private),
                downloads=model.downloads or 0,
                likes=model.likes or 0,
                changed=model.last_modified.strftime("%Y-%m-%d") if model.last_modified else "",
            )
            for model in found
        )


def _bases(tags: list[str]) -> tuple[str, ...]:
    plain = [tag.removeprefix(_BASE) for tag in tags if tag.startswith(_BASE)]
    return tuple(dict.fromkeys(name.removeprefix("adapter:") for name in plain if not name.startswith(_BASE_KINDS[1:])))


def _own_tags(tags: list[str]) -> tuple[str, ...]:
    common = {LIBRARY, "model-editing", "knowledge-editing"}
    return tuple(tag for tag in tags if tag not in common and ":" not in tag)
