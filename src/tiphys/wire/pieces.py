"""How an answer that comes in parts is written: few writes, little copying. Pure."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final

from tiphys.wire.tls import RECORD_BYTES

JOINED_BYTES: Final = 64 * 1024
"""About how large a write gets that is joined from small parts."""


def pieces(head: bytes, parts: Sequence[bytes]) -> Generator[bytes, None, None]:
    """Join what is small into writes of a record or more; what is large goes as it is."""
    small, size = [head], len(head)
    for part in parts:
        if len(part) >= RECORD_BYTES:
            if small:
                yield b"".join(small)
            yield part
            small, size = [], 0
            continue
        small.append(part)
        size += len(part)
        if size >= JOINED_BYTES:
            yield b"".join(small)
            small, size = [], 0
    if small:
        yield b"".join(small)
