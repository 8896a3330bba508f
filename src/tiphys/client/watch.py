"""Turns the bytes of a watch into events. Lines may be of any length.

``client.rest.Client.watch`` makes these; informers and one-off waiters read them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError, from_status
from tiphys.apimachinery.meta import Object
from tiphys.client.transport import TransportError


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """``type`` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object

    @property
    def resource_version(self) -> str:
        return str(self.object["metadata"].get("resourceVersion") or "")


async def read_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Split a byte stream at newlines, holding only the unfinished line."""
    parts: list[bytes] = []
    async for chunk in chunks:
        if b"\n" not in chunk:
            parts.append(chunk)
            continue
        first, *rest = chunk.split(b"\n")
        parts.append(first)
        yield b"".join(parts)
        for line in rest[:-1]:
            yield line
        parts = [rest[-1]] if rest[-1] else []
        chunk, rest = b"", []  # an idle watch keeps nothing of what it read
    if parts:
        yield b"".join(parts)


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[WatchEvent]:
    """Decode a watch. Raises StatusError for an ERROR event (Expired: relist), TransportError for rubbish."""
    async for line in read_lines(chunks):
        if not line.strip():
            continue
        yield decode_event(line)


def decode_event(line: bytes) -> WatchEvent:
    """Decode one line. Raises as ``read_events``."""
    try:
        frame: dict[str, Any] = orjson.loads(line)
        kind, obj = frame["type"], frame["object"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise TransportError("the watch was cut off within an event") from error
    if kind == "ERROR":
        raise error_of(obj)
    return WatchEvent(kind, obj)


def error_of(status: Object) -> StatusError:
    return from_status(status, int(status.get("code") or 500))
