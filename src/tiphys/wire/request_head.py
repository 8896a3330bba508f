"""The heads of requests of HTTP/1: from bytes to what they say, read and refused as Go's server does. Pure.

Owns: where a head ends, how its fields are written, how long its body is and whether the connection outlives
it. Refuses: bodies (``chunks``), what a target means (``http1``). ``wire.reader`` calls it for every request
whose header block it does not know byte for byte.

Lines may end in a bare line feed and values may go on on further lines, as Go takes them; where two could see
a message end in different places, ``docs/decisions/heads-of-requests.md`` says what is done.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from tiphys.apimachinery.dataclass import dataclass
from tiphys.wire import http1
from tiphys.wire.message import RepeatedHeaders

CHUNKED: Final = -1
"""The length of a body that says itself where it ends."""
_BLANK: Final = " \t"
_END: Final = b"\r\n\r\n"
_SHORT_BYTES: Final = 4096
"""Data that is mostly one head: it is read from behind."""
_ALL_CONTROLS: Final = bytes((*range(32), 127))
_CONTROLS: Final = bytes(one for one in (*range(32), 127) if one not in b"\t\n\r")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION: Final = re.compile(r"HTTP/([0-9])\.([0-9])")
_HOST: Final = re.compile(r"[0-9A-Za-z!$%&'()*+,\-.:;=\[\]_~]*")
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_TRAILERS: Final = frozenset({"transfer-encoding", "trailer", "content-length"})
_LONGEST_LENGTH: Final = 1 << 63


class HeadFault(Exception):
    """A head that is refused: the status, and the line that says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class _Keys(dict[str, str]):
    """Names of fields as sent, and in small letters: those that clients send are known after once."""

    _LIMIT: Final = 500
    _LONGEST: Final = 64

    def __missing__(self, name: str) -> str:
        if not _TOKEN.fullmatch(name):
            _malformed()
        key = name.lower()
        if len(self) < self._LIMIT and len(name) <= self._LONGEST:
            self[name] = key
        return key


_KEYS: Final = _Keys()


@dataclass(slots=True)
class RequestHead:
    """What a head says."""

    method: str
    target: bytes
    headers: dict[str, str]
    """Small names; repeated ones as ``Request`` has them."""
    length: int = 0
    """Bytes of the body, or ``CHUNKED``."""
    http10: bool = False
    keep_alive: bool = True
    """Whether another request may follow."""
    continues: bool = False
    """The client waits to be asked for the body."""
    upgrade: bool = False
    """The client would speak another protocol from here on."""
    plain: bool = True
    """Each line ends in both bytes and is a field of its own that is in the headers; no body is in chunks."""


def end_of(data: bytes | bytearray, start: int = 0) -> int:
    """Return where a head ends, behind its empty line; -1: not all of it is there."""
    at = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, at + 1 if at >= 0 else len(data))
    if bare >= 0:
        return bare + 2
    return at + 3 if at >= 0 else -1


def check_line(data: bytes) -> None:
    """Look at a request line whose head is not all there. Raises HeadFault, as ``read`` would."""
    _request_line(data.partition(b"\n")[0].removesuffix(b"\r").decode("latin-1"))


def read(data: bytes) -> tuple[RequestHead, int] | None:
    """Return what the head says that data begins with, and where it ends; None: not all of it is there.

    Raises HeadFault.
    """
    size = len(data)
    if size <= _SHORT_BYTES and data.endswith(_END) and (head := _plain(data[:-4])) is not None:
        return head, size
    end = data.find(_END)
    if end >= 0 and (end + 4 < size or size > _SHORT_BYTES) and (head := _plain(data[:end])) is not None:
        return head, end + 4
    end = end_of(data)
    if end < 0:
        return None
    block = data[:end]
    if len(block.translate(None, _CONTROLS)) != end:
        _malformed()
    text = block.decode("latin-1")
    breaks = text.count("\r\n")
    lines = _unfolded(text)
    plain = breaks == text.count("\n") == text.count("\r") == len(lines) - 1
    plain = plain and text.lower().count("content-length:") < 2
    return _settled(_request_line(lines[0]), fields(lines[1:]), plain=plain), end


def _plain(block: bytes) -> RequestHead | None:
    """Return what a head says that has nothing unusual about it; None: it has. Raises HeadFault."""
    line, *lines = block.decode("latin-1").split("\r\n")
    if len(block) - len(block.translate(None, _ALL_CONTROLS)) != 2 * len(lines):
        return None
    headers: dict[str, str] = {}
    known = _KEYS.get
    for each in lines:
        name, colon, value = each.partition(":")
        key = known(name)
        if key is None or not colon or key in headers:
            return None
        headers[key] = value.strip(" ")
    return _settled(_request_line(line), headers, plain=True)


def _settled(line: tuple[str, bytes, str], headers: dict[str, str], *, plain: bool) -> RequestHead:
    method, target, version = line
    head = RequestHead(method, target, headers)
    head.plain = plain
    if version != "HTTP/1.1":
        head.http10 = version < "HTTP/1.1"
    if "transfer-encoding" in headers or "content-length" in headers:
        _settle_framing(head)
    if not version.startswith("HTTP/1."):
        raise HeadFault(505, "505 HTTP Version Not Supported: unsupported protocol version")
    host = headers.get("host")
    if host is None or not _HOST.fullmatch(host):
        _check_no_host(head)
    if "connection" in headers or head.http10:
        _settle_connection(head)
    if "expect" in headers:
        _settle_expectation(head)
    return head


def _malformed() -> NoReturn:
    raise HeadFault(400, "400 Bad Request")


def _unfolded(text: str) -> list[str]:
    """Return the lines of a head, each with those that it goes on on."""
    found: list[list[str]] = []
    for raw in text.split("\n"):
        line = raw.removesuffix("\r")
        if "\r" in line:
            _malformed()
        if line[:1] not in (" ", "\t"):
            found.append([line])
        elif len(found) < 2:  # a request line goes on nowhere
            _malformed()
        else:
            _go_on(found[-1], line.strip(_BLANK))
    return [parts[0] if len(parts) == 1 else " ".join(parts) for parts in found]


def _go_on(parts: list[str], more: str) -> None:
    """Add a further line's text to those of a field, which are joined by one blank each."""
    if len(parts) == 1:
        parts[0] = parts[0].rstrip(_BLANK)
    elif not parts[-1]:
        parts.pop()
    parts.append(more)


def _request_line(line: str) -> tuple[str, bytes, str]:
    """Return method, target and version. Raises HeadFault."""
    method, _, rest = line.partition(" ")
    target, _, version = rest.partition(" ")
    if method not in _METHODS and not _TOKEN.fullmatch(method):
        _malformed()
    if version != "HTTP/1.1" and not _VERSION.fullmatch(version):
        _malformed()
    if not (target.startswith("/") or target == "*" or _ABSOLUTE.match(target)) and (
        not target or method != "CONNECT"
    ):
        _malformed()
    sent = target.encode("latin-1")
    if "%" in target and http1.is_malformed(sent):
        _malformed()
    return method, sent, version


def fields(lines: list[str]) -> dict[str, str]:
    """Return the fields in lines, up to the empty one. Raises HeadFault."""
    headers: dict[str, str] = {}
    for line in lines:
        if not line:
            break
        name, colon, value = line.partition(":")
        if not colon:
            _malformed()
        key = _KEYS[name]
        if key not in headers:
            headers[key] = value.strip(_BLANK)
        else:
            headers = _again(headers, key, value.strip(_BLANK))
    if isinstance(headers, RepeatedHeaders):
        headers.settle()
    return headers


def _again(headers: dict[str, str], key: str, value: str) -> dict[str, str]:
    """Return headers with one more value of what is there."""
    if key == "host":
        raise HeadFault(400, "400 Bad Request: too many Host headers")
    if key == "content-length":
        if headers[key] != value:
            _malformed()
        return headers
    if not isinstance(headers, RepeatedHeaders):
        headers = RepeatedHeaders(headers)
    headers.add(key, value)
    return headers


def _settle_framing(head: RequestHead) -> None:
    """Find how long the body is. Raises HeadFault.

    Where another might see the message end elsewhere, what follows it is not taken for a request.
    """
    headers = head.headers
    said = headers.get("content-length")
    if said is not None:
        if not (said.isascii() and said.isdigit()) or len(said) > 1000 or int(said) >= _LONGEST_LENGTH:
            _malformed()
        head.length = int(said)
    if "transfer-encoding" not in headers:
        return
    encoding = headers.pop("transfer-encoding")
    if head.http10:
        head.keep_alive = False
        return
    if encoding.lower() != "chunked":
        raise HeadFault(501, "Unsupported transfer encoding")
    head.length, head.plain = CHUNKED, False  # no bytes alone say where such a body ends
    if said is not None:
        del headers["content-length"]
        head.keep_alive = False
    told = headers.pop("trailer", "")
    if told and not _NO_TRAILERS.isdisjoint(_tokens(told)):
        _malformed()


def _check_no_host(head: RequestHead) -> None:
    """Raise HeadFault unless a request can do without a host."""
    if "host" in head.headers:
        raise HeadFault(400, "400 Bad Request: malformed Host header")
    if not head.http10 and head.method != "CONNECT":
        raise HeadFault(400, "400 Bad Request: missing required Host header")


def _settle_connection(head: RequestHead) -> None:
    tokens = _tokens(head.headers.get("connection", ""))
    if "close" in tokens or (head.http10 and "keep-alive" not in tokens):
        head.keep_alive = False
    head.upgrade = "upgrade" in tokens and "upgrade" in head.headers


def _settle_expectation(head: RequestHead) -> None:
    if "100-continue" in _tokens(head.headers["expect"]):
        head.continues = head.length != 0 and not head.http10
        head.plain = False
        del head.headers["expect"]  # it is between the two of us
    elif head.headers["expect"]:
        raise HeadFault(417, "")


def _tokens(value: str) -> list[str]:
    return [one.strip(_BLANK).lower() for one in value.split(",")]
