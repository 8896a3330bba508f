"""Event objects for people: recorded at once, sent in the background, at best effort.

A repeated event raises the count of the one already written; what repeats itself while it still waits is
one write; many alike become one, and objects with too many have no more (``correlate``). A few are sent at a
time (one, while the component has more urgent requests), never two of one kind. The backlog is bounded: when
the API server is away the oldest are dropped, as an event must never hold up the work it describes.
Source: core/v1 Event; client-go's correlator for when events count as repeated.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from tiphys.apimachinery.clock import Clock, RealClock, rfc3339, rfc3339_micro
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import NotFound, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.client.correlate import COMBINED, Allowance, Key, Similar
from tiphys.client.kinds import EVENTS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError

log = logging.getLogger(__name__)

_BACKLOG = 16_384
"""Enough for a scheduler that places ten thousand pods at once; each takes half a kilobyte."""
_SENDERS = 4
_REMEMBERED = 4096
_SERIES_ENDS_S = 600.0
"""An event with an action that comes later than this after the last one is not of its series."""
_TRIES = 3
_MESSAGE_MAX = 1024


@dataclass(slots=True)
class _Waiting:
    """What happened, how often since it was last sent, and when first and last."""

    involved: Object
    type: str
    reason: str
    message: str
    name: str
    first: datetime
    last: datetime
    count: int = 1
    action: str = ""
    related: Object | None = None


@dataclass(slots=True)
class _Sent:
    """What was last written for one kind of event."""

    name: str
    namespace: str
    first: datetime
    count: int
    seen_at: float


class EventRecorder:
    """Get one with ``client.events(component, host)``; it lives as long as its client."""

    def __init__(self, client: Client, component: str, host: str = "", *, clock: Clock | None = None) -> None:
        self._client = client
        self._source = {"component": component, **({"host": host} if host else {})}
        self._clock = clock or RealClock()
        self._backlog: dict[Key, _Waiting] = {}
        self._sending: set[Key] = set()
        self._sent: OrderedDict[Key, _Sent] = OrderedDict()
        self._similar, self._allowance = Similar(), Allowance()
        self._senders: set[asyncio.Task[None]] = set()
        self._serial = 0
        self.urgent: Callable[[], bool] = _never
        """Says that this component has requests that matter more: then one event is sent at a time."""

    def record(
        self,
        obj: Object,
        type: str = "Normal",
        reason: str = "",
        message: str = "",
        *,
        field_path: str = "",
        action: str = "",
        related: Object | None = None,
    ) -> None:
        """Note that something happened to ``obj``; ``type`` is Normal or Warning. Never waits or fails.

        With an ``action`` the event has the form of events.k8s.io/v1: its time, and a series once it repeats.
        """
        message = message[:_MESSAGE_MAX]
        meta, now = obj["metadata"], self._clock.now()
        # The version is left out: the same thing happening to a newer version is still the same thing.
        who = (obj.get("kind"), meta.get("namespace"), meta["name"], meta.get("uid"), obj.get("apiVersion"))
        key: Key = (*who, field_path, type, reason, message, action)
        if not action and self._similar.are_many((*who, type, reason), message, self._clock.monotonic()):
            key, message = (*who, type, reason), (COMBINED + message)[:_MESSAGE_MAX]
        may = bool(action) or self._allowance.take(who, self._clock.monotonic())
        waiting = self._backlog.get(key)
        if waiting is not None:
            waiting.count, waiting.last, waiting.message = waiting.count + 1, now, message
            return
        if not may:
            if (sent := self._sent.get(key)) is not None:
                sent.count += 1  # told with the next one
            return
        # Upstream's shape: the object's name and the time in nanoseconds, in hexadecimal.
        name = f"{meta['name']}.{self._nanos(now):x}"
        about = reference(related) if related is not None else None
        self._backlog[key] = _Waiting(
            reference(obj, field_path), type, reason, message, name, now, now, action=action, related=about
        )
        if len(self._backlog) > _BACKLOG:
            del self._backlog[next(iter(self._backlog))]
        self._start_senders()

    def _start_senders(self) -> None:
        """See that as many send as now may."""
        most = 1 if self.urgent() else _SENDERS
        while len(self._senders) < min(most, len(self._backlog) + len(self._sending)):
            sender = self._client.start_background(self._drain())
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)

    async def flush(self) -> None:
        """Wait until everything recorded so far was sent or given up."""
        while self._senders:
            await asyncio.wait(self._senders)

    def _nanos(self, now: datetime) -> int:
        """Return nanoseconds that no other event of this recorder has."""
        self._serial += 1
        return int(now.timestamp() * 1e6) * 1000 + self._serial % 1000

    def _event(self, waiting: _Waiting) -> Object:
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": waiting.name,
                "namespace": waiting.involved.get("namespace") or "default",
            },
            "involvedObject": waiting.involved,
            "reason": waiting.reason,
            "message": waiting.message,
            "type": waiting.type,
            "reportingComponent": self._source["component"],
        }
        return {**event, **(self._acted(waiting) if waiting.action else self._counted(waiting))}

    def _counted(self, waiting: _Waiting) -> Object:
        return {
            "source": self._source,
            "firstTimestamp": rfc3339(waiting.first),
            "lastTimestamp": rfc3339(waiting.last),
            "count": waiting.count,
            "eventTime": None,
            "reportingInstance": self._source.get("host", ""),
        }

    def _acted(self, waiting: _Waiting) -> Object:
        host = self._source.get("host") or socket.gethostname()
        made: Object = {
            "eventTime": rfc3339_micro(waiting.first),
            "action": waiting.action,
            "reportingInstance": f"{self._source['component']}-{host}",
        }
        if waiting.related is not None:
            made["related"] = waiting.related
        if waiting.count > 1:
            made["series"] = _series(waiting, waiting.count)
        return made

    def _next(self) -> tuple[Key, _Waiting] | None:
        """Take the oldest of a kind that is not just being sent: its count must be known first."""
        for key in self._backlog:
            if key not in self._sending:
                return key, self._backlog.pop(key)
        return None

    async def _drain(self) -> None:
        try:
            while len(self._senders) == 1 or not self.urgent():
                taken = self._next()
                if taken is None:
                    return
                key, waiting = taken
                self._sending.add(key)
                try:
                    await self._try_to_send(key, waiting)
                finally:
                    self._sending.discard(key)
                self._start_senders()
        finally:
            # At once: an event that is recorded before the loop's next turn wants a sender of its own.
            task = asyncio.current_task()
            if task is not None:
                self._senders.discard(task)

    async def _try_to_send(self, key: Key, waiting: _Waiting) -> None:
        for attempt in range(_TRIES):
            try:
                await self._send(key, waiting)
                return
            except StatusError as error:
                log.debug("event refused reason=%s error=%s", waiting.reason, error)
                return
            except TransportError as error:
                log.debug("event not sent reason=%s error=%s", waiting.reason, error)
                await asyncio.sleep(0.5 * 2**attempt)

    async def _send(self, key: Key, waiting: _Waiting) -> None:
        now = self._clock.monotonic()
        known = self._sent.get(key)
        if known is not None and waiting.action and now - known.seen_at > _SERIES_ENDS_S:
            known = None
        if known is not None:
            count = known.count + waiting.count
            patch: Object = {"series": _series(waiting, count)}
            if not waiting.action:
                patch = {"count": count, "lastTimestamp": rfc3339(waiting.last), "message": waiting.message}
            try:
                await self._client.patch(EVENTS, known.name, known.namespace, patch, type="strategic")
            except NotFound:  # it expired on the server: write a new one
                if not waiting.action:
                    waiting.first, waiting.count = known.first, count
            else:
                known.count += waiting.count
                known.seen_at = now
                self._sent.move_to_end(key)
                return
        event = self._event(waiting)
        meta = event["metadata"]
        await self._client.create(EVENTS, event)
        self._sent[key] = _Sent(meta["name"], meta["namespace"], waiting.first, waiting.count, now)
        self._sent.move_to_end(key)
        while len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)


def _never() -> bool:
    return False


def _series(waiting: _Waiting, count: int) -> Object:
    return {"count": count, "lastObservedTime": rfc3339_micro(waiting.last)}


def reference(obj: Object, field_path: str = "") -> Object:
    """Return the ObjectReference that an event carries."""
    meta = obj["metadata"]
    pairs = {
        "kind": obj.get("kind"),
        "namespace": meta.get("namespace"),
        "name": meta.get("name"),
        "uid": meta.get("uid"),
        "apiVersion": obj.get("apiVersion"),
        "resourceVersion": meta.get("resourceVersion"),
        "fieldPath": field_path,
    }
    return {key: value for key, value in pairs.items() if value}
