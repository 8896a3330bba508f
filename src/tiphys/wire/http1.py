"""HTTP/1.1 on paper: request targets, response heads, and the answers that the server gives itself.

Pure: no sockets, no clock. ``wire.connection`` calls it for every request, so it stays cheap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import orjson

from tiphys.apimachinery.errors import (
    InternalError,
    RequestEntityTooLarge,
    StatusError,
    TooManyRequests,
)
from tiphys.wire.message import RequestLine, Response, pairs_of

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
TOO_LARGE: Final = "Request entity too large: limit is {}"
LAST_CHUNK: Final = b"0\r\n\r\n"
REQUEST_LINE: Final = re.compile(rb"(GET|HEAD|DELETE|OPTIONS) (/[!-~]*) HTTP/1\.1")
"""A request line plain enough to be read without the parser."""
WRITE_LINE: Final = re.compile(rb"(POST|PUT|PATCH|DELETE) (/[!-~]{0,500}) HTTP/1\.1")
"""The same of a request with a body."""
_BAD_ESCAPE: Final = re.compile(rb"[^?%]*+(?:%[0-9A-Fa-f]{2}[^?%]*+)*+%")

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
} | {
    413: "HTTP/1.1 413 Request Entity Too Large\r\n",
    422: "HTTP/1.1 422 Unprocessable Entity\r\n",
}


class _SentNames(dict[str, str]):
    """How names of headers are written: as Go does, each part with a capital."""

    _LIMIT: Final = 500

    def __missing__(self, name: str) -> str:
        found = "-".join([part.capitalize() for part in name.split("-")])
        if len(self) < self._LIMIT:
            self[name] = found
        return found


SENT_NAMES: Final = _SentNames()
"""The name of a header as it is written, by any spelling of it."""


def split_target(target: bytes) -> tuple[str, str, str]:
    """Split a request target into decoded path, path as sent, and query as sent."""
    text = target.decode("utf-8", "replace")
    if not text.startswith("/") and "://" in text:  # absolute form, as proxies send it
        text = "/" + text.partition("://")[2].partition("/")[2]
    raw_path, _, query = text.partition("?")
    return (unquote(raw_path) if "%" in raw_path else raw_path), raw_path, query


def is_malformed(target: bytes) -> bool:
    """Tell whether a percent sign in a target's path is followed by anything but two digits of 16."""
    return b"%" in target and _BAD_ESCAPE.match(target) is not None


class RequestLines(dict[bytes, RequestLine]):
    """Request lines seen lately, parsed. Clients repeat themselves."""

    LIMIT: Final = 2048
    LONGEST_BYTES: Final = 512

    def add(self, line: bytes, parsed: RequestLine) -> None:
        """Remember a line, unless it is long."""
        if len(line) <= self.LONGEST_BYTES:
            if len(self) >= self.LIMIT:
                self.clear()
            self[line] = parsed


def encode_head(
    status: int, headers: Mapping[str, str], *, length: int | None, closing: bool, date: str, chunked: bool
) -> bytes:
    """Encode status line and headers up to the empty line.

    ``length`` None sends no Content-Length (streams, 204, 304). A line break in a header's value becomes a
    space, so that no value can end the head early.
    """
    head = _lines(status, headers)
    if closing:
        head += "Connection: close\r\n"
    if chunked:
        head += "Transfer-Encoding: chunked\r\n"
    elif length is not None:
        head += f"Content-Length: {length}\r\n"
    return f"{head}Date: {date}\r\n\r\n".encode("utf-8", "replace")


def _lines(status: int, headers: Mapping[str, str]) -> str:
    line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status\r\n"
    if not headers:
        return line
    pairs = pairs_of(headers)
    fields = "\r\n".join([f"{SENT_NAMES[name]}: {value}" for name, value in pairs])
    breaks = len(pairs) - 1
    if fields.count("\n") != breaks or fields.count("\r") != breaks:
        fields = "\r\n".join([_one_line(f"{SENT_NAMES[name]}: {value}") for name, value in pairs])
    return f"{line}{fields}\r\n"


def encode_lines(status: int, headers: Mapping[str, str]) -> bytes:
    """Encode status line and headers, to be gone on with: what ``Response.head`` begins with."""
    return _lines(status, headers).encode("utf-8", "replace")


def encode_switch(headers: Mapping[str, str]) -> bytes:
    """Encode a ``101 Switching Protocols`` head."""
    pairs = list(pairs_of(headers))
    if "connection" not in {name.lower() for name in headers}:
        pairs.append(("Connection", "Upgrade"))
    lines = "".join(f"{_one_line(name)}: {_one_line(value)}\r\n" for name, value in pairs)
    return f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode("utf-8", "replace")


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


def plain_response(status: int, text: str) -> Response:
    """Answer what was no request: a malformed head has no API error to speak of."""
    return Response(status, {"Content-Type": "text/plain; charset=utf-8"}, text.encode())


def error_response(error: StatusError) -> Response:
    """Render an API error as its ``Status``."""
    headers = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after_s)
    return Response(error.status_code, headers, orjson.dumps(error.to_status()))


def too_large(limit_bytes: int) -> Response:
    """Refuse a body, in upstream's words."""
    return error_response(RequestEntityTooLarge(TOO_LARGE.format(limit_bytes)))


def internal_error() -> Response:
    """Answer for a handler that failed; what failed is in the log, not on the wire."""
    return error_response(InternalError("Internal error occurred: the request could not be processed"))
