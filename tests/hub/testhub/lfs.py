"""Large file storage: the batch request, uploads in one piece to the other port, and the check afterwards."""

from __future__ import annotations

import hashlib
from typing import Any

from starlette.responses import JSONResponse, Response

from hub.testhub.access import proposable
from hub.testhub.refusals import Refusal
from hub.testhub.wire import Ask


def batch(ask: Ask, repo: str) -> Response:
    """Where to put each object; one that is there already has no actions."""
    proposable(ask.hub.store, ask.caller, repo)
    objects = []
    for wanted in ask.json()["objects"]:
        answer: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"], "authenticated": True}
        if wanted["oid"] not in ask.hub.store.contents:
            answer["actions"] = {
                "upload": {"href": f"{ask.hub.cdn}/_lfs/{wanted['oid']}"},
                "verify": {"href": f"{ask.hub.endpoint}/{repo}.git/info/lfs/objects/verify"},
            }
        objects.append(answer)
    return JSONResponse({"transfer": "basic", "objects": objects}, media_type="application/vnd.git-lfs+json")


def upload(ask: Ask, sha256: str) -> Response:
    if hashlib.sha256(ask.body).hexdigest() != sha256:
        raise Refusal(400, f"what was sent is not {sha256}")
    ask.hub.store.contents[sha256] = ask.body
    return Response(status_code=200, headers={"ETag": f'"{sha256}"'})


def verify(ask: Ask, repo: str) -> Response:
    proposable(ask.hub.store, ask.caller, repo)
    claimed = ask.json()
    data = ask.hub.store.contents.get(claimed["oid"])
    if data is None or len(data) != claimed["size"]:
        raise Refusal(404, f"{claimed['oid']} was not uploaded")
    return JSONResponse({})
