"""Discussions and pull requests, as far as opening, listing, reading, closing and merging them."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from hub.testhub.access import proposable, seen, writable
from hub.testhub.refusals import Refusal
from hub.testhub.store import Commit, PullRequest, Repository, Store
from hub.testhub.wire import Ask


def open_pull(
    store: Store, repository: Repository, *, title: str, description: str, author: str, base: Commit,
    head: Commit | None,
) -> PullRequest:  # fmt: skip
    """A new discussion, or with a head a pull request, with the next number of the repository."""
    number = len(repository.pulls) + 1
    pull = PullRequest(number, title, description, author, store.now(), base, head)
    repository.pulls[number] = pull
    return pull


def list_discussions(ask: Ask, repo: str) -> Response:
    repository = seen(ask.hub.store, ask.caller, repo)
    kind, status, author = ask.first("type"), ask.first("status"), ask.first("author")
    found = [
        _summary(repo, pull)
        for pull in reversed(repository.pulls.values())
        if (kind in (None, "all") or (kind == "pull_request") == (pull.head is not None))
        and (status in (None, "all") or (status == "open") == (pull.status in ("open", "draft")))
        and author in (None, pull.author)
    ]
    start = int(ask.first("p") or 0) * ask.hub.page_size
    page = found[start : start + ask.hub.page_size]
    return JSONResponse({"discussions": page, "count": len(found), "start": start})


def create(ask: Ask, repo: str) -> Response:
    with ask.hub.lock:
        repository, author = proposable(ask.hub.store, ask.caller, repo)
        wanted, base = ask.json(), repository.branches["main"]
        pull = open_pull(
            ask.hub.store, repository, title=wanted["title"], description=wanted["description"], author=author,
            base=base, head=base if wanted.get("pullRequest") else None,
        )  # fmt: skip
        pull.status = "draft" if pull.head else "open"
    return JSONResponse({"num": pull.number, "url": f"{ask.hub.endpoint}/{repo}/discussions/{pull.number}"})


def details(ask: Ask, repo: str, number: str) -> Response:
    repository = seen(ask.hub.store, ask.caller, repo)
    pull = _pull(repository, number)
    comment = {
        "id": f"{number}-0", "type": "comment", "createdAt": pull.created_at, "author": {"name": pull.author},
        "data": {"edited": False, "hidden": False, "latest": {"raw": pull.description}},
    }  # fmt: skip
    commits: list[dict[str, Any]] = []
    for commit in reversed(pull.head.history() if pull.head else []):
        if commit not in pull.base.history():
            data = {"subject": commit.title, "oid": commit.oid}
            author = {"name": commit.author}
            commits.append(
                {"id": commit.oid, "type": "commit", "createdAt": commit.date, "author": author, "data": data}
            )
    answer = {**_summary(repo, pull), "events": [comment, *commits]}
    if pull.head:
        answer |= {"changes": {"base": "refs/heads/main"}, "filesWithConflicts": [], "diff": ""}
        if pull.merge_commit:
            answer["changes"]["mergeCommitId"] = pull.merge_commit
    return JSONResponse(answer)


def merge(ask: Ask, repo: str, number: str) -> Response:
    """Put what the pull request changes on top of ``main``."""
    with ask.hub.lock:
        repository, author = writable(ask.hub.store, ask.caller, repo)
        pull = _pull(repository, number)
        if pull.head is None or pull.status not in ("open", "draft"):
            raise Refusal(400, f"{number} is no open pull request")
        main = repository.branches["main"]
        tree = dict(main.tree)
        for path in {*pull.base.tree, *pull.head.tree}:
            if pull.base.tree.get(path) != pull.head.tree.get(path):
                tree.pop(path, None)
                tree |= {path: pull.head.tree[path]} if path in pull.head.tree else {}
        made = ask.hub.store.commit(main, tree, f"{pull.title} (#{number})", "", author)
        repository.branches["main"] = made
        pull.status, pull.merge_commit = "merged", made.oid
    return JSONResponse({})


def set_status(ask: Ask, repo: str, number: str) -> Response:
    with ask.hub.lock:
        repository, author = proposable(ask.hub.store, ask.caller, repo)
        pull = _pull(repository, number)
        pull.status = ask.json()["status"]
    event = {
        "id": f"{number}-status", "type": "status-change", "createdAt": ask.hub.store.now(),
        "author": {"name": author}, "data": {"status": pull.status},
    }  # fmt: skip
    return JSONResponse({"newStatus": event})


def _pull(repository: Repository, number: str) -> PullRequest:
    if not number.isdigit() or int(number) not in repository.pulls:
        raise Refusal(404, f"No discussion {number}")
    return repository.pulls[int(number)]


def _summary(repo: str, pull: PullRequest) -> dict[str, Any]:
    return {
        "title": pull.title, "num": pull.number, "author": {"name": pull.author}, "createdAt": pull.created_at,
        "status": pull.status, "repo": {"name": repo, "type": "model"}, "isPullRequest": pull.head is not None,
    }  # fmt: skip
