"""Commits as the client sends them: which file goes which way, then one request of lines in JSON."""

from __future__ import annotations

import base64
import fnmatch
import json
from typing import Any

from starlette.responses import JSONResponse, Response

from hub.testhub import cards
from hub.testhub.access import proposable, writable
from hub.testhub.discussions import open_pull
from hub.testhub.refusals import Refusal, no_revision
from hub.testhub.store import Blob, Commit, Repository, Tree
from hub.testhub.wire import Ask

REGULAR_LIMIT = 10 * 1000 * 1000


def preupload(ask: Ask, repo: str, revision: str) -> Response:
    """Large: what ``.gitattributes`` says, what is binary, and what is long."""
    store = ask.hub.store
    repository, _ = (proposable if ask.flag("create_pr") or _is_pull(revision) else writable)(store, ask.caller, repo)
    tree = repository.at(revision).tree
    patterns = _large_patterns(ask.hub.read(tree[".gitattributes"]) if ".gitattributes" in tree else b"")
    asked = ask.json()
    ignored = [line for line in asked.get("gitIgnore", "").splitlines() if line and not line.startswith("#")]
    files = []
    for file in asked["files"]:
        path, sample = file["path"], base64.b64decode(file["sample"])
        large = any(fnmatch.fnmatch(path.rsplit("/", 1)[-1], pattern) for pattern in patterns)
        large = large or file["size"] > REGULAR_LIMIT or b"\0" in sample
        files.append(
            {
                "path": path,
                "uploadMode": "lfs" if large else "regular",
                "shouldIgnore": any(fnmatch.fnmatch(path, pattern) for pattern in ignored),
                "oid": tree[path].etag if path in tree else None,
            }
        )
    return JSONResponse({"files": files, "commitOid": repository.at(revision).oid})


def commit(ask: Ask, repo: str, revision: str) -> Response:
    """One commit on a branch or a pull request; ``?create_pr=1`` opens one.

    The parent is compared after the hook has run: a push that overtakes makes it stale.
    """
    hub, create_pr = ask.hub, ask.flag("create_pr")
    lines = [json.loads(line) for line in ask.body.splitlines() if line]
    if not lines or lines[0]["key"] != "header":
        raise Refusal(400, "The first line of a commit must be its header")
    header = lines[0]["value"]
    repository, author = (proposable if create_pr or _is_pull(revision) else writable)(hub.store, ask.caller, repo)
    hub.run_before_commit()
    with hub.lock:
        parent = _parent(repository, revision, header.get("parentCommit"), create_pr=create_pr)
        tree = _applied(ask, dict(parent.tree), lines[1:])
        made = hub.store.commit(parent, tree, header["summary"], header.get("description", ""), author)
        url = f"{hub.endpoint}/{repo}/commit/{made.oid}"
        answer: dict[str, Any] = {"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""}
        if create_pr:
            pull = open_pull(
                hub.store, repository, title=made.title, description=made.message, author=author, base=parent, head=made
            )
            answer["pullRequestUrl"] = f"{hub.endpoint}/{repo}/discussions/{pull.number}"
        else:
            repository.move(revision, made)
    return JSONResponse(answer)


def _is_pull(revision: str) -> bool:
    return revision.startswith("refs/pr/")


def _parent(repository: Repository, revision: str, claimed: str | None, *, create_pr: bool) -> Commit:
    """The commit to build on. Only a branch or a pull request can grow, and only from its head."""
    if create_pr:
        return repository.at(claimed or revision)
    if revision not in repository.branches and not _is_pull(revision):
        raise no_revision(revision)
    head = repository.at(revision)
    if claimed is not None and not (len(claimed) >= 7 and head.oid.startswith(claimed)):
        raise Refusal(412, "A commit has happened since. Please refresh and try again.")
    return head


def _applied(ask: Ask, tree: dict[str, Blob], operations: list[dict[str, Any]]) -> Tree:
    store = ask.hub.store
    for operation in operations:
        value = operation["value"]
        path = value["path"].strip("/")
        if not path or any(part in ("", ".", "..", ".git") for part in path.split("/")):
            raise Refusal(400, f"Invalid path: {value['path']}")
        match operation["key"]:
            case "file":
                data = base64.b64decode(value["content"])
                if path == "README.md" and (errors := cards.validate(data.decode())[0]):
                    raise Refusal(400, "Invalid metadata in README.md: " + "; ".join(errors))
                tree[path] = store.regular(data)
            case "lfsFile":
                tree[path] = _large(ask, value["oid"], value.get("size"))
            case "deletedFile":
                if tree.pop(path, None) is None:
                    raise Refusal(404, f"A file to delete does not exist: {path}", "EntryNotFound")
            case "deletedFolder":
                tree = {name: blob for name, blob in tree.items() if not name.startswith(path + "/")}
            case other:
                raise Refusal(400, f"Unknown operation in a commit: {other}")
    return tree


def _large(ask: Ask, sha256: str, size: int | None) -> Blob:
    """A large file by its digest: it must have been uploaded before."""
    known = ask.hub.store.contents.get(sha256)
    xet_hash = ask.hub.cas.hash_of(sha256) if ask.hub.xet else None
    if known is None and xet_hash is None:
        raise Refusal(400, f"LFS pointer pointed to a file that does not exist: {sha256}")
    if known is not None and size not in (None, len(known)):
        raise Refusal(400, f"Size of {sha256} is {len(known)}, not {size}")
    return Blob.lfs(sha256, len(known) if known is not None else int(size or 0), xet_hash)


def _large_patterns(attributes: bytes) -> list[str]:
    return [line.split()[0] for line in attributes.decode().splitlines() if "filter=lfs" in line]
