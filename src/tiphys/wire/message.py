"""Requests and responses as plain values: the border between sockets and handlers.

``wire.server`` makes a ``Request`` from a connection; an in-process client makes one directly. Handlers
(API server, kubelet) are ``async (Request) -> Response`` and know no HTTP library.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import parse_qs

from tiphys.apimachinery.dataclass import dataclass

if TYPE_CHECKING:
    from tiphys.wire.known_head import KnownHead


class ByteStream(Protocol):
    """Raw bytes both ways after an upgrade."""

    async def read(self) -> bytes:
        """Return the next bytes; ``b""`` once the peer has finished."""
        ...

    async def write(self, data: bytes) -> None:
        """Send, waiting while the peer is slow. Raises ConnectionError when it is gone."""
        ...

    async def close(self) -> None:
        """Close both ways. Idempotent."""
        ...


HOP_HEADERS: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade"}
    | {"proxy-connection", "proxy-authenticate", "proxy-authorization"}
)
"""What concerns one connection: who passes a message on says it anew, or not at all."""
_FIRST_COUNTS: Final = frozenset({"accept", "content-type", "user-agent"})


class RepeatedHeaders(dict[str, str]):
    """Headers some of which came several times; ``each`` has their values apart.

    They are joined, but for those of which upstream reads the first alone.
    """

    __slots__ = ("each",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        self.each: dict[str, list[str]] = {}

    def repeat(self, name: str, value: str) -> None:
        """Add one more value of a header that is there."""
        self.add(name, value)
        self.settle()

    def add(self, name: str, value: str) -> None:
        """As ``repeat``, where others may follow: ``settle`` must."""
        self.each.setdefault(name, [self[name]]).append(value)

    def settle(self) -> None:
        """Join what was repeated: each header once, for there may be 100,000 values of it."""
        for name, values in self.each.items():
            if name not in _FIRST_COUNTS:
                self[name] = ", ".join(values)


def with_value(headers: dict[str, str], name: str, value: str) -> dict[str, str]:
    """Return headers with another value of one that comes once; those that repeat stay apart."""
    changed = {**headers, name: value}
    if isinstance(headers, RepeatedHeaders):
        each, changed = headers.each, RepeatedHeaders(changed)
        changed.each = each
    return changed


def values_of(headers: Mapping[str, str], name: str) -> list[str]:
    """Return a header's values as they were sent: one that has a comma in it is still one.

    Who somebody is must be read by this: a group may be called ``a, b``. Text is UTF-8 where it can be.
    """
    if name not in headers:
        return []
    apart = headers.each.get(name) if isinstance(headers, RepeatedHeaders) else None
    return [text_of(value) for value in apart or (headers[name],)]


def pairs_of(headers: Mapping[str, str]) -> Collection[tuple[str, str]]:
    """Return names and values as they are to be sent: each value of what is there several times by itself."""
    if not isinstance(headers, RepeatedHeaders):
        return headers.items()
    each = headers.each
    return [(name, value) for name, joined in headers.items() for value in each.get(name) or (joined,)]


def named_hop_headers(pairs: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return what ``Connection`` says to be for the next hop alone, in lower case."""
    said = ",".join(value for name, value in pairs if name.lower() == "connection")
    return frozenset(token.strip().lower() for token in said.split(","))


def text_of(value: str) -> str:
    """Read as UTF-8 what the wire took for Latin-1."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def wire_text(text: str) -> str:
    """Return what a header must hold for ``values_of`` to read this text."""
    return text if text.isascii() else text.encode().decode("latin-1")


@dataclass(slots=True)
class Request:
    """One HTTP request, body read whole (the server refuses bodies over its limit with 413)."""

    method: str
    path: str
    """Percent-decoded path."""
    raw_query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Lower-case names; of repeated ones see ``RepeatedHeaders`` (``values_of`` has them apart)."""
    body: bytes = b""
    peer_address: str = ""
    shown_certificates: tuple[bytes, ...] = ()
    """What the client showed (DER): its own certificate, whose key it holds, then those sent with it.

    Nobody has verified them: whom they stand for is what ``wire.client_certificates`` says."""
    raw_path: str = ""
    """As sent (still percent-encoded), for proxying."""
    scope: dict[str, Any] = field(default_factory=dict)
    """For handlers: who the user is, request id, and so on."""
    memo: dict[Any, Any] = field(default_factory=dict)
    """What handlers made of the headers alone, kept for the connection's next request with the same ones.

    Keys begin with the function that made the value; there must be few of them."""
    protocol: str = "HTTP/1.1"
    peer_port: int = 0
    """The port at ``peer_address``; 0: not known."""
    receive: Callable[[], Awaitable[bytes]] | None = None
    """Set while ``body`` is not there yet: a handler sees that only where it ``asks_for_bodies``."""

    async def arrive(self) -> None:
        """See that ``body`` is there, asking the client where it waits for that. Raises StatusError."""
        if self.receive is not None:
            self.body = await self.receive()
            self.receive = None

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.raw_query, keep_blank_values=True) if self.raw_query else {}


UpgradeHandler = Callable[[ByteStream], Awaitable[None]]


@dataclass(slots=True)
class Response:
    """One answer: bytes, or chunks written as they are (``body`` a sequence), or a stream, or an upgrade.

    With ``upgrade`` the server sends status 101 and ``headers``, then hands the raw connection over and
    closes it when the handler returns.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Sequence[bytes] = b""
    stream: AsyncIterator[bytes] | None = None
    """Sent chunked unless there is a ``length``, each item flushed at once.

    It is closed (``aclose``) when all is sent or the client goes away."""
    upgrade: UpgradeHandler | None = None
    length: int | None = None
    """Bytes of ``stream``, where they are known: then it is sent under its length, not chunked.

    One that turns out longer is cut, one that turns out shorter breaks the connection off. Who asks by HEAD
    is told of it, and the stream is only closed."""
    written: Callable[[], object] | None = None
    """Called once ``body`` is on its way, as far as the client takes it, or there is nobody to take it.

    Whoever answers without a connection calls it as well. Of what lasts, ``wire.lasting`` tells the end."""


Handler = Callable[[Request], Awaitable[Response]]
"""One that has a true ``asks_for_bodies`` is given requests whose bodies are still to come: where the client
waits to be asked for one, or would send too much. It calls ``Request.arrive`` where it wants the body."""

RequestLine = tuple[str, str, str, str]
"""Method, decoded path, path as sent, query as sent."""

AtOnce = Callable[[dict[Any, Any], RequestLine], "tuple[KnownHead, bytes, bytes] | None"]
"""Answers a request whose headers are those of the one before it, given their ``memo``.

Returns the head, all but length and date, the value of its last header, and the body; None: ask the handler.
A handler that can do so has this as ``at_once``."""
