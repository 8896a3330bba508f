"""``Auditor``: follows each request that the policy keeps through its stages.

Called by the chain: ``begin`` once the user is known, ``finish`` with the answer, ``panic`` where there was
none. Each of them waits for sinks whose mode is blocking; the end of a stream waits for nobody, nor does that
of an answer which is large, or was slow: what writing it takes belongs to what is told. Costs nothing where
auditing is off, since the chain then has no auditor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from tiphys.apimachinery.clock import Clock, rfc3339_micro
from tiphys.apimachinery.errors import InternalError, StatusError, TiphysError, Unauthorized
from tiphys.apimachinery.families import CounterMetricFamily, Metric
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.audit import event as events
from tiphys.apiserver.audit.policy import COMPLETE, NONE, PANIC, RECEIVED, STARTED, Policy, Verdict
from tiphys.apiserver.audit.record import KEY, Record
from tiphys.apiserver.audit.sinks import Kept, Sink
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.attributes import Decision
from tiphys.apiserver.endpoints.plain_faults import PlainFault
from tiphys.apiserver.filters.flights import BadTimeout, is_long_running
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.observe import latencies
from tiphys.apiserver.observe.certificate_counts import AUDITED
from tiphys.wire.lasting import follow, lasts
from tiphys.wire.message import Request, Response

_NOBODY = User("")
_DECISION, _REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"
_CLOSED = {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}
_BUFFERED_BYTES = 64 * 1024
"""About what a connection takes of an answer whether its client reads or not."""
_STARTED = "started"
"""Key in the scope: when a request came, as the chain has noted."""


class NotStored(PlainFault):
    """A request that is not served, since its arrival could not be noted."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri, "failed to store audit event")


class Auditor:
    """One server's audit: a policy and the sinks that get every event."""

    def __init__(self, policy: Policy, sinks: Sequence[Sink], clock: Clock) -> None:
        self._policy = policy
        self._sinks = sinks
        self._clock = clock
        self._count = 0
        self._rejected = 0
        self._levels: dict[str, int] = {}

    def arrived(self, request: Request) -> None:
        """Keep the times of a request, which has just come in."""
        AUDITED.set(None)
        latencies.follow(request, self._clock.monotonic)

    def _event(
        self, request: Request, info: RequestInfo, user: User, verdict: Verdict, audit_id: str
    ) -> Object:
        """Return what is known of a request, from when it came in."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        since_s = monotonic - request.scope.get(_STARTED, monotonic)
        received = now - timedelta(seconds=since_s)
        return events.begin(request, info, user, verdict, audit_id=audit_id, now=received)

    async def begin(self, request: Request, info: RequestInfo, user: User, audit_id: str) -> None:
        """Note a request whose user is known. Raises NotStored where it may not go on unnoted."""
        verdict = self._judged(user, info)
        if verdict.level == NONE:
            return
        record = Record(verdict, self._event(request, info, user, verdict, audit_id), is_long_running(info))
        if info.verb != "watch":
            record.request = request
        event = record.event
        request.scope[KEY] = record
        record.annotations = request.scope.setdefault("audit_annotations", record.annotations)
        AUDITED.set(record.annotations)
        request.scope["audit_bodies"] = verdict.with_request
        if not await self._kept(record, RECEIVED):
            self._rejected += 1
            del request.scope[KEY]
            raise NotStored(event["requestURI"])

    def _judged(self, user: User | None, info: RequestInfo) -> Verdict:
        verdict = self._policy.judge(user, info)
        self._levels[verdict.level] = self._levels.get(verdict.level, 0) + 1
        return verdict

    def impersonated(self, request: Request, user: User, bound: str = "") -> None:
        """Note as whom the user acts, and by which bounded right."""
        record = request.scope.get(KEY)
        if record is not None:
            record.event["impersonatedUser"] = user.to_info()
            if bound:
                record.event["authenticationMetadata"] = {"impersonationConstraint": bound}

    def decided(self, request: Request, decision: Decision) -> None:
        """Note what authorization said."""
        record = request.scope.get(KEY)
        if record is not None:
            record.annotations |= _decided(decision)

    async def failed(self, request: Request, info: RequestInfo, error: StatusError, audit_id: str) -> None:
        """Note a request that was refused before its record could begin: its user is not known."""
        if not isinstance(error, Unauthorized | BadTimeout) or KEY in request.scope:
            return
        verdict = self._judged(None, info)
        if verdict.level == NONE:
            return
        event = self._event(request, info, _NOBODY, verdict, audit_id)
        event["user"] = {}
        status = error.to_status()
        event["responseStatus"] = events.status_of(error.status_code, status)
        if verdict.with_response:
            event["responseObject"] = status
        if notes := request.scope.get("audit_annotations"):
            event["annotations"] = {**(event.get("annotations") or {}), **notes}
        await self._kept(Record(verdict, event, long=False), STARTED)

    async def panic(self, request: Request, error: BaseException) -> None:
        """Note that a request ended in a fault of ours."""
        record = request.scope.pop(KEY, None)
        if record is None:
            return
        record.event["responseStatus"] = _panicked(error)
        await self._kept(record, PANIC)

    def closed(self, request: Request) -> None:
        """Note that a request ended before there was an answer, as its client has gone. Waits for no sink."""
        record: Record | None = request.scope.pop(KEY, None)
        if record is None:
            return
        record.event["responseStatus"] = _CLOSED
        for stage in (STARTED, COMPLETE) if record.long else (COMPLETE,):
            self._emit(record, stage)

    async def finish(self, request: Request, response: Response) -> None:
        """Note the answer; of one that streams, its beginning now and its end when it has ended."""
        record: Record | None = request.scope.pop(KEY, None)
        if record is None:
            return
        self._fill(record, request, response)
        if not record.long:
            if self._counts_writing(request, response):
                response.written = partial(self._written, record, self._clock.monotonic())
            else:
                await self._kept(record, COMPLETE)
            return
        await self._kept(record, STARTED)
        if lasts(response):
            follow(response, lambda: self._ended(record), failed=partial(self._failed, record))
        else:
            await self._kept(record, COMPLETE)

    def _failed(self, record: Record, error: Exception) -> None:
        """Note what a stream ended of, where that is a fault of ours."""
        if not isinstance(error, OSError | TiphysError):
            record.event["responseStatus"] = _panicked(error)
            record.fault = True

    def _ended(self, record: Record) -> None:
        """Note the end of a stream. Waits for no sink."""
        self._emit(record, PANIC if record.fault else COMPLETE)

    def _counts_writing(self, request: Request, response: Response) -> bool:
        """Tell whether writing an answer may take long, or a slow request is to say how long it did."""
        if lasts(response) or request.method == "HEAD":
            return False
        body, now = response.body, self._clock.monotonic()
        size = len(body) if isinstance(body, bytes) else sum(map(len, body))
        return size > _BUFFERED_BYTES or now - request.scope.get(_STARTED, now) > latencies.LONG_S

    def _written(self, record: Record, since: float) -> None:
        """Note that an answer has been written, or that nobody takes it. Waits for no sink."""
        if record.request is not None:
            latencies.spent_of(record.request, latencies.WRITE, self._clock.monotonic() - since)
        self._emit(record, COMPLETE)

    def _fill(self, record: Record, request: Request, response: Response) -> None:
        code = 101 if response.upgrade is not None else response.status
        streams = response.stream is not None or response.upgrade is not None
        failed = code >= 400
        body: Any = None
        shown = failed or record.verdict.with_response
        # What comes in pieces is a list, which is put together only where it is shown.
        tells = shown or (isinstance(response.body, bytes) and events.is_status(response.body))
        kind = response.headers.get("content-type", "")
        plain = kind.startswith("text/")  # written past whatever writes objects
        if tells and not (streams or plain) and "content-encoding" not in response.headers:
            data = response.body if isinstance(response.body, bytes) else b"".join(response.body)
            body = events.body_of(data, kind, record.verdict)
        event = record.event
        event["responseStatus"] = events.status_of(code, body)
        if record.body is not None:
            event["requestObject"] = record.body
        elif (
            record.verdict.with_request and "objectRef" in event and event["verb"] == "patch" and request.body
        ):
            kind = request.headers.get("content-type", "")
            event["requestObject"] = events.body_of(request.body, kind, record.verdict)
        if record.verdict.with_response and isinstance(body, dict) and body.get("kind"):
            event["responseObject"] = body

    async def _kept(self, record: Record, stage: str) -> bool:
        """Hand a stage to every sink, wait for those that block; False where a strict one failed."""
        good = True
        for sink, kept in self._emit(record, stage):
            found = kept if isinstance(kept, bool) else await kept
            good = good and (found or not sink.strict)
        return good

    def _emit(self, record: Record, stage: str) -> list[tuple[Sink, Kept]]:
        """Hand a stage to every sink; return those that failed or that have yet to say."""
        if stage in record.verdict.omit_stages:
            return []
        self._count += 1
        if stage == COMPLETE and record.request is not None:
            total_s = self._clock.monotonic() - record.request.scope.get(_STARTED, float("inf"))
            record.annotations |= latencies.told(record.request, total_s)
        event = {**record.event, "stage": stage}
        received = stage == RECEIVED
        event["stageTimestamp"] = (
            event["requestReceivedTimestamp"] if received else rfc3339_micro(self._clock.now())
        )
        if record.annotations:
            event["annotations"] = dict(record.annotations)
        event = events.in_order(event)
        answers = [(sink, sink.put(event)) for sink in self._sinks]
        return [(sink, kept) for sink, kept in answers if kept is not True]

    async def run(self) -> None:
        """Let the sinks work, for ever."""
        async with asyncio.TaskGroup() as group:
            for sink in self._sinks:
                group.create_task(sink.run())

    async def close(self) -> None:
        for sink in self._sinks:
            await sink.close()

    def collect(self) -> Iterator[Metric]:
        """Yield how many events there were, and how many requests of each level."""
        levels = CounterMetricFamily(
            "apiserver_audit_level",
            "[ALPHA] Counter of policy levels for audit events (1 per request).",
            labels=["level"],
        )
        levels.add_all(self._levels)
        errors = CounterMetricFamily(
            "apiserver_audit_error",
            "[ALPHA] Counter of audit events that failed to be audited properly. Plugin identifies the "
            "plugin affected by the error.",
            labels=["plugin"],
        )
        lost: dict[str, int] = {}
        for sink in self._sinks:
            for plugin, count in sink.failures.items():
                lost[plugin] = lost.get(plugin, 0) + count
        for plugin, count in lost.items():
            if count:
                errors.add_metric([plugin], count)
        yield from (*totals(self._count, self._rejected), errors, levels)


def totals(events: int = 0, rejected: int = 0) -> Iterator[Metric]:
    """Yield the counts that are there without an auditor as well: none."""
    yield CounterMetricFamily(
        "apiserver_audit_event",
        "[ALPHA] Counter of audit events generated and sent to the audit backend.",
        value=events,
    )
    yield CounterMetricFamily(
        "apiserver_audit_requests_rejected",
        "[ALPHA] Counter of apiserver requests rejected due to an error in audit logging backend.",
        value=rejected,
    )


def _panicked(error: BaseException) -> Object:
    status = InternalError(f"APIServer panic'd: {error}").to_status()
    return events.status_of(500, status)


def _decided(decision: Decision) -> dict[str, str]:
    """Return what is told of a decision; one that nobody could make is none."""
    if decision.error and not decision.allowed:
        return {_REASON: "internal error"}
    return {_DECISION: "allow" if decision.allowed else "forbid", _REASON: decision.reason}
