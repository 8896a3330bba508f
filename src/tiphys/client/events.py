"""Event objects for people: recorded at once, sent in the background, at best effort.

A repeated event raises the count of the one already written. The backlog is bounded: when the API server
is away the oldest are dropped, as an event must never hold up the work it describes.
Source: core/v1 Event; client-go's correlator for when events count as repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from dataclasses import dataclass

from tiphys.apimachinery.clock import Clock, RealClock, rfc3339
from tiphys.apimachinery.errors import NotFound, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.client.kinds import EVENTS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError

log = logging.getLogger(__name__)

_BACKLOG = 1000
_REMEMBERED = 4096
_WINDOW_S = 600.0
_TRIES = 3
_MESSAGE_MAX = 1024

_Key = tuple[str, ...]


@dataclass(slots=True)
class _Sent:
    """What was last written for one kind of event."""

    name: str
    namespace: str
    count: int
    first: str
    seen_at: float


class EventRecorder:
    """Get one with ``client.events(component, host)``; it lives as long as its client."""

    def __init__(self, client: Client, component: str, host: str = "", *, clock: Clock | None = None) -> None:
        self._client = client
        self._source = {"component": component, **({"host": host} if host else {})}
        self._clock = clock or RealClock()
        self._backlog: deque[tuple[_Key, Object]] = deque(maxlen=_BACKLOG)
        self._sent: OrderedDict[_Key, _Sent] = OrderedDict()
        self._sender: asyncio.Task[None] | None = None
        self._serial = 0

    def record(
        self, obj: Object, type: str = "Normal", reason: str = "", message: str = "", *, field_path: str = ""
    ) -> None:
        """Note that something happened to ``obj``; ``type`` is Normal or Warning. Never waits or fails."""
        involved = reference(obj, field_path)
        message = message[:_MESSAGE_MAX]
        # The version is left out: the same thing happening to a newer version is still the same thing.
        who = (str(value) for field, value in involved.items() if field != "resourceVersion")
        key = (*who, type, reason, message)
        self._backlog.append((key, self._event(obj, involved, type, reason, message)))
        if self._sender is None or self._sender.done():
            self._sender = self._client.start_background(self._drain())

    async def flush(self) -> None:
        """Wait until everything recorded so far was sent or given up."""
        while self._sender is not None and not self._sender.done():
            await asyncio.wait([self._sender])

    def _event(self, obj: Object, involved: Object, type: str, reason: str, message: str) -> Object:
        moment = self._clock.now()
        self._serial += 1
        # Upstream's shape: the object's name and the time in nanoseconds, in hexadecimal.
        nanos = int(moment.timestamp() * 1e6) * 1000 + self._serial % 1000
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{obj['metadata']['name']}.{nanos:x}",
                "namespace": obj["metadata"].get("namespace") or "default",
            },
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "source": self._source,
            "firstTimestamp": rfc3339(moment),
            "lastTimestamp": rfc3339(moment),
            "count": 1,
            "type": type,
            "eventTime": None,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
        }

    async def _drain(self) -> None:
        while self._backlog:
            key, event = self._backlog.popleft()
            for attempt in range(_TRIES):
                try:
                    await self._send(key, event)
                    break
                except StatusError as error:
                    log.debug("event refused reason=%s error=%s", event["reason"], error)
                    break
                except TransportError as error:
                    log.debug("event not sent reason=%s error=%s", event["reason"], error)
                    await asyncio.sleep(0.5 * 2**attempt)

    async def _send(self, key: _Key, event: Object) -> None:
        now = self._clock.monotonic()
        known = self._sent.get(key)
        if known is not None and now - known.seen_at <= _WINDOW_S:
            patch = {
                "count": known.count + 1,
                "lastTimestamp": event["lastTimestamp"],
                "message": event["message"],
            }
            try:
                await self._client.patch(EVENTS, known.name, known.namespace, patch, type="strategic")
            except NotFound:
                pass  # it expired on the server: write a new one
            else:
                known.count += 1
                known.seen_at = now
                self._sent.move_to_end(key)
                return
        meta = event["metadata"]
        await self._client.create(EVENTS, event)
        self._sent[key] = _Sent(meta["name"], meta["namespace"], 1, event["firstTimestamp"], now)
        self._sent.move_to_end(key)
        while len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)


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
