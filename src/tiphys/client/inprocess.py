"""A transport without sockets: calls a ``wire.message.Handler`` in the same event loop.

Used where the API server lives in the same process (test cluster, simulation). What the server would learn
from a connection (client certificate, peer address) is given to the constructor.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from tiphys.client.transport import Answer, Call, Stream, Transport, TransportError
from tiphys.wire.message import Handler, Request, Response


class InProcessTransport:
    """``headers`` go with every request (a bearer token, say); ``scope`` is copied into each ``Request``."""

    def __init__(
        self,
        handler: Handler,
        *,
        headers: Mapping[str, str] | None = None,
        scope: Mapping[str, Any] | None = None,
    ) -> None:
        self._handler = handler
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}
        self._scope = dict(scope or {})
        self._closed = False

    async def send(self, call: Call) -> Answer:
        response = await self._call(call)
        body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
        if response.stream is not None:
            body += b"".join([chunk async for chunk in response.stream])
        if response.written is not None:
            response.written()
        return Answer(response.status, _lower(response.headers), body)

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[Stream]:
        response = await self._call(call)
        chunks = _pieces(response)
        try:
            yield Stream(response.status, _lower(response.headers), chunks)
        finally:
            if response.written is not None:
                response.written()
            await chunks.aclose()
            close = getattr(response.stream, "aclose", None)
            if close is not None:
                await close()

    def anonymous(self) -> Transport:
        return InProcessTransport(self._handler)

    async def close(self) -> None:
        self._closed = True

    async def _call(self, call: Call) -> Response:
        if self._closed:
            raise TransportError(f"{call.method} {call.path}: the transport is closed")
        request = Request(
            method=call.method,
            path=unquote(call.path),
            raw_query=call.query,
            headers={**self._headers, **{name.lower(): value for name, value in call.headers.items()}},
            body=call.body,
            peer_address="127.0.0.1",
            raw_path=call.path,
            scope=dict(self._scope),
        )
        return await self._handler(request)


async def _pieces(response: Response) -> AsyncGenerator[bytes, None]:
    # Handlers may answer without ever waiting; yielding here keeps one busy watch from starving the rest.
    body = [response.body] if isinstance(response.body, bytes) else list(response.body)
    for piece in body:
        if piece:
            yield piece
    if response.stream is not None:
        async for chunk in response.stream:
            yield chunk
            chunk = b""  # an idle stream keeps nothing of what it sent
            await asyncio.sleep(0)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
