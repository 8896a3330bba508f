"""Bodies in chunks (RFC 9112, section 7.1), read as Go's server does. Pure.

Owns: where chunks and the whole body end, and how much may come beside the data. Lines end in both bytes
here, which Go asks for as well: whoever took a bare line feed could be made to see another end than others.
"""

from __future__ import annotations

import re
from typing import Final

from tiphys.wire import request_head
from tiphys.wire.request_head import HeadFault

MAX_LINE_BYTES: Final = 4096
"""Of the line that begins a chunk, and of all trailers."""
MAX_EXCESS_BYTES: Final = 16 * 1024
"""That say nothing: chunks of a byte each are fine, long extensions are not."""
_FREE_BYTES: Final = 16
_SIZE: Final = re.compile(rb"[0-9a-fA-F]{1,16}")
_NO_TEXT: Final = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")

_LINE, _DATA, _BREAK, _TRAILERS = range(4)


class ChunkReader:
    """Takes the bytes of one body as they come."""

    __slots__ = ("_excess", "_kept", "_left", "_next")

    def __init__(self) -> None:
        self._next = _LINE
        self._left = 0  # of the chunk that is arriving
        self._kept = b""  # of a line that is not all there
        self._excess = 0

    def feed(self, data: bytes) -> tuple[list[bytes], bytes | None]:
        """Return pieces of the body, and what stands behind it; None: it is not at its end.

        Raises HeadFault.
        """
        if self._kept:
            data, self._kept = self._kept + data, b""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if self._next == _DATA:
                end = min(at + self._left, size)
                pieces.append(data[at:end])
                self._left -= end - at
                if self._left == 0:
                    self._next = _BREAK
            elif self._next == _TRAILERS:
                end = _end_of_trailers(data, at)
                if end >= 0:
                    return pieces, data[end:]
            elif self._next == _BREAK:
                end = at + 2 if size - at >= 2 else -1
                if end > 0:
                    if data[at:end] != b"\r\n":
                        _malformed()
                    self._next = _LINE
            else:
                end = self._begin(data, at)
            if end < 0:
                self._kept = data[at:]
                break
            at = end
        return pieces, None

    def _begin(self, data: bytes, at: int) -> int:
        """Read the line that begins a chunk; return where it ends, -1: not all of it is there."""
        end = data.find(b"\n", at, at + MAX_LINE_BYTES)
        if end < 0:
            if len(data) - at >= MAX_LINE_BYTES:
                _malformed()
            return -1
        line = data[at : end + 1]
        if line.find(b"\r") != len(line) - 2:
            _malformed()
        digits = line[:-2].rstrip(b" \t").partition(b";")[0]
        if not _SIZE.fullmatch(digits):
            _malformed()
        self._left = int(digits, 16)
        self._excess = max(self._excess + len(line) - _FREE_BYTES - 2 * self._left, 0)
        if self._excess > MAX_EXCESS_BYTES:
            _malformed()
        self._next = _DATA if self._left else _TRAILERS
        return end + 1


def _malformed() -> None:
    raise HeadFault(400, "400 Bad Request")


def _end_of_trailers(data: bytes, at: int) -> int:
    """Return where trailers end, mostly at once; -1: not all of them are there."""
    if data.startswith(b"\r\n", at):
        return at + 2
    end = data.find(b"\r\n\r\n", at, at + MAX_LINE_BYTES)
    if end < 0:
        if len(data) - at >= MAX_LINE_BYTES:
            _malformed()
        return -1
    block = data[at : end + 2]
    if _NO_TEXT.search(block):
        _malformed()
    request_head.fields(block.decode("latin-1").split("\r\n"))  # nobody is told of them
    return end + 4
