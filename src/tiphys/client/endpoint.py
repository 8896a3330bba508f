"""The HTTPS endpoint of a component: ``/healthz``, ``/livez``, ``/readyz`` and ``/metrics``.

Health is open to everybody; metrics are for whom the API server allows (TokenReview, SubjectAccessReview),
its answers remembered briefly. Certificates are self-made unless given.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.errors import Forbidden, NotFound, StatusError, Unauthorized
from tiphys.apimachinery.meta import GVR, Object
from tiphys.client import metrics
from tiphys.client.kinds import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

log = logging.getLogger(__name__)
_HEALTH = ("/healthz", "/livez", "/readyz")
_REMEMBER_S = 10.0
_REMEMBERED = 256


class ComponentEndpoint:
    """``run`` listens until cancelled; ``handle`` answers one request."""

    def __init__(self, name: str, client: Client, clock: Clock | None = None) -> None:
        self._name = name
        self._client = client
        self._clock = clock or RealClock()
        self._allowed: dict[bytes, tuple[float, str]] = {}

    async def run(self, address: str, port: int) -> None:
        """Listen; port 0 is no endpoint. Raises OSError when the address is taken."""
        if not port:
            return
        now = self._clock.now()
        authority = pki.make_ca(f"{self._name}-ca", now)
        pair = pki.issue_server(authority, self._name, ["localhost", "127.0.0.1"], now)
        async with serve(self.handle, host=address, port=port, ssl_context=pki.server_context(pair, None)):
            log.info("endpoint listens component=%s port=%d", self._name, port)
            await asyncio.get_running_loop().create_future()

    async def handle(self, request: Request) -> Response:
        """Answer one request; errors are plain text."""
        try:
            if request.path in _HEALTH:
                return _text(b"ok")
            if request.path != "/metrics":
                raise NotFound("404 page not found")
            await self._check(request)
        except StatusError as error:
            return _text(error.message.encode(), error.status_code)
        return Response(200, {"content-type": CONTENT_TYPE_LATEST}, metrics.render())

    async def _check(self, request: Request) -> None:
        """Raises Unauthorized, Forbidden."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Unauthorized("Unauthorized")
        key = hashlib.sha256(f"{token}\0{request.method}\0{request.path}".encode()).digest()
        known, now = self._allowed.get(key), self._clock.monotonic()
        fault = known[1] if known is not None and now - known[0] < _REMEMBER_S else None
        if fault is None:
            fault = await self._ask(token, request)
            if len(self._allowed) >= _REMEMBERED:
                self._allowed.clear()
            self._allowed[key] = (now, fault)
        if fault:
            raise Forbidden(fault)

    async def _ask(self, token: str, request: Request) -> str:
        """Return why a request is refused, empty when it is not. Raises Unauthorized."""
        try:
            review = await self._review(TOKEN_REVIEWS, "authentication.k8s.io/v1", "TokenReview",
                                        {"token": token})  # fmt: skip
            if not review.get("authenticated"):
                raise Unauthorized("Unauthorized")
            user = review.get("user") or {}
            verb = request.method.lower()
            answer = await self._review(
                SUBJECT_ACCESS_REVIEWS, "authorization.k8s.io/v1", "SubjectAccessReview",
                {"user": user.get("username", ""), "groups": user.get("groups") or [],
                 "nonResourceAttributes": {"path": request.path, "verb": verb}},
            )  # fmt: skip
        except TransportError as error:
            raise Unauthorized("Unauthorized") from error
        if answer.get("allowed"):
            return ""
        return f'User "{user.get("username", "")}" cannot {verb} path "{request.path}"'

    async def _review(self, gvr: GVR, version: str, kind: str, spec: Object) -> Object:
        body = {"apiVersion": version, "kind": kind, "metadata": {}, "spec": spec}
        found: Object = (await self._client.create(gvr, body)).get("status") or {}
        return found


async def with_endpoint(
    endpoint: ComponentEndpoint, address: str, port: int, work: Coroutine[Any, Any, None]
) -> None:
    """Run a component's own work beside its endpoint, and end both with the work."""
    listening = asyncio.create_task(endpoint.run(address, port))  # parent: this call, which cancels it below
    try:
        await work
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await listening


def _text(body: bytes, status: int = 200) -> Response:
    return Response(status, {"content-type": "text/plain; charset=utf-8"}, body)
