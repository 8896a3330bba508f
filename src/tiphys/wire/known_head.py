"""The head of an answer that is given again and again: encoded once, for either protocol."""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.wire.http1 import SENT_NAMES, encode_lines


class KnownHead:
    """Status and headers; the last of them, ``name``, has another value each time."""

    __slots__ = ("_headers", "_http2", "_name", "_status", "http1")

    def __init__(self, status: int, headers: Mapping[str, str], name: str) -> None:
        self._status = status
        self._headers = headers
        self._name = name
        self.http1 = b"%b%b: " % (encode_lines(status, headers), SENT_NAMES[name].encode())
        """Lines up to the value."""
        self._http2 = b""

    @property
    def http2(self) -> bytes:
        """The header block up to the value, which follows as a string of HPACK."""
        if not self._http2:
            from tiphys.wire.http2 import answers, hpack

            self._http2 = answers.block(self._status, self._headers) + hpack.encode_name(self._name)
        return self._http2
