"""gzip of answers, for clients that take it.

Owns: which answers are compressed (as upstream does: objects that are large, by a stricter reading of
``Accept-Encoding`` than other documents) and the compressed form of documents that are asked for again and
again. Called by the chain. Refuses: streams, whose events go out one by one.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from tiphys.wire.message import Request, Response, values_of

THRESHOLD_BYTES: Final = 128 * 1024
"""Objects of more bytes are compressed."""
_DOCUMENT_BYTES: Final = 1400
"""So are documents from so many on."""
_LEVEL: Final = 1
_GZIP_WINDOW: Final = 31
_KEPT: Final = 64
_DOCUMENT: Final = "/openapi/v2"
"""Whose answers are the same bytes object until something changes."""
_METRICS: Final = "/metrics"
_QUALITY: Final = re.compile(r"q=([0-9.]+)")


def takes_gzip(headers: Mapping[str, str]) -> bool:
    """Tell whether ``Accept-Encoding`` names gzip as upstream reads it for objects: the bare word."""
    accepted = values_of(headers, "accept-encoding")
    return bool(accepted) and any(part.strip() == "gzip" for part in accepted[0].split(","))


def prefers_gzip(headers: Mapping[str, str]) -> bool:
    """Tell the same as other handlers of Go read it: in any spelling, unless its quality is nothing."""
    accepted = values_of(headers, "accept-encoding")
    for part in accepted[0].split(",") if accepted else ():
        name, *parameters = [one.strip() for one in part.lower().split(";")]
        if name == "gzip":
            found = [match[1] for one in parameters if (match := _QUALITY.fullmatch(one))]
            return not found or bool(found[-1].strip("0."))
    return False


def compresses(request: Request, response: Response) -> bool:
    """Tell whether an answer is what is compressed, large enough, and its reader takes it so."""
    if response.stream is not None or response.upgrade is not None or "content-encoding" in response.headers:
        return False
    body, path = response.body, request.path
    size = len(body) if isinstance(body, bytes) else sum(map(len, body))
    if _is_object(path):
        return size > THRESHOLD_BYTES and takes_gzip(request.headers)
    if path == _DOCUMENT:
        return size >= _DOCUMENT_BYTES and prefers_gzip(request.headers)
    return path == _METRICS and size > 0 and prefers_gzip(request.headers)


def _is_object(path: str) -> bool:
    return path.startswith(("/api/", "/apis/")) or path in ("/api", "/apis")


def compressed(body: bytes | Sequence[bytes]) -> bytes:
    """Return the gzip form of a body, given whole or in pieces."""
    encoder = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    pieces = (body,) if isinstance(body, bytes) else body
    found = [encoder.compress(piece) for piece in pieces]
    return b"".join((*found, encoder.flush()))


class Compression:
    """Compresses large answers in a thread, so that other requests go on; documents only once."""

    def __init__(self, *, objects: bool = True) -> None:
        """``objects``: whether these are compressed; the feature gate says so for nothing else."""
        self._objects = objects
        self._documents: OrderedDict[int, tuple[bytes, bytes]] = OrderedDict()

    async def apply(self, request: Request, response: Response) -> None:
        """Compress an answer where it is large enough and its reader takes it."""
        if not compresses(request, response) or (_is_object(request.path) and not self._objects):
            return
        body, headers = response.body, response.headers
        if isinstance(body, bytes) and request.path == _DOCUMENT:
            response.body = await self._document(body)
        else:
            response.body = await asyncio.to_thread(compressed, body)
        headers["content-encoding"] = "gzip"
        headers["vary"] = f"{headers['vary']}, Accept-Encoding" if "vary" in headers else "Accept-Encoding"

    async def _document(self, body: bytes) -> bytes:
        known = self._documents.get(id(body))
        if known is not None:  # the body is kept with it, so its id is still its own
            return known[1]
        made = await asyncio.to_thread(compressed, body)
        self._documents[id(body)] = (body, made)
        if len(self._documents) > _KEPT:
            self._documents.popitem(last=False)
        return made
