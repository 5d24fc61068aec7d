"""Branches, tags, pull requests as refs, and the history behind one."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from hub.testhub.access import seen, writable
from hub.testhub.content import paged
from hub.testhub.refusals import Refusal, no_revision
from hub.testhub.wire import Ask


def list_refs(ask: Ask, repo: str) -> Response:
    repository = seen(ask.hub.store, ask.caller, repo)
    answer = {
        "branches": [_ref(name, f"refs/heads/{name}", head.oid) for name, head in repository.branches.items()],
        "tags": [_ref(name, f"refs/tags/{name}", commit.oid) for name, commit in repository.tags.items()],
        "converts": [],
    }
    if ask.flag("include_prs"):
        answer["pullRequests"] = [
            _ref(str(number), f"refs/pr/{number}", pull.head.oid)
            for number, pull in repository.pulls.items()
            if pull.head
        ]
    return JSONResponse(answer)


def _ref(name: str, ref: str, oid: str) -> dict[str, str]:
    return {"name": name, "ref": ref, "targetCommit": oid}


def list_commits(ask: Ask, repo: str, revision: str) -> Response:
    history = seen(ask.hub.store, ask.caller, repo).at(revision).history()
    return paged(
        ask,
        [
            {"id": c.oid, "title": c.title, "message": c.message, "date": c.date, "authors": [{"user": c.author}]}
            for c in history
        ],
    )


def create_tag(ask: Ask, repo: str, revision: str) -> Response:
    tag = ask.json()["tag"]
    with ask.hub.lock:
        repository, _ = writable(ask.hub.store, ask.caller, repo)
        if tag in repository.tags:
            raise Refusal(409, f"Tag reference exists already: {tag}")
        repository.tags[tag] = repository.at(revision)
    return JSONResponse({})


def delete_tag(ask: Ask, repo: str, tag: str) -> Response:
    with ask.hub.lock:
        repository, _ = writable(ask.hub.store, ask.caller, repo)
        if repository.tags.pop(tag, None) is None:
            raise no_revision(tag)
    return JSONResponse({})


def create_branch(ask: Ask, repo: str, branch: str) -> Response:
    with ask.hub.lock:
        repository, _ = writable(ask.hub.store, ask.caller, repo)
        if branch in repository.branches:
            raise Refusal(409, f"Reference already exists: refs/heads/{branch}")
        start = (ask.json() if ask.body else {}).get("startingPoint", "main")
        repository.branches[branch] = repository.at(start)
    return JSONResponse({})


def delete_branch(ask: Ask, repo: str, branch: str) -> Response:
    with ask.hub.lock:
        repository, _ = writable(ask.hub.store, ask.caller, repo)
        if branch == "main":
            raise Refusal(403, "The default branch cannot be deleted")
        if repository.branches.pop(branch, None) is None:
            raise no_revision(branch)
    return JSONResponse({})
