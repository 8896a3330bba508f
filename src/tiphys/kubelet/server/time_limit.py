"""How long a kubelet writes one answer: upstream's server gives up after four hours, whatever still comes.

A log that is followed ends so, broken off. What was upgraded has no such limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

LONGEST_S = 4 * 3600.0


def limited(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return the stream, which raises ConnectionAbortedError when the time is over that begins now."""
    return _until(stream, asyncio.get_running_loop().time() + LONGEST_S)


async def _until(stream: AsyncIterator[bytes], end_s: float) -> AsyncIterator[bytes]:
    try:
        while (piece := await _next(stream, end_s)) is not None:
            yield piece
    finally:
        if (close := getattr(stream, "aclose", None)) is not None:
            await close()


async def _next(stream: AsyncIterator[bytes], end_s: float) -> bytes | None:
    left = asyncio.timeout_at(end_s)
    try:
        async with left:
            return await anext(stream, None)
    except TimeoutError:
        if not left.expired():
            raise
        raise ConnectionAbortedError("write deadline exceeded") from None
