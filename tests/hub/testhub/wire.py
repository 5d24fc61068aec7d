"""The ASGI application: every request is recorded, may meet a fault, and goes to the handler that the routes name."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from hub.testhub.access import Caller, caller_of
from hub.testhub.refusals import Refusal

if TYPE_CHECKING:
    from hub.testhub.server import Hub

Handler = Callable[..., Response]
_UNCOUNTED = "/api/agent-harnesses"  # what the client asks on the side, once a process, is neither recorded nor failed


@dataclass
class Recorded:
    """A request that came, in the order of coming; ``status`` is None while, or because, no answer was sent."""

    method: str
    path: str
    user: str | None = None
    status: int | None = None
    fault: str | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.fault or self.status}"


@dataclass(frozen=True)
class Ask:
    """A request as a handler sees it; parameters in the path come as arguments."""

    hub: Hub
    caller: Caller
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def first(self, name: str) -> str | None:
        return self.query.get(name, [None])[0]

    def flag(self, name: str) -> bool:
        return (self.first(name) or "").lower() in ("1", "true")


@dataclass(frozen=True)
class Route:
    """A method, a path as it comes on the wire (a slash inside a revision stays ``%2F``), and what answers it."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler


def route(method: str, template: str, handler: Handler) -> Route:
    """``{repo}`` takes two segments, ``{path}`` the rest, every other name one segment."""
    shapes = {"repo": "[^/]+/[^/]+?", "path": ".+"}
    pattern = re.sub(r"\\\{(\w+)\\\}", lambda m: f"(?P<{m[1]}>{shapes.get(m[1], '[^/]+')})", re.escape(template))
    return Route(method, re.compile(pattern), handler)


class Wire:
    """The application of one Hub."""

    def __init__(self, hub: Hub, routes: list[Route]) -> None:
        self.hub = hub
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw, query = scope["raw_path"].decode("ascii"), scope["query_string"].decode("ascii")
        recorded = Recorded(scope["method"], f"{raw}?{query}" if query else raw)
        if raw != _UNCOUNTED:
            self.hub.requests.append(recorded)
            recorded.fault = self.hub.faults.take(recorded.method, recorded.path)
        body = await _body(receive)
        if body is None:
            return
        if recorded.fault == "html":
            recorded.status = 200
            await HTMLResponse("<h1>Please log in</h1>")(scope, receive, send)
            return
        if recorded.fault in ("500", "503"):
            recorded.status = int(recorded.fault)
            await JSONResponse({"error": "planted"}, recorded.status)(scope, receive, send)
        elif recorded.fault == "drop":
            _transport(send).abort()
        elif recorded.fault == "hang":
            await self._hang(receive, send)
        else:
            response = await asyncio.to_thread(self._answer, scope, raw, query, body, recorded)
            if recorded.fault == "lost":
                await self._hang(receive, send)
                return
            recorded.status = None if recorded.fault else response.status_code
            await response(scope, receive, _half(scope, send) if recorded.fault == "cut" else send)

    def _answer(self, scope: Scope, raw: str, query: str, body: bytes, recorded: Recorded) -> Response:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            caller = caller_of(headers.get("authorization"))
            recorded.user = caller.name
            for each in self.routes:
                if each.method in (scope["method"], "GET" if scope["method"] == "HEAD" else "") and (
                    match := each.pattern.fullmatch(raw)
                ):
                    ask = Ask(self.hub, caller, raw, parse_qs(query), headers, body)
                    return each.handler(ask, **{name: unquote(value) for name, value in match.groupdict().items()})
            raise Refusal(404, f"Sorry, we can't find the page you are looking for: {raw}")
        except Refusal as refusal:
            extra = {"X-Error-Code": refusal.code} if refusal.code else {}
            return JSONResponse(refusal.body, refusal.status, {**extra, "X-Error-Message": refusal.message})

    async def _hang(self, receive: Receive, send: Send) -> None:
        """Say nothing until the client has gone, or for as long as faults may hang."""
        gone = asyncio.ensure_future(_gone(receive))
        await asyncio.wait([gone], timeout=self.hub.faults.hang_s)
        gone.cancel()
        _transport(send).abort()


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None when the client went away before it had sent it."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _half(scope: Scope, send: Send) -> Send:
    """Send half of an answer's bytes and close; an answer without a body is not sent at all."""
    held: list[Message] = []

    async def cut(message: Message) -> None:
        held.append(message)
        if message["type"] != "http.response.body":
            return
        body = message.get("body", b"")
        if scope["method"] != "HEAD" and len(body) > 1:
            await send(held[0])
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            _transport(send).close()
        else:
            _transport(send).abort()

    return cut


def _transport(send: Send) -> asyncio.Transport:
    """The connection under uvicorn's ``send``: ASGI itself knows no way to break it."""
    return send.__self__.transport  # type: ignore[attr-defined]
