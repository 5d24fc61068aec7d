"""Who am I, may I, and the life of a repository; validating a card, which belongs to none."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from hub.testhub import cards
from hub.testhub.access import ORGANISATIONS, check_write, readable, writable
from hub.testhub.refusals import Refusal, no_repository
from hub.testhub.wire import Ask


def whoami(ask: Ask) -> Response:
    name = ask.caller.name
    if name is None:
        raise Refusal(401, "Invalid username or password.")
    orgs = [
        {"type": "org", "id": org, "name": org, "fullname": org, "roleInOrg": members[name]}
        for org, members in ORGANISATIONS.items()
        if name in members
    ]
    token = {"type": "access_token", "accessToken": {"displayName": "test", "role": ask.caller.role}}
    return JSONResponse(
        {
            "type": "user",
            "id": name,
            "name": name,
            "fullname": name.title(),
            "isPro": False,
            "orgs": orgs,
            "auth": token,
        }
    )


def validate_yaml(ask: Ask) -> Response:
    errors, warnings = cards.validate(ask.json()["content"])
    body = {"errors": [{"message": e} for e in errors], "warnings": [{"message": w} for w in warnings]}
    return JSONResponse(body, 400 if errors else 200)


def create_repo(ask: Ask) -> Response:
    wanted = ask.json()
    if wanted.get("type", "model") != "model":
        raise Refusal(400, "this Hub has models only")
    namespace = wanted.get("organization") or ask.caller.name or ""
    repo_id = f"{namespace}/{wanted['name']}"
    with ask.hub.lock:
        name = check_write(ask.caller, namespace)
        if repo_id in ask.hub.store.repositories:
            message = "You already created this model repo"
            raise Refusal(409, message, body={"error": message, "url": f"{ask.hub.endpoint}/{repo_id}"})
        ask.hub.store.create(repo_id, name, private=wanted.get("visibility") == "private")
    return JSONResponse({"url": f"{ask.hub.endpoint}/{repo_id}", "name": repo_id, "id": repo_id})


def delete_repo(ask: Ask) -> Response:
    wanted = ask.json()
    repo_id = f"{wanted.get('organization') or ask.caller.name}/{wanted['name']}"
    with ask.hub.lock:
        if repo_id not in ask.hub.store.repositories:
            raise no_repository(repo_id, anonymous=ask.caller.name is None)
        writable(ask.hub.store, ask.caller, repo_id)
        del ask.hub.store.repositories[repo_id]
    return Response(status_code=200)


def update_settings(ask: Ask, repo: str) -> Response:
    with ask.hub.lock:
        repository, _ = writable(ask.hub.store, ask.caller, repo)
        wanted = ask.json()
        if "visibility" in wanted:
            repository.private = wanted["visibility"] == "private"
        if "gated" in wanted:
            repository.gated = wanted["gated"]
    return JSONResponse({"private": repository.private, "gated": repository.gated})


def auth_check(ask: Ask, repo: str) -> Response:
    readable(ask.hub.store, ask.caller, repo)
    return JSONResponse({})


def auth_check_write(ask: Ask, repo: str) -> Response:
    writable(ask.hub.store, ask.caller, repo)
    return JSONResponse({})
