"""What a header block asks for: from fields to what makes a ``Request`` (RFC 9113, section 8.3). Pure.

Owns the rules for fields, and what is remembered of them: a client that repeats itself has its headers parsed
and checked once, whatever the state of its table, and the same ``memo`` each time.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import field
from typing import Any, Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.wire import http1
from tiphys.wire.http2.errors import ErrorCode, StreamFault
from tiphys.wire.http2.hpack import Decoder, Field
from tiphys.wire.message import RepeatedHeaders, RequestLine, Response, with_value

_BLOCKS: Final = 64
_BLOCK_BYTES: Final = 1024
_SETS: Final = 32
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
_NO_VALUE: Final = re.compile(r"[\0\r\n]")
_METHOD: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH: Final = re.compile(r"[^\0- \x7f]+")
_OF_CONNECTIONS: Final = {
    name.lower(): name
    for name in ("Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade")
}  # fmt: skip
_APART: Final = (":path", ":method", "content-length")
"""They differ where all else is the same."""


@dataclass(slots=True)
class Headers:
    """What a request says beside its line and its length: one for all requests that say the same."""

    fields: dict[str, str] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict)
    fault: str = ""
    """Why the stream ends at once."""
    refusal: Response | None = None
    """What is answered in place of the handler."""
    continues: bool = False
    """The client waits to be told to send its body."""


@dataclass(slots=True)
class Head:
    """A request up to its body; ``length`` is that of the body where it is known, else -1."""

    headers: Headers
    line: RequestLine = ("", "", "", "")
    length: int = -1
    fault: str = ""


class HeadReader:
    """Reads the header blocks of one connection. ``lines`` are those of the server."""

    def __init__(self, max_list_bytes: int, lines: http1.RequestLines) -> None:
        self._decoder = Decoder(max_list_bytes)
        self._lines = lines
        self._blocks: dict[bytes, Head] = {}  # those that change no table, while it is as it was
        self._sets: dict[Hashable, Headers] = {}

    def read(self, block: bytes) -> Head:
        """Return the head of a request. Raises ConnectionFault."""
        known = self._blocks.get(block)
        if known is not None:
            return known
        changes = self._decoder.changes
        fields, whole = self._decoder.decode(block)
        head = self._head(fields) if whole else Head(Headers(refusal=_too_large()), length=0)
        if self._decoder.changes != changes:
            self._blocks.clear()
        elif len(block) <= _BLOCK_BYTES:
            if len(self._blocks) >= _BLOCKS:
                self._blocks.clear()
            self._blocks[block] = head
        return head

    def read_trailers(self, stream_id: int, block: bytes) -> None:
        """Read what comes behind a body; it says nothing to us. Raises ConnectionFault, StreamFault."""
        fields, _ = self._decoder.decode(block)
        self._blocks.clear()
        if any(name.startswith(":") or not _NAME.fullmatch(name) for name, _ in fields):
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "trailers with what is no trailer")

    def skip(self, block: bytes) -> None:
        """Read a block for its table alone. Raises ConnectionFault."""
        self._decoder.decode(block)
        self._blocks.clear()

    def _head(self, fields: list[Field]) -> Head:
        method = path = length = None
        rest: list[Field] = []
        fault = ""
        for one in fields:
            name = one[0]
            if name not in _APART:
                rest.append(one)
            elif name == "content-length":
                if length not in (None, one[1]):
                    fault = "two lengths"
                length = one[1]
            elif (path if name == ":path" else method) is not None or not _all_pseudo(rest, length):
                fault = "a pseudo-header field twice or late"
            elif name == ":path":
                path = one[1]
            else:
                method = one[1]
        headers = self._headers(rest)
        fault = fault or headers.fault or _line_fault(method, path)
        if fault or method is None or path is None:
            return Head(headers, fault=fault)
        if length is not None:
            if not (length.isascii() and length.isdigit() and len(length) < 19):
                return Head(headers, fault="a length that is no number")
            with_length = with_value(headers.fields, "content-length", length)
            headers = Headers(with_length, headers.memo, "", headers.refusal, headers.continues)
        return Head(headers, self._line(method, path), -1 if length is None else int(length))

    def _line(self, method: str, path: str) -> RequestLine:
        key = f"{method} {path}".encode("latin-1")
        line = self._lines.get(key)
        if line is None:
            line = (method, *http1.split_target(path.encode("latin-1")))
            self._lines.add(key, line)
        return line

    def _headers(self, fields: list[Field]) -> Headers:
        key = tuple(fields)
        found = self._sets.get(key)
        if found is None:
            found = headers_of(fields)
            if len(self._sets) >= _SETS:
                self._sets.clear()
            self._sets[key] = found
        return found


def _all_pseudo(fields: list[Field], length: str | None) -> bool:
    return length is None and (not fields or fields[-1][0].startswith(":"))


def _line_fault(method: str | None, path: str | None) -> str:
    if method is None or path is None:
        return "no method or no path"
    if not _METHOD.fullmatch(method) or method == "CONNECT":
        return "a method that cannot be"
    if not _PATH.fullmatch(path) or not (path.startswith("/") or "://" in path or path == "*"):
        return "a path that cannot be"
    if http1.is_malformed(path.encode("latin-1")):
        return "a path with a broken escape"
    return ""


def headers_of(fields: Sequence[Field]) -> Headers:
    """Return what fields other than method, path and length say."""
    found: dict[str, str] = {}
    cookies: list[str] = []
    pseudo: dict[str, str] = {}
    regular = False
    for name, value in fields:
        if _NO_VALUE.search(value):
            return Headers(fault="a value with a line break in it")
        if name.startswith(":"):
            if regular or name in pseudo or name not in (":scheme", ":authority"):
                return Headers(fault="a pseudo-header field twice, late or unknown")
            pseudo[name] = value
            continue
        regular = True
        if not _NAME.fullmatch(name):
            return Headers(fault="a name that cannot be")
        if name == "cookie":
            cookies.append(value)
        elif name not in found:
            found[name] = value
        else:
            if not isinstance(found, RepeatedHeaders):
                found = RepeatedHeaders(found)
            found.add(name, value)
    if isinstance(found, RepeatedHeaders):
        found.settle()
    if pseudo.get(":scheme") not in ("https", "http"):
        return Headers(fault="no scheme of HTTP")
    if cookies:
        found["cookie"] = "; ".join(cookies)
    if pseudo.get(":authority"):
        found["host"] = pseudo[":authority"]
    continues = found.get("expect", "").lower() == "100-continue"
    if continues:
        del found["expect"]
    found.pop("trailer", None)
    return Headers(found, refusal=_refusal(found), continues=continues)


def _refusal(headers: dict[str, str]) -> Response | None:
    """Refuse what belongs to a connection of HTTP/1, in the words of Go's servers."""
    for name, shown in _OF_CONNECTIONS.items():
        if name in headers:
            return _bad_request(f'request header "{shown}" is not valid in HTTP/2')
    if headers.get("te", "") not in ("", "trailers"):
        return _bad_request('request header "TE" may only be "trailers" in HTTP/2')
    return None


def _bad_request(text: str) -> Response:
    headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
    return Response(400, headers, f"{text}\n".encode())


def _too_large() -> Response:
    headers = {"content-type": "text/html; charset=utf-8"}
    return Response(431, headers, b"<h1>HTTP Error 431</h1><p>Request Header Field(s) Too Large</p>")
