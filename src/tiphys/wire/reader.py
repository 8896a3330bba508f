"""Reading requests from bytes: the half of a connection that faces the client.

Keeps limits, recognises repeated header blocks, and queues whole requests (or refusals) in order. How they
are written is what ``request_head`` and ``chunks`` know. Serves nothing: ``wire.connection`` takes what
``_pending`` holds.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from functools import partial
from typing import Any, Final, Protocol

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import BadRequest, RequestEntityTooLarge, StatusError
from tiphys.wire import http1
from tiphys.wire.arrival import HELD_S, SLOW_S, Arrival
from tiphys.wire.chunks import ChunkReader
from tiphys.wire.message import AtOnce, Handler, Request, RequestLine, Response, with_value
from tiphys.wire.peer import PeerChains
from tiphys.wire.request_head import CHUNKED, HeadFault, RequestHead, check_line, end_of, read

MAX_HELD_BYTES: Final = 64 * 1024
_LENGTH_DIGITS: Final = 10
"""As many bytes after the last header's name are searched for the end of a body's length."""

_BLANKS: Final = 4
"""As many bytes of line breaks may stand between a POST and the next request."""

_OF_ONE_MESSAGE: Final = ("upgrade", "connection")
"""Headers that say something of their message alone."""

HTTP, HELD, RAW, DISCARD = range(4)
"""What arriving bytes are: requests, kept for an upgrade that may come, raw, or nothing any more."""


class Owner(Protocol):
    """What a connection needs of its server."""

    handler: Handler
    at_once: AtOnce | None
    asks_for_bodies: bool
    max_body_bytes: int
    unasked_bytes: int
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
    arrival: Arrival | None = None


class RequestReader:
    """Turns bytes into ``_pending`` jobs. ``Connection`` completes it with a transport and a handler."""

    _transport: asyncio.Transport
    _peer: str
    _peer_port: int = 0
    _certificates: tuple[bytes, ...] = ()

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._mode = HTTP
        self._pending: deque[Job] = deque()
        self._busy = False
        self._last = False  # no request is taken after the one marked so
        self._active_tick = owner.tick
        # Parsing of the message that is arriving.
        self._partial = bytearray()  # a head that is not all there
        self._begun_tick = 0.0  # when it, or the body behind it, began to come
        self._line_seen = False  # and its request line has been looked at
        self._blanks = 0  # so many bytes of line breaks may come before the next
        self._arriving: RequestHead | None = None
        self._chunks: ChunkReader | None = None
        self._arrival: Arrival | None = None  # of a message that has been queued without its body
        self._body = bytearray()  # one growing block: large ones go back to the system when they are done
        self._in_message = False
        # Of the message that was read last.
        self._completed = 0
        self._plain = False
        self._headers: dict[str, str] = {}
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
        self._blanks = _BLANKS if method == "POST" else 0
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
        """Read requests; what is malformed is answered and ends the connection."""
        fresh, self._completed = not self._in_message, 0
        rest = data
        try:
            while rest and not self._last:
                if self._mode != HTTP:
                    self._held.append(rest)
                    break
                rest = self._take_body(rest) if self._arriving is not None else self._take_head(rest)
        except HeadFault as fault:
            if self._arrival is not None:
                self._fail_arrival(BadRequest(fault.text))
            elif fault.text:
                self._refuse(http1.plain_response(fault.status, fault.text))
            else:
                self._refuse(Response(fault.status))
        if fresh and self._completed == 1 and not self._in_message and self._mode == HTTP:
            self._remember(data)

    def _take_head(self, data: bytes) -> bytes:
        """Read a head if all of it is there; return what is behind it. Raises HeadFault."""
        partial = self._partial
        if partial:
            searched = max(len(partial) - 2, 0)
            partial += data
            found = read(bytes(partial)) if end_of(partial, searched) >= 0 else None
        else:
            data = self._past_blanks(data)
            found = read(data)
        if (found[1] if found else len(partial or data)) > self._owner.max_header_bytes:
            raise HeadFault(431, "431 Request Header Fields Too Large")
        if found is None:
            self._keep_partial(data)
            return b""
        head, end = found
        if partial:
            data = bytes(partial)
            self._partial = bytearray()
            self._line_seen = False
        whole = end + head.length
        if 0 < head.length <= self._owner.max_body_bytes and whole <= len(data) and not head.continues:
            self._complete(head, data[end:whole])  # as most bodies come
            return data[whole:]
        self._begin(head)
        return data[end:]

    def _keep_partial(self, data: bytes) -> None:
        """Keep what there is of a head; its first line is looked at once it is there. Raises HeadFault."""
        if not self._partial:
            self._in_message = bool(data)
            self._partial = bytearray(data)
            self._begun_tick = self._owner.tick
        if not self._line_seen and b"\n" in self._partial:
            self._line_seen = True
            check_line(bytes(self._partial))

    def _past_blanks(self, data: bytes) -> bytes:
        """Skip the few line breaks that old clients send behind what they POST."""
        if self._blanks:
            rest = data.lstrip(b"\r\n")
            skipped = min(len(data) - len(rest), self._blanks)
            self._blanks -= skipped  # each request that is read says anew how many there may be
            return data[skipped:]
        return data

    def _begin(self, head: RequestHead) -> None:
        """Take a message whose head is there. Raises HeadFault."""
        self._in_message, self._begun_tick = True, self._owner.tick
        if head.length > self._owner.max_body_bytes:
            if self._owner.asks_for_bodies and not head.upgrade:
                self._await_body(
                    head, RequestEntityTooLarge(http1.TOO_LARGE.format(self._owner.max_body_bytes))
                )
                self._last = True
            else:
                self._refuse(http1.too_large(self._owner.max_body_bytes))
            return
        self._arriving = head
        if head.length == 0:
            self._complete(head, b"")
            return
        self._chunks = ChunkReader() if head.length == CHUNKED else None
        if head.continues:
            if self._owner.asks_for_bodies and not head.upgrade:
                self._await_body(head)
            elif not (self._busy or self._pending):
                self._transport.write(http1.CONTINUE)

    def _await_body(self, head: RequestHead, fault: StatusError | None = None) -> None:
        """Queue a message whose handler may answer before it has come whole."""
        arrival = self._arrival = Arrival(partial(self._ask, told=head.continues), fault)
        request = self._make_request(head.method, head.target, head.headers, b"")
        request.receive = arrival.take
        request.scope[HELD_S] = self._owner.tick - self._begun_tick
        self._pending.append(Job(request, head.keep_alive, head.http10, arrival=arrival))

    def _ask(self, *, told: bool) -> None:
        """Somebody wants the body: tell the client to send it, where it waits to be ``told``."""

    def _fail_arrival(self, fault: StatusError) -> None:
        """Tell whoever waits for the body that it will not come whole; nothing behind it is taken."""
        arrival, self._arrival = self._arrival, None
        self._last = True
        if arrival is not None:
            arrival.fail(fault)

    def _take_body(self, data: bytes) -> bytes:
        """Read more of a body; return what is behind it. Raises HeadFault."""
        head = self._arriving
        assert head is not None
        rest: bytes | None = b""
        if self._chunks is not None:
            pieces, rest = self._chunks.feed(data)
            for piece in pieces:
                self._body += piece
            if len(self._body) > self._owner.max_body_bytes:
                self._refuse_body()
                return b""
            if rest is None:
                self._have_looked_at(head)
                return b""
        else:
            left = head.length - len(self._body)
            if len(data) > left:
                data, rest = data[:left], data[left:]
            self._body += data
            if len(self._body) < head.length:
                self._have_looked_at(head)
                return b""
        body, self._body = bytes(self._body), bytearray()
        self._complete(head, body)
        return rest or b""

    def _look_at_slow(self, now: float) -> bool:
        """Let the handler look at a request whose body is still to come after a while; True where it does."""
        head, owner = self._arriving, self._owner
        slow = head is not None and self._arrival is None and now - self._begun_tick > SLOW_S
        if head is None or not (slow and owner.asks_for_bodies) or head.upgrade:
            return False
        self._await_body(head)
        return True

    def _have_looked_at(self, head: RequestHead) -> None:
        """Let the handler say whether it wants a long body before all of it is kept."""
        owner = self._owner
        is_long = len(self._body) > owner.unasked_bytes
        if is_long and self._arrival is None and owner.asks_for_bodies and not head.upgrade:
            self._await_body(head)

    def _remember(self, data: bytes) -> None:
        """Keep the header block of a plain request, to know it again byte for byte."""
        line, _, rest = data.partition(b"\r\n")
        headers = self._headers
        if not (self._plain and headers.keys().isdisjoint(_OF_ONE_MESSAGE)):
            return
        if "content-length" in headers:
            self._remember_write(line, rest)
        elif rest.endswith(b"\r\n\r\n") and http1.REQUEST_LINE.fullmatch(line):
            self._block, self._block_headers, self._block_memo = b"\r\n" + rest, headers, {}

    def _remember_write(self, line: bytes, rest: bytes) -> None:
        head, _, body = rest.partition(b"\r\n\r\n")
        length = b"%d" % len(body)
        if self._headers["content-length"].encode() != length or not http1.WRITE_LINE.fullmatch(line):
            return
        block = b"\r\n%b\r\n\r\n" % head
        for name in (b"\r\nContent-Length: ", b"\r\ncontent-length: "):
            before, found, after = block.partition(b"%b%b\r\n" % (name, length))
            if found:
                break
        else:
            return
        self._body_block, self._body_digits = (before + name, b"\r\n" + after), length
        self._body_headers, self._body_memo = self._headers, {}

    def _refuse_body(self) -> None:
        """Refuse one that turns out too long."""
        if self._arrival is None:
            self._refuse(http1.too_large(self._owner.max_body_bytes))
        else:
            self._fail_arrival(RequestEntityTooLarge(http1.TOO_LARGE.format(self._owner.max_body_bytes)))

    def _complete(self, head: RequestHead, body: bytes) -> None:
        """Queue the message that has just been read whole."""
        self._in_message, self._arriving, self._chunks = False, None, None
        self._blanks = _BLANKS if head.method == "POST" else 0
        self._plain, self._headers = head.plain, head.headers
        self._completed += 1
        keep_alive = head.keep_alive or head.upgrade
        if self._arrival is not None:
            self._arrival.end(body)
            self._arrival = None
            self._last = not keep_alive
            return
        request = self._make_request(head.method, head.target, head.headers, body)
        general = Response(200, {}) if head.method == "OPTIONS" and head.target == b"*" else None
        self._pending.append(Job(request, keep_alive, head.http10, answer=general, upgradable=head.upgrade))
        if head.upgrade:
            self._mode = HELD
        elif not keep_alive:
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

    # -- upgrades: until the handler has answered nobody knows what the bytes after the request are

    def _release_held(self) -> None:
        """No upgrade came of it: what was held are requests."""
        self._mode = HTTP
        held, self._held = b"".join(self._held), []
        if held:
            self._feed(held)
