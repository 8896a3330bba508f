"""The filters that every request passes, in upstream's order, and the rendering of whatever goes wrong.

request info > (failures are rendered here) > authentication > audit id > impersonation > authorization >
handler. Called by ``ApiServer`` for every request.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid

from tiphys.apimachinery.errors import InternalError, NotFound, StatusError
from tiphys.apiserver import respond
from tiphys.apiserver.aggregation.controller import Aggregation
from tiphys.apiserver.authn import impersonation
from tiphys.apiserver.call import Backend
from tiphys.apiserver.compression import Compression
from tiphys.apiserver.metrics import Metrics
from tiphys.apiserver.nonresource import NonResource
from tiphys.apiserver.requestinfo import RequestInfo, parse
from tiphys.apiserver.router import route
from tiphys.wire.message import Request, Response

log = logging.getLogger(__name__)


class Chain:
    """Turns requests into answers; never raises but for cancellation."""

    def __init__(
        self, backend: Backend, nonresource: NonResource, metrics: Metrics, aggregation: Aggregation
    ) -> None:
        self._backend = backend
        self._nonresource = nonresource
        self._metrics = metrics
        self._aggregation = aggregation
        self._compression = Compression()
        # Random once, then counted: as unique as a UUID for each request, and four times as fast.
        self._id_prefix = str(uuid.uuid4())[:24]
        self._id_count = secrets.randbits(40)

    def _next_id(self) -> str:
        self._id_count += 1
        return f"{self._id_prefix}{self._id_count & 0xFFFFFFFFFFFF:012x}"

    async def __call__(self, request: Request) -> Response:
        info = parse(request.method, request.path, request.raw_query)
        clock = self._backend.clock
        started = clock.monotonic()
        try:
            response = await self._serve(request, info)
        except StatusError as error:
            response = self._failure(error, request, info)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("request failed method=%s path=%s", request.method, request.path)
            response = respond.failure(InternalError.of(error), request)
        if "accept-encoding" in request.headers:
            await self._compression.apply(request, response)
        response.headers["audit-id"] = request.headers.get("audit-id") or self._next_id()
        labels = (info.verb.upper(), info.group, info.version, info.resource, info.subresource)
        self._metrics.observe(labels, response.status, clock.monotonic() - started)
        return response

    async def _serve(self, request: Request, info: RequestInfo) -> Response:
        backend = self._backend
        user = await backend.authenticator.authenticate(request)
        if impersonation.wanted(request.headers):
            user = await impersonation.impersonate(user, request.headers, backend.authorizer)
        request.scope["user"] = user
        await backend.authorizer.require(user, info)
        aggregated = await self._aggregation.answer(request, user)
        if aggregated is not None:
            return aggregated
        if info.is_resource:
            return await route(backend, request, info, user)
        response = self._nonresource.handle(request)
        if response is None:
            raise NotFound.path()
        return response

    def _serves(self, info: RequestInfo) -> bool:
        """Whether a path lies in a built-in group version: its unknown resources get a Status."""
        return info.is_resource and any(
            not one.custom for one in self._backend.table.resources(info.group, info.version)
        )

    def _failure(self, error: StatusError, request: Request, info: RequestInfo) -> Response:
        if isinstance(error, NotFound) and error.details == {} and not self._serves(info):
            headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
            return Response(404, headers, b"404 page not found\n")
        return respond.failure(error, request, request.scope.get("warnings", ()))
