"""How a server ends: the order of its events, and the answers to who comes too late.

    ShutdownInitiated            /readyz fails, everything else is served
      (--shutdown-delay-duration; hooks: what a server still says of itself)
    AfterShutdownDelayDuration
    NotAcceptingNewRequest       from here on ``TooLate`` answers
      HTTPServerStoppedListening   here, and with --shutdown-send-retry-after at the very end
    InFlightRequestsDrained      every request that was under way has its answer, and watches that are given
                                 a time have ended one by one

Streams that nobody waits for (other watches, logs that are followed) go on until the process ends: once they
have ended by themselves, or ``--request-timeout`` after it stopped listening (two seconds where it listened
to the end). Upgraded connections do not hold it up.

Owns: that order, ``--shutdown-send-retry-after`` and ``--shutdown-watch-termination-grace-period``. Refuses:
sockets, which a ``Listener`` has. Called by ``ApiServer.end``.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import ServiceUnavailable
from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.filters.flights import Flights, is_long_running
from tiphys.apiserver.filters.requestinfo import parse
from tiphys.wire.message import Handler, Request, Response

log = logging.getLogger(__name__)

_EXEMPT_PATHS: Final = ("/readyz", "/livez", "/healthz", "/metrics")
_LOOPBACK_AGENT: Final = "kube-apiserver/"
_LAST_WORDS_S: Final = 2.0
"""For whoever is still answered when all requests have been: health checks and scrapes."""
LEAST_WATCHES_A_SECOND: Final = 200
Hook = Callable[[], Awaitable[None]]
"""Must not fail."""


class Listener(Protocol):
    """Where requests come from."""

    def replace_handler(self, handler: Handler) -> None:
        """Have another handler answer what comes from now on."""
        ...

    def close(self) -> None:
        """Accept no more connections; what lasts goes on."""
        ...

    async def end_streams(self, grace_s: float, least_a_second: int) -> None:
        """End what streams, evenly in ``grace_s`` or faster."""
        ...

    async def outlast_streams(self, timeout_s: float) -> None:
        """Wait until all streams have ended by themselves, but no longer."""
        ...

    async def stop(self, grace_s: float) -> None:
        """End everything; requests have ``grace_s`` left."""
        ...


@dataclass(frozen=True, slots=True)
class ShutdownOptions:
    """Times in seconds. ``tells``: who comes too late is told so, where nobody would listen any more."""

    delay_s: float = 0.0
    tells: bool = False
    watch_grace_s: float = 0.0
    request_timeout_s: float = 60.0


def is_exempt(request: Request) -> bool:
    """Whether a request is served to the last: probes, scrapes, and what API servers ask themselves."""
    agent = request.headers.get("user-agent", "")
    return agent.startswith(_LOOPBACK_AGENT) or request.path.startswith(_EXEMPT_PATHS)


class TooLate:
    """The handler of a server that takes no new requests: all but those that are exempt are refused."""

    def __init__(self, handler: Handler, options: ShutdownOptions) -> None:
        self._handler = handler
        self._tells = options.tells
        self._awaits_watches = options.watch_grace_s > 0

    async def __call__(self, request: Request) -> Response:
        if is_exempt(request):
            return await self._handler(request)
        if self._tells:
            return _come_back(request)
        info = parse(request.method, request.path, request.raw_query)
        waits = self._awaits_watches if info.verb == "watch" else not is_long_running(info)
        return _unavailable(request) if waits else await self._handler(request)


def _come_back(request: Request) -> Response:
    """Say that another server may help, and end the connection so that the next attempt reaches it."""
    headers = {
        "audit-id": _audit_id(request),
        "connection": "close",
        "retry-after": "5",
        "content-type": "text/plain; charset=utf-8",
        "x-content-type-options": "nosniff",
    }
    return Response(429, headers, b"The apiserver is shutting down, please try again later.\n")


def _unavailable(request: Request) -> Response:
    headers = {
        "audit-id": _audit_id(request),
        "cache-control": respond.NO_STORE,
        "retry-after": "1",
        "content-type": "application/json",
        "x-content-type-options": "nosniff",
    }
    status = ServiceUnavailable("apiserver is shutting down").to_status()
    return Response(503, headers, orjson.dumps(status) + b"\n")


def _audit_id(request: Request) -> str:
    return request.headers.get("audit-id") or str(uuid.uuid4())


class GracefulShutdown:
    """One server's end. ``signal`` hears each event by its name, in the moment in which it comes."""

    def __init__(
        self, options: ShutdownOptions, flights: Flights, signal: Callable[[str], None] = lambda _name: None
    ) -> None:
        self._options = options
        self._flights = flights
        self._heard = signal

    def _signal(self, name: str) -> None:
        log.info("shutdown event name=%s", name)
        self._heard(name)

    async def run(self, listener: Listener, handler: Handler, hooks: Sequence[Hook] = ()) -> None:
        """Go through the events until nobody is served any more. ``hooks`` are done while all are served."""
        options = self._options
        self._signal("ShutdownInitiated")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._delay())
            group.create_task(self._do(hooks))
        self._signal("NotAcceptingNewRequest")
        listener.replace_handler(TooLate(handler, options))
        if options.tells:
            await self._drain(listener)
            self._stop_listening(listener)
            await listener.outlast_streams(_LAST_WORDS_S)
        else:
            self._stop_listening(listener)  # in the same moment: nobody who is connected is refused
            async with asyncio.TaskGroup() as group:
                group.create_task(listener.outlast_streams(options.request_timeout_s))
                group.create_task(self._drain(listener))
        await listener.stop(_LAST_WORDS_S)

    def _stop_listening(self, listener: Listener) -> None:
        listener.close()
        self._signal("HTTPServerStoppedListening")

    async def _delay(self) -> None:
        await asyncio.sleep(self._options.delay_s)
        self._signal("AfterShutdownDelayDuration")

    async def _do(self, hooks: Sequence[Hook]) -> None:
        for hook in hooks:
            await hook()
        self._signal("PreShutdownHooksStopped")

    async def _drain(self, listener: Listener) -> None:
        options = self._options
        async with asyncio.TaskGroup() as group:
            group.create_task(self._flights.landed(options.request_timeout_s))
            if options.watch_grace_s > 0:
                group.create_task(listener.end_streams(options.watch_grace_s, LEAST_WATCHES_A_SECOND))
        self._signal("InFlightRequestsDrained")
