"""One outgoing HTTP/1.1 request, mostly on a connection of its own, raw enough to carry an upgrade.

Used where requests are passed on (API server to kubelet, pods, services): the answer's head first, then its
body as it comes, or after ``101`` the bare connection. Components' own API calls use ``client.transport``.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import field

import httptools

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.go_text import quoted
from tiphys.wire.dial import Resolved, Tunnel, TunnelFailed, dial
from tiphys.wire.upgrade import RawStream

_MAX_HEAD_BYTES = 1 << 16
_MOST_NOTICES = 6
_BROKEN = "net/http: HTTP/1.x transport connection broken: "
_STATUS = re.compile("[0-9]{3}")
_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")


class ConnectFailed(TiphysError):
    """The other side cannot be reached, or does not speak HTTP."""


class _Silence(ConnectionError):
    """The end came before the first byte."""


class NothingSaid(ConnectFailed):
    """The other side has closed the connection before it said anything."""


class CutOff(ConnectFailed, ConnectionError):
    """The other side has closed the connection within its answer."""


@dataclass(slots=True)
class _Parsed:
    """What httptools calls back into."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    head_done: bool = False
    done: bool = False
    bodiless: bool = False
    """The kind of answer that has no body, whatever its head says of one."""
    goes_on: bool = False
    """The other side waits for another request behind this answer."""
    parser: httptools.HttpResponseParser | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_message_begin(self) -> None:
        self.goes_on = self.goes_on and not self.done  # what nobody has asked for is not the next answer

    def on_headers_complete(self) -> None:
        self.head_done = True
        self.goes_on = not self.done and self.parser is not None and bool(self.parser.should_keep_alive())

    def on_body(self, data: bytes) -> None:
        self.chunks.append(data)

    def on_message_complete(self) -> None:
        self.done = True


@dataclass(frozen=True, slots=True)
class Asked:
    """A request; ``headers`` are pairs where a name must repeat."""

    method: str
    target: str
    headers: Mapping[str, str] | Sequence[tuple[str, str]]
    body: bytes = b""


class Answer:
    """An answer whose head has arrived. Must be closed."""

    def __init__(
        self, status: int, parsed: _Parsed, parser: httptools.HttpResponseParser, raw: RawStream
    ) -> None:
        self.status = status
        self.headers = parsed.headers
        self._parsed = parsed
        self._parser = parser
        self.raw = raw
        """After 101: the bare connection, what came behind the head included."""
        self.keeper: Callable[[RawStream], None] | None = None
        """Takes the connection where another request may follow."""

    def header(self, name: str) -> str:
        """Return a header's first value, empty without it."""
        return next((value for own, value in self.headers if own.lower() == name.lower()), "")

    @property
    def is_bodiless(self) -> bool:
        """Tell whether there is no body, whatever the head says of one."""
        return self._parsed.bodiless

    @property
    def length(self) -> int | None:
        """Bytes of the body (to a HEAD: of what a GET's would be) as declared; None: nobody knows."""
        declared = self.header("content-length")
        if not (declared.isascii() and declared.isdigit()) or self.header("transfer-encoding"):
            return None
        return int(declared)

    async def body(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes. Raises CutOff where its end is missing, else ConnectFailed."""
        while True:
            chunks, self._parsed.chunks = self._parsed.chunks, []
            for chunk in chunks:
                yield chunk
            if self._parsed.done:
                return
            data = await self.raw.read()
            if not data and self._tells_its_end():
                raise CutOff("unexpected EOF")
            if not data:
                return
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError as error:
                raise ConnectFailed(f"malformed response body: {error}") from error

    def _tells_its_end(self) -> bool:
        """Whether the body has an end other than that of the connection."""
        return bool(self.header("content-length")) or "chunked" in self.header("transfer-encoding").lower()

    async def read(self) -> bytes:
        """Return the whole body. Raises as ``body`` does."""
        return b"".join([chunk async for chunk in self.body()])

    async def close(self) -> None:
        """End the connection, or give it back to its keeper once all has been read."""
        keeper, self.keeper = self.keeper, None
        if keeper is not None and self._parsed.done and self._parsed.goes_on and self.raw.is_silent:
            keeper(self.raw)
        else:
            await self.raw.close()


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def connect(
    host: str,
    port: int,
    *,
    ssl_context: ssl.SSLContext | None,
    server_name: str | None,
    timeout_s: float,
    through: Tunnel | None = None,
    resolved: Resolved | None = None,
) -> RawStream:
    """Raises ConnectFailed."""
    try:
        return await dial(
            host, port, ssl_context=ssl_context, server_name=server_name, timeout_s=timeout_s,
            through=through, resolved=resolved,
        )  # fmt: skip
    except TunnelFailed as error:
        raise ConnectFailed(str(error)) from error
    except (OSError, ssl.SSLError, TimeoutError, ValueError) as error:  # the last: no name of a host
        reason = str(error) or "i/o timeout"
        raise ConnectFailed(f"dial tcp {_address(host, port)}: {reason}") from error


async def send(
    host: str,
    port: int,
    method: str,
    target: str,
    headers: Mapping[str, str] | Sequence[tuple[str, str]],
    *,
    body: bytes = b"",
    ssl_context: ssl.SSLContext | None = None,
    connect_timeout_s: float = 10.0,
    server_name: str | None = None,
    through: Tunnel | None = None,
) -> Answer:
    """Send a request and return the answer once its head is here. Raises ConnectFailed.

    ``headers`` are pairs where a name must repeat. ``server_name`` is what the certificate must be for where
    that is not ``host``.
    """
    stream = await connect(
        host, port, ssl_context=ssl_context, server_name=server_name, timeout_s=connect_timeout_s,
        through=through,
    )  # fmt: skip
    return await exchange(stream, _address(host, port), Asked(method, target, headers, body))


async def exchange(stream: RawStream, where: str, asked: Asked) -> Answer:
    """Send a request over a connection that stands. Raises ConnectFailed, then the connection is closed.

    ``where`` is the address that the connection leads to.
    """
    method, headers, body = asked.method, asked.headers, asked.body
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    try:
        lines = [f"{method} {asked.target} HTTP/1.1", *(f"{name}: {value}" for name, value in pairs)]
        if any("\r" in line or "\n" in line for line in lines):
            raise ConnectionError("a line break in a request's head")
        if "host" not in {name.lower() for name, _ in pairs}:
            lines.append(f"Host: {where}")
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        await stream.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return await _answer(stream, method)
    except (ConnectionError, ssl.SSLError, httptools.HttpParserError, UnicodeError) as error:
        await stream.close()
        failed = (
            NothingSaid
            if isinstance(error, _Silence | ConnectionResetError | BrokenPipeError)
            else ConnectFailed
        )
        raise failed(f"{method} {where}: {error}") from error
    except BaseException:
        await stream.close()
        raise


async def _head(stream: RawStream, head: bytearray) -> int:
    """Read until a head is whole; return where it ends."""
    while (end := head.find(b"\r\n\r\n")) < 0:
        line, ended, _ = head.partition(b"\n")
        if ended:
            _status(line)  # what is no HTTP may well never end
        data = await stream.read()
        if not data:
            raise ConnectionError(f"{_BROKEN}unexpected EOF") if head else _Silence("EOF")
        if len(head) > _MAX_HEAD_BYTES:
            raise ConnectionError("response head too large")
        head += data
    return end


def _status(line: bytes | bytearray) -> int:
    """Return the status of an answer's first line. Raises ConnectionError."""
    text = line.rstrip(b"\r").decode("latin-1")
    version, space, rest = text.partition(" ")
    status = rest.lstrip(" ").partition(" ")[0]
    if not space:
        raise ConnectionError(f"{_BROKEN}malformed HTTP response {quoted(text)}")
    if not _STATUS.fullmatch(status):
        raise ConnectionError(f"{_BROKEN}malformed HTTP status code {quoted(status)}")
    if not _VERSION.fullmatch(version):
        raise ConnectionError(f"{_BROKEN}malformed HTTP version {quoted(version)}")
    return int(status)


async def _answer(stream: RawStream, method: str) -> Answer:
    head = bytearray()
    for _ in range(_MOST_NOTICES):
        end = await _head(stream, head)
        status = _status(head.partition(b"\n")[0])
        if status >= 200 or status == 101:
            break
        del head[: end + 4]  # a notice: the answer comes behind it
    else:
        raise ConnectionError("net/http: too many 1xx informational responses")
    parsed = _Parsed()
    parser = parsed.parser = httptools.HttpResponseParser(parsed)
    if status == 101:
        for line in bytes(head[:end]).split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            parsed.on_header(name, value.strip())
        stream.unread(bytes(head[end + 4 :]))
        return Answer(status, parsed, parser, stream)
    parser.feed_data(bytes(head))
    if method == "HEAD" or status in (204, 304):
        parsed.done = parsed.bodiless = True
    return Answer(status, parsed, parser, stream)
