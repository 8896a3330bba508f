"""A stream whose length was told before: never longer, and never shorter without that being seen.

Called by the connections of either protocol; they break off what ends too early, so that no client takes
a part for the whole.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

log = logging.getLogger(__name__)


class EndedEarlyError(ConnectionError):
    """A stream had less than was told."""


class Measured:
    """Yields what ``stream`` does, up to ``length`` bytes in all. Raises EndedEarlyError."""

    def __init__(self, stream: AsyncIterator[bytes], length: int, path: str) -> None:
        self._stream = stream
        self._left = length
        self._path = path
        self._over = False

    @property
    def is_whole(self) -> bool:
        """Tell whether all that was told of has been yielded."""
        return self._left == 0

    def __aiter__(self) -> Measured:
        return self

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        try:
            chunk = await anext(self._stream)
        except StopAsyncIteration:
            if self._left:
                log.warning("stream ended early path=%s missing_bytes=%d", self._path, self._left)
                raise EndedEarlyError("unexpected EOF") from None
            raise
        room = self._left
        if len(chunk) <= room:
            self._left -= len(chunk)
            return chunk
        log.error("stream is longer than its Content-Length path=%s", self._path)
        self._left, self._over = 0, True
        if not room:
            raise StopAsyncIteration
        return chunk[:room]

    async def aclose(self) -> None:
        """Close the stream."""
        if (close := getattr(self._stream, "aclose", None)) is not None:
            await close()
