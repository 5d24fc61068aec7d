"""What the Hub says of a model: as an item of a search, and in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from hub.testhub import cards
from hub.testhub.access import seen
from hub.testhub.content import paged
from hub.testhub.store import Commit, Repository
from hub.testhub.wire import Ask

if TYPE_CHECKING:
    from hub.testhub.server import Hub

_SORT_KEYS = {"createdAt": "createdAt", "lastModified": "lastModified", "downloads": "downloads", "likes": "likes"}
_SHORT = ("_id", "id", "modelId", "likes", "private", "downloads", "tags", "pipeline_tag", "library_name", "createdAt")


def list_models(ask: Ask) -> Response:
    """All of the caller's models that match every filter, the newest first."""
    wanted = [tag for value in ask.query.get("filter", []) for tag in value.split(",") if tag]
    author, search, pipeline = ask.first("author"), ask.first("search"), ask.first("pipeline_tag")
    found = []
    for repository in ask.hub.store.repositories.values():
        if (
            not ask.caller.may_see(repository)
            or (author is not None and repository.namespace != author)
            or (search is not None and search.lower() not in repository.id.lower())
        ):
            continue
        model = described(ask.hub, repository, repository.branches["main"], blobs=False)
        if set(wanted) <= set(model["tags"]) and pipeline in (None, model.get("pipeline_tag")):
            found.append(model)
    found.sort(key=lambda model: model[_SORT_KEYS.get(ask.first("sort") or "", "lastModified")], reverse=True)
    return paged(ask, [_shown(ask, model) for model in found])


def _shown(ask: Ask, model: dict[str, Any]) -> dict[str, Any]:
    """The fields of an item that were asked for."""
    if expand := ask.query.get("expand", []):
        return {key: model[key] for key in ("_id", "id", *expand) if key in model}
    keys: tuple[str, ...] = _SHORT
    if ask.flag("full"):
        keys += ("author", "sha", "lastModified", "gated", "disabled", "siblings")
    if ask.flag("cardData"):
        keys += ("cardData",)
    if ask.flag("config"):
        keys += ("config",)
    return {key: model[key] for key in keys if key in model}


def model_info(ask: Ask, repo: str, revision: str = "main") -> Response:
    repository = seen(ask.hub.store, ask.caller, repo)
    model = described(ask.hub, repository, repository.at(revision), blobs=ask.flag("blobs"))
    if expand := ask.query.get("expand", []):
        return JSONResponse({key: model[key] for key in ("_id", "id", *expand) if key in model})
    return JSONResponse(model)


def described(hub: Hub, repository: Repository, commit: Commit, *, blobs: bool) -> dict[str, Any]:
    """Everything that the Hub says of a model at a commit."""
    readme = hub.read(commit.tree["README.md"]).decode() if "README.md" in commit.tree else ""
    metadata = cards.metadata_of(readme)
    model: dict[str, Any] = {
        "_id": repository.branches["main"].history()[-1].oid[:24],
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.namespace,
        "sha": commit.oid,
        "lastModified": commit.date,
        "createdAt": repository.created_at,
        "private": repository.private,
        "gated": repository.gated,
        "disabled": False,
        "downloads": repository.downloads,
        "likes": 0,
        "tags": cards.tags_of(metadata, readme, commit.tree),
        "siblings": [_sibling(path, commit, blobs=blobs) for path in sorted(commit.tree)],
        "spaces": [],
        "usedStorage": sum(blob.size for blob in commit.tree.values()),
    }
    if metadata:
        model["cardData"] = metadata
    for field, source in (("pipeline_tag", "pipeline_tag"), ("model-index", "model-index")):
        if source in metadata:
            model[field] = metadata[source]
    if library := cards.library_of(metadata, commit.tree):
        model["library_name"] = library
    return model


def _sibling(path: str, commit: Commit, *, blobs: bool) -> dict[str, Any]:
    blob = commit.tree[path]
    if not blobs:
        return {"rfilename": path}
    entry: dict[str, Any] = {"rfilename": path, "size": blob.size, "blobId": blob.oid}
    if blob.is_lfs:
        entry["lfs"] = {"sha256": blob.sha256, "size": blob.size, "pointerSize": blob.pointer_size}
    return entry
