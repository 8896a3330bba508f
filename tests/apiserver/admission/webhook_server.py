"""A webhook on loopback: HTTPS, with a certificate of its own authority, answering as a test says."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from tiphys.apimachinery.clock import RealClock
from tiphys.wire.message import Request, Response
from tiphys.wire.pki import KeyPair, issue_server, make_ca, server_context
from tiphys.wire.server import serve

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def allow(_request: dict[str, Any]) -> dict[str, Any]:
    return {"allowed": True}


def patch(*operations: dict[str, Any]) -> Answer:
    """Return an answer that changes the object."""
    text = base64.b64encode(orjson.dumps(list(operations))).decode()
    return lambda _request: {"allowed": True, "patchType": "JSONPatch", "patch": text}


@dataclass
class Webhook:
    """Answers by path; keeps the requests it got."""

    ca: KeyPair
    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    raw: dict[str, Response] = field(default_factory=dict)
    hang: bool = False

    @property
    def bundle(self) -> str:
        return base64.b64encode(self.ca.certificate).decode()

    async def __call__(self, request: Request) -> Response:
        self.paths.append(f"{request.path}?{request.raw_query}")
        self.headers.append(request.headers)
        if self.hang:
            await asyncio.Event().wait()
        if request.path in self.raw:
            return self.raw[request.path]
        review = orjson.loads(request.body)
        asked = review["request"]
        self.asked.append(asked)
        self.versions.append(review["apiVersion"])
        response = {"uid": asked["uid"], **self.answers.get(request.path, allow)(asked)}
        body = {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}
        return Response(200, {"content-type": "application/json"}, orjson.dumps(body))

    def url(self, path: str = "/") -> dict[str, Any]:
        """Return a clientConfig that reaches this server by address."""
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.bundle}


@asynccontextmanager
async def webhook_server(*hosts: str) -> AsyncIterator[Webhook]:
    """Serve a webhook whose certificate is for the given names."""
    now = RealClock().now()
    ca = make_ca("webhook-ca", now)
    pair = issue_server(ca, "webhook", hosts or ("127.0.0.1",), now)
    webhook = Webhook(ca)
    async with serve(webhook, host="127.0.0.1", port=0, ssl_context=server_context(pair, None)) as server:
        webhook.port = server.port
        yield webhook
