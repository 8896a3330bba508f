"""Reading requests from bytes: the half of a connection that faces the client.

Feeds httptools, keeps limits, recognises repeated header blocks, and queues whole requests (or refusals) in
order. Serves nothing: ``wire.connection`` takes what ``_pending`` holds.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Any, Final, Protocol

import httptools

from tiphys.apimachinery.dataclass import dataclass
from tiphys.wire import http1
from tiphys.wire.message import AtOnce, Handler, RepeatedHeaders, Request, RequestLine, Response, with_value
from tiphys.wire.peer import PeerChains

MAX_HELD_BYTES: Final = 64 * 1024
_LENGTH_DIGITS: Final = 10
"""As many bytes after the last header's name are searched for the end of a body's length."""

HTTP, HELD, RAW, DISCARD = range(4)
"""What arriving bytes are: requests, kept for an upgrade that may come, raw, or nothing any more."""


class Owner(Protocol):
    """What a connection needs of its server."""

    handler: Handler
    at_once: AtOnce | None
    max_body_bytes: int
    max_header_bytes: int
    tick: float
    date: str
    date_bytes: bytes
    connections: set[Any]
    timed: set[Any]
    """Connections whose silence counts: none with a stream or an upgrade that its peer keeps up with."""
    lines: http1.RequestLines
    peers: PeerChains
    buffer: memoryview
    """Where reads of every connection arrive; empty again when ``buffer_updated`` returns."""

    def framed(self, chunk: bytes) -> bytes:
        """Return a chunk of a stream in HTTP's framing."""
        ...


@dataclass(slots=True)
class Job:
    """A request that waits its turn; ``answer`` is set when the server itself answers."""

    request: Request
    keep_alive: bool
    http10: bool = False
    answer: Response | None = None
    upgradable: bool = False
    linger: bool = False


class _RefusedError(Exception):
    """Raised out of a parser callback after the refusal has been queued."""


class RequestReader:
    """Turns bytes into ``_pending`` jobs. ``Connection`` completes it with a transport and a handler."""

    _transport: asyncio.Transport
    _peer: str
    _peer_port: int = 0
    _certificates: tuple[bytes, ...] = ()

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._mode = HTTP
        self._parser = self._new_parser()
        self._pending: deque[Job] = deque()
        self._busy = False
        self._last = False  # no request is taken after the one marked so
        self._active_tick = owner.tick
        # Parsing of the message that is arriving.
        self._target = b""
        self._other_method = ""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._in_head = False
        self._in_message = False
        self._completed = 0
        self._doubtful = False  # others may take the message's end to be elsewhere
        # The header block of the last plain request, and what it parsed to: clients repeat themselves.
        self._block: bytes | None = None
        self._block_headers: dict[str, str] = {}
        self._block_memo: dict[Any, Any] = {}
        # The same of the last request with a body: what stands before and after the digits of its length.
        self._body_block: tuple[bytes, bytes] | None = None
        self._body_digits = b""
        self._body_headers: dict[str, str] = {}
        self._body_memo: dict[Any, Any] = {}
        # Upgrades.
        self._held: list[bytes] = []
        self._upgrade_body_left = 0

    def _new_parser(self) -> Any:
        """Make a parser that leaves what is said of a body's framing to ``_settle_framing``."""
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_chunked_length=True, lenient_transfer_encoding=True)
        return parser

    def _known_line(self, data: bytes) -> RequestLine | None:
        """Read the line of a request whose header block is, byte for byte, the one before it; or None."""
        block = self._block
        if block is None or self._in_message or self._last or not data.endswith(block):
            return None
        return self._line(data[: -len(block)], http1.REQUEST_LINE)

    def _line(self, line: bytes, plain: re.Pattern[bytes]) -> RequestLine | None:
        """Read a request line that is ``plain``; None: any other, which is the parser's."""
        parsed = self._owner.lines.get(line)
        if parsed is None:
            match = plain.fullmatch(line)
            if match is None or http1.is_malformed(match[2]):
                return None
            parsed = (match[1].decode(), *http1.split_target(match[2]))
            self._owner.lines.add(line, parsed)
        return parsed

    def _known_write(self, data: bytes) -> Request | None:
        """Return a request with a body whose header block is that of the one before it; None if it is not.

        But for the length, that is. All of the body must have come, and nothing more.
        """
        if self._body_block is None or self._in_message or self._last:
            return None
        before, after = self._body_block
        at = data.find(b"\r\n")
        if at < 0 or not data.startswith(before, at):
            return None
        start = at + len(before)
        end = data.find(b"\r\n", start, start + _LENGTH_DIGITS)
        digits = data[start:end]
        if end < 0 or not digits.isdigit() or not data.startswith(after, end):
            return None
        body = data[end + len(after) :]
        if len(body) != int(digits) or len(body) > self._owner.max_body_bytes:
            return None
        line = self._line(data[:at], http1.WRITE_LINE)
        if line is None:
            return None
        if digits != self._body_digits:
            self._body_digits = digits
            self._body_headers = with_value(self._body_headers, "content-length", digits.decode())
        method, path, raw_path, query = line
        return Request(
            method, path, query, self._body_headers, body, self._peer, self._certificates, raw_path,
            memo=self._body_memo, peer_port=self._peer_port,
        )  # fmt: skip

    def _known_request(self, line: RequestLine) -> Request:
        method, path, raw_path, query = line
        return Request(
            method, path, query, self._block_headers, b"", self._peer, self._certificates, raw_path,
            memo=self._block_memo, peer_port=self._peer_port,
        )  # fmt: skip

    def _feed(self, data: bytes) -> None:
        """Give bytes to the parser; what is malformed is answered and ends the connection."""
        if self._last:
            return
        fresh = not self._in_message
        if fresh and (other := http1.OTHER_METHOD.match(data)):
            self._other_method = other[1].decode()
            data = http1.STAND_IN + data[other.end(1) :]
        in_head = self._in_head
        self._completed = 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade_parsed(data[upgrade.args[0] :])
            return
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, _RefusedError):
                raise
            return
        except httptools.HttpParserError:
            if not self._last:
                self._refuse(http1.plain_response(400, "400 Bad Request"))
            return
        if in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._owner.max_header_bytes:
                self._refuse(http1.plain_response(431, "431 Request Header Fields Too Large"))
        elif fresh and self._completed == 1 and not self._in_message:
            self._remember(data)

    def _remember(self, data: bytes) -> None:
        """Keep the header block of a plain request, to know it again byte for byte."""
        line, _, rest = data.partition(b"\r\n")
        headers = self._headers
        if headers.keys() & {"transfer-encoding", "upgrade", "expect", "connection"}:
            return
        if "content-length" in headers:
            self._remember_write(line, rest)
        elif rest.endswith(b"\r\n\r\n") and http1.REQUEST_LINE.fullmatch(line):
            self._block, self._block_headers, self._block_memo = b"\r\n" + rest, headers, {}

    def _remember_write(self, line: bytes, rest: bytes) -> None:
        head, _, body = rest.partition(b"\r\n\r\n")
        parts = http1.CONTENT_LENGTH.split(b"\r\n%b\r\n\r\n" % head)
        if len(parts) != 3 or parts[1] != b"%d" % len(body) or not http1.WRITE_LINE.fullmatch(line):
            return
        self._body_block, self._body_digits = (parts[0], parts[2]), parts[1]
        self._body_headers, self._body_memo = self._headers, {}

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = {}
        self._body = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._in_head = self._in_message = True

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes | None) -> None:
        key = http1.header_name(name)
        text = value.decode("latin-1").rstrip(" \t") if value else ""
        headers = self._headers
        if not self._in_head:
            pass  # a trailer: whoever looked at the head has not seen it
        elif key not in headers:
            headers[key] = text
        elif key == "host":
            self._refuse(http1.plain_response(400, "400 Bad Request: too many Host headers"))
            raise _RefusedError
        elif isinstance(headers, RepeatedHeaders):
            headers.repeat(key, text)
        else:
            self._headers = again = RepeatedHeaders(headers)
            again.repeat(key, text)
        self._head_bytes += len(name) + len(text) + 4
        if self._head_bytes > self._owner.max_header_bytes:
            self._refuse(http1.plain_response(431, "431 Request Header Fields Too Large"))
            raise _RefusedError

    def on_headers_complete(self) -> None:
        self._in_head = False
        headers = self._headers
        if "transfer-encoding" in headers:
            self._settle_framing(headers)
        if self._headers.get("expect", "100-continue").lower() != "100-continue":
            self._refuse(Response(417))
            raise _RefusedError
        refused = self._head_fault()
        if refused:
            self._refuse(http1.plain_response(int(refused[:3]), refused))
            raise _RefusedError
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._owner.max_body_bytes:
            self._refuse(http1.too_large(self._owner.max_body_bytes))
            raise _RefusedError
        if (
            headers.get("expect", "").lower() == "100-continue"
            and not (self._busy or self._pending)
            and self._parser.get_http_version() == "1.1"
        ):
            self._transport.write(http1.CONTINUE)

    def _settle_framing(self, headers: dict[str, str]) -> None:
        """Take a body in chunks, whatever its length is said to be, and in no other encoding: as Go does.

        Where another might see the message end elsewhere, what follows it is not taken for a request.
        """
        if headers["transfer-encoding"].lower() != "chunked":
            self._refuse(http1.plain_response(501, "Unsupported transfer encoding"))
            raise _RefusedError
        said = headers.pop("content-length", None)
        self._doubtful = said is not None or self._parser.get_http_version() != "1.1"

    def _head_fault(self) -> str:
        """Return what is wrong with a head that is there; empty: nothing."""
        version = self._parser.get_http_version()
        if len(self._target) > self._owner.max_header_bytes:
            return "431 Request Header Fields Too Large"
        if http1.is_malformed(self._target):
            return "400 Bad Request"
        if version[0] != "1":
            return "505 HTTP Version Not Supported: unsupported protocol version"
        if "host" not in self._headers and version == "1.1":
            return "400 Bad Request: missing required Host header"
        return ""

    def on_body(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes > self._owner.max_body_bytes:
            self._refuse(http1.too_large(self._owner.max_body_bytes))
            raise _RefusedError
        self._body.append(data)

    def on_message_complete(self) -> None:
        self._in_message = False
        self._completed += 1
        if self._parser.should_upgrade():
            return  # _upgrade_parsed goes on
        body = self._body
        self._complete(b"" if not body else body[0] if len(body) == 1 else b"".join(body))

    def _complete(self, body: bytes, *, upgradable: bool = False) -> None:
        """Queue the message that has just been read whole."""
        method = self._other_method or self._parser.get_method().decode()
        self._other_method = ""
        keep_alive = upgradable or (self._parser.should_keep_alive() and not self._doubtful)
        request = self._make_request(method, self._target, self._headers, body)
        http10 = self._parser.get_http_version() == "1.0"
        general = Response(200, {}) if method == "OPTIONS" and self._target == b"*" else None
        self._pending.append(Job(request, keep_alive, http10, answer=general, upgradable=upgradable))
        if not keep_alive:
            self._last = True

    def _make_request(self, method: str, target: bytes, headers: dict[str, str], body: bytes) -> Request:
        path, raw_path, query = http1.split_target(target)
        return Request(
            method, path, query, headers, body, self._peer, self._certificates, raw_path,
            peer_port=self._peer_port,
        )  # fmt: skip

    def _refuse(self, response: Response) -> None:
        """Answer in place of the handler, in turn, and take nothing more."""
        self._last = True
        self._pending.append(Job(Request("GET", "/"), keep_alive=False, answer=response, linger=True))

    # -- upgrades: until the handler has answered nobody knows what the bytes after the head are

    def _upgrade_parsed(self, rest: bytes) -> None:
        self._mode = HELD
        length = self._headers.get("content-length", "0")
        if "transfer-encoding" in self._headers:
            self._refuse(http1.plain_response(400, "400 Bad Request"))
            return
        self._upgrade_body_left = int(length) if length.isdigit() else 0
        if self._upgrade_body_left == 0:
            self._complete(b"", upgradable=True)
        self._hold(rest)

    def _hold(self, data: bytes) -> None:
        left = self._upgrade_body_left
        if left:
            self._body.append(data[:left])
            self._upgrade_body_left = left - len(data[:left])
            data = data[left:]
            if self._upgrade_body_left == 0:
                self._complete(b"".join(self._body), upgradable=True)
        if data:
            self._held.append(data)

    def _release_held(self) -> None:
        """No upgrade came of it: what was held are requests."""
        self._mode = HTTP
        held, self._held = b"".join(self._held), []
        self._parser = self._new_parser()
        self._in_message = self._in_head = False
        if held:
            self._feed(held)
