"""``/openapi/v2`` and ``/openapi/v3``: negotiation, ETags, and URLs that name a document by its hash.

Owns: the HTTP side of the documents that ``apis.openapi`` builds. Called by ``nonresource``.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from datetime import timedelta
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apis.openapi.documents import OpenApi
from tiphys.apis.openapi.v3 import url_of
from tiphys.wire.accept import clauses
from tiphys.wire.message import Request, Response

JSON: Final = "application/json"
_PROTO_V2: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""Also the answer to the older name with an ``@``, which is no valid media type."""
_PROTO_V2_OLD: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_PROTO_V3: Final = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
_PROTO_V3_OLD: Final = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
_V2_TYPES: Final = (JSON, _PROTO_V2, _PROTO_V2_OLD)
_V3_TYPES: Final = (JSON, _PROTO_V3, _PROTO_V3_OLD)
_KEPT: Final = 64
_YEAR: Final = timedelta(days=365)


class OpenApiDocs:
    """Answers requests below ``/openapi``."""

    def __init__(self, documents: OpenApi, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock
        self._tags: OrderedDict[int, tuple[bytes, str]] = OrderedDict()

    async def answer(self, request: Request, path: str) -> Response | None:
        """Answer, or None where there is no such document.

        What has to be made for it is made step by step: hundreds of definitions take seconds.
        """
        for _ in self._documents.steps(self._form(request, path)):
            await asyncio.sleep(0)
        return self._answer(request, path)

    def _form(self, request: Request, path: str) -> str:
        if path != "/openapi/v2":
            return "v3"
        return "json" if _preferred(request.headers.get("accept", ""), _V2_TYPES) == JSON else "protobuf"

    def _answer(self, request: Request, path: str) -> Response | None:
        accept = request.headers.get("accept", "")
        if path == "/openapi/v2":
            return self._v2(request, _preferred(accept, _V2_TYPES))
        if path == "/openapi/v3":
            return self._tagged(request, self._documents.v3_index(), JSON)
        if path.startswith("/openapi/v3/"):
            return self._v3_group(request, path[len("/openapi/v3/") :])
        return None

    def _v2(self, request: Request, media_type: str) -> Response:
        if not media_type:
            return _not_acceptable()
        if media_type == JSON:
            return self._tagged(request, self._documents.v2_json(), JSON)
        return self._tagged(request, self._documents.v2_protobuf(), _PROTO_V2)

    def _v3_group(self, request: Request, name: str) -> Response | None:
        media_type = _preferred(request.headers.get("accept", ""), _V3_TYPES)
        digest = self._documents.v3_hash(name)
        if digest is None:
            return None
        if not media_type:
            return _not_acceptable()
        asked = request.query.get("hash", [""])[0]
        if asked and asked != digest:  # of another time: the client shall not keep this answer under it
            return Response(301, {"location": url_of(name, digest), "vary": "Accept"})
        documents = self._documents
        body = documents.v3_group(name) if media_type == JSON else documents.v3_protobuf(name)
        response = self._tagged(request, body or b"", JSON if media_type == JSON else _PROTO_V3, digest)
        if asked:
            response.headers["cache-control"] = "public, immutable"
            response.headers["expires"] = f"{self._clock.now() + _YEAR:%a, %d %b %Y %H:%M:%S} UTC"
        return response

    def _tagged(self, request: Request, body: bytes, content_type: str, digest: str = "") -> Response:
        tag = f'"{digest or self._digest(body)}"'
        headers = {"etag": tag, "vary": "Accept"}
        if _has(request.headers.get("if-none-match", ""), tag):
            return Response(304, headers)
        return Response(200, {"content-type": content_type, **headers}, body)

    def _digest(self, body: bytes) -> str:
        known = self._tags.get(id(body))
        if known is None:  # the body is kept with its hash, so its id stays its own
            known = self._tags[id(body)] = (body, hashlib.sha512(body).hexdigest().upper())
            if len(self._tags) > _KEPT:
                self._tags.popitem(last=False)
        return known[1]


def _has(known: str, tag: str) -> bool:
    """Tell whether one of the tags that a client knows is this one, be it a weak one of it."""
    tags = [one.strip() for one in known.split(",")]
    return "*" in tags or tag in [one.removeprefix("W/") for one in tags]


def _not_acceptable() -> Response:
    return Response(406, {"vary": "Accept"})


def _preferred(accept: str, offered: tuple[str, ...]) -> str:
    """Return the first of ``offered`` that the client takes, by the order of its clauses; empty for none."""
    asked = clauses(accept or "*/*")
    return next((one for clause in asked for one in offered if clause.takes(one)), "")
