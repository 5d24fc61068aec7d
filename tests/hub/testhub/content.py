"""What lies in a repository: listings of its tree, and files, whole or in ranges.

A large file is answered by a redirect to the other port, as the Hub redirects to its content network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, urlencode

from starlette.responses import JSONResponse, Response

from hub.testhub.access import readable, seen
from hub.testhub.refusals import Refusal, no_entry
from hub.testhub.store import Blob, Commit, Tree, tree_oid
from hub.testhub.wire import Ask

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
T = TypeVar("T")


def tree(ask: Ask, repo: str, revision: str, path: str = "") -> Response:
    commit = seen(ask.hub.store, ask.caller, repo).at(revision)
    below = f"{path.strip('/')}/" if path else ""
    if below and not any(name.startswith(below) for name in commit.tree):
        raise no_entry(path)
    return paged(ask, list(_entries(commit, below, recursive=ask.flag("recursive"), expand=ask.flag("expand"))))


def paths_info(ask: Ask, repo: str, revision: str) -> Response:
    """What is not there is left out of the answer."""
    commit = seen(ask.hub.store, ask.caller, repo).at(revision)
    if ask.headers.get("content-type", "").startswith("application/json"):
        wanted = ask.json()["paths"]
    else:
        wanted = parse_qs(ask.body.decode()).get("paths", [])
    known = {entry["path"]: entry for entry in _entries(commit, "", recursive=True, expand=False)}
    return JSONResponse([known[path.strip("/")] for path in wanted if path.strip("/") in known])


def resolve(ask: Ask, repo: str, revision: str, path: str) -> Response:
    repository = readable(ask.hub.store, ask.caller, repo)
    commit, blob = repository.blob(revision, path)
    headers = {
        "X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(path.rsplit('/', 1)[-1])}",
    }  # fmt: skip
    if not blob.is_lfs:
        return ranged(ask, ask.hub.read(blob), {**headers, "ETag": f'"{blob.oid}"'})
    headers |= {
        "Location": f"{ask.hub.cdn}/_cdn/{blob.sha256}", "ETag": f'"{blob.etag}"',
        "X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(blob.size),
    }  # fmt: skip
    if blob.xet_hash:
        route = f"{ask.hub.endpoint}/api/models/{repo}/xet-read-token/{commit.oid}"
        headers |= {"X-Xet-Hash": blob.xet_hash, "X-Xet-Refresh-Route": route, "Link": f'<{route}>; rel="xet-auth"'}
    return Response("Found. Redirecting", 302, headers)


def download(ask: Ask, sha256: str) -> Response:
    """A large file, to whoever knows its address."""
    with ask.hub.lock:
        for repository in ask.hub.store.repositories.values():
            for commit in repository.commits().values():
                for blob in commit.tree.values():
                    if blob.sha256 == sha256:
                        return ranged(ask, ask.hub.read(blob), {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"})
    raise Refusal(404, "no such object")


def ranged(ask: Ask, data: bytes, headers: dict[str, str]) -> Response:
    """The bytes, or the range that was asked for, by 206; 416 when it lies behind the end."""
    asked = _RANGE.fullmatch(ask.headers.get("range", ""))
    if not asked or asked.groups() == ("", ""):
        return Response(data, 200, headers, "application/octet-stream")
    first, last = asked.groups()
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    if start >= len(data) or end < start:
        return Response(b"", 416, {**headers, "Content-Range": f"bytes */{len(data)}"})
    headers = {**headers, "Content-Range": f"bytes {start}-{end}/{len(data)}"}
    return Response(data[start : end + 1], 206, headers, "application/octet-stream")


def paged(ask: Ask, items: list[Any]) -> JSONResponse:
    """One page of a listing; the next is named in ``Link``, as the Hub does."""
    start = int(ask.first("cursor") or 0)
    size = min(ask.hub.page_size, int(ask.first("limit") or ask.hub.page_size))
    headers = {}
    if start + size < len(items):
        query = urlencode({**ask.query, "cursor": [str(start + size)]}, doseq=True)
        headers["Link"] = f'<{ask.hub.endpoint}{ask.path}?{query}>; rel="next"'
    return JSONResponse(items[start : start + size], headers=headers)


def _entries(commit: Commit, below: str, *, recursive: bool, expand: bool) -> Iterator[dict[str, Any]]:
    inside = {path: blob for path, blob in commit.tree.items() if path.startswith(below)}
    for folder in sorted(set(_folders(inside, below, recursive=recursive))):
        held: Tree = {path: blob for path, blob in inside.items() if path.startswith(folder + "/")}
        yield {"type": "directory", "oid": tree_oid(held), "size": 0, "path": folder}
    for path, blob in sorted(inside.items()):
        if recursive or "/" not in path.removeprefix(below):
            last = {"lastCommit": _last_change(commit, path)} if expand else {}
            yield {**file_entry(path, blob), **last}


def _folders(inside: Tree, below: str, *, recursive: bool) -> Iterator[str]:
    for path in inside:
        parts = path.removeprefix(below).split("/")[:-1]
        for depth in range(1, len(parts) + 1 if recursive else min(len(parts), 1) + 1):
            yield below + "/".join(parts[:depth])


def file_entry(path: str, blob: Blob) -> dict[str, Any]:
    """A file as listings show it."""
    entry: dict[str, Any] = {"type": "file", "oid": blob.oid, "size": blob.size, "path": path}
    if blob.is_lfs:
        entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": blob.pointer_size}
    if blob.xet_hash:
        entry["xetHash"] = blob.xet_hash
    return entry


def _last_change(commit: Commit, path: str) -> dict[str, str]:
    """The newest commit in which the file is other than in the parent."""
    changed = commit
    while changed.parent and changed.parent.tree.get(path) == changed.tree[path]:
        changed = changed.parent
    return {"id": changed.oid, "title": changed.title, "date": changed.date}
