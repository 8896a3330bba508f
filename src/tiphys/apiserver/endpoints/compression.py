"""gzip of large answers, for clients that take it.

Owns: when an answer is compressed (upstream's threshold and level) and the compressed form of documents that
are asked for again and again. Called by the chain. Refuses: streams, whose events go out one by one.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from tiphys.wire.message import Request, Response

THRESHOLD_BYTES: Final = 128 * 1024
_LEVEL: Final = 1
_GZIP_WINDOW: Final = 31
_KEPT: Final = 64
_DOCUMENTS: Final = "/openapi/"
"""Paths whose answers are the same bytes object until something changes."""


def takes_gzip(accept_encoding: str) -> bool:
    """Tell whether ``Accept-Encoding`` names gzip, and does not refuse it."""
    for part in accept_encoding.split(","):
        name, _, parameters = part.partition(";")
        if name.strip().lower() == "gzip":
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def compresses(request: Request, response: Response) -> bool:
    """Tell whether an answer is large enough, and its reader takes it compressed."""
    body = response.body
    size = len(body) if isinstance(body, bytes) else sum(map(len, body))
    if size <= THRESHOLD_BYTES or response.stream is not None or response.upgrade is not None:
        return False
    if "content-encoding" in response.headers:
        return False
    return takes_gzip(request.headers.get("accept-encoding", ""))


def compressed(body: bytes | Sequence[bytes]) -> bytes:
    """Return the gzip form of a body, given whole or in pieces."""
    encoder = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    pieces = (body,) if isinstance(body, bytes) else body
    found = [encoder.compress(piece) for piece in pieces]
    return b"".join((*found, encoder.flush()))


class Compression:
    """Compresses in a thread, so that other requests go on; documents only once."""

    def __init__(self) -> None:
        self._documents: OrderedDict[int, tuple[bytes, bytes]] = OrderedDict()

    async def apply(self, request: Request, response: Response) -> None:
        """Compress an answer where it is large enough and its reader takes it."""
        if not compresses(request, response):
            return
        body, headers = response.body, response.headers
        if isinstance(body, bytes) and request.path.startswith(_DOCUMENTS):
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
