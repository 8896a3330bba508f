"""Faults of ours before a request reaches its handler: 500 in plain text, as Go's filters answer them.

Owns: the text, in which what the client sent cannot be taken for markup. Raised by filters, answered by
the chain.
"""

from __future__ import annotations

from typing import Final

import orjson

from tiphys.apimachinery.errors import StatusError
from tiphys.wire.message import Request, Response

_ENTITIES: Final = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
_HEADERS: Final = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}


class PlainFault(StatusError):
    """A request that is not served, whoever is at fault but its client."""

    code = 500
    reason = "InternalError"

    def __init__(self, uri: str, why: str) -> None:
        quoted = orjson.dumps(uri).decode()
        super().__init__(f"Internal Server Error: {quoted}: {why}".translate(_ENTITIES))

    def response(self) -> Response:
        return Response(500, dict(_HEADERS), f"{self.message}\n".encode())


def uri_of(request: Request) -> str:
    """Return what a request asks for, as it was sent."""
    query = f"?{request.raw_query}" if request.raw_query else ""
    return (request.raw_path or request.path) + query
