"""What browsers are told with each answer: whether a page of another origin may read it, and to use TLS only.

Owns: the headers of ``--cors-allowed-origins`` and ``--strict-transport-security-directives``, and the answer
to what browsers ask first (OPTIONS), which nobody else sees. Stands before ``Chain`` where either is wanted.
Source: the Fetch standard (CORS); RFC 6797, section 6.1.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Final

from tiphys.apiserver.endpoints.respond import NO_STORE
from tiphys.wire.message import Handler, Request, Response

_GRANTS: Final = {
    "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE, PATCH",
    "access-control-allow-headers": (
        "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, "
        "If-Modified-Since"
    ),
    "access-control-expose-headers": "Date",
    "access-control-allow-credentials": "true",
}


class Browsers:
    """A handler around another one. It answers nothing at once: each answer gets its headers here."""

    def __init__(
        self, handler: Handler, *, origins: Sequence[str] = (), strict_transport: Sequence[str] = ()
    ) -> None:
        """``origins`` are regular expressions. Raises re.error."""
        self._handler = handler
        self.asks_for_bodies = getattr(handler, "asks_for_bodies", False)
        self._origins = [re.compile(origin) for origin in origins]
        self._always = {"strict-transport-security": "; ".join(strict_transport)} if strict_transport else {}

    async def __call__(self, request: Request) -> Response:
        headers = {**self._always, **self._granted(request.headers.get("origin", ""))}
        if request.method == "OPTIONS" and "access-control-allow-origin" in headers:
            audit_id = request.headers.get("audit-id") or str(uuid.uuid4())
            return Response(204, {"audit-id": audit_id, "cache-control": NO_STORE, **headers})
        response = await self._handler(request)
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response

    def _granted(self, origin: str) -> dict[str, str]:
        if origin and any(allowed.search(origin) for allowed in self._origins):
            return {"access-control-allow-origin": origin, **_GRANTS}
        return {}
