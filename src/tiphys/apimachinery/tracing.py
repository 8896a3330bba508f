"""Spans: what was done for a request, by whom, for how long, and how that is told to other processes. Pure.

Owns: the W3C form of a trace's context, who is sampled, and which span is the present one. Refuses: exporting
(``wire.otlp`` does that), and which spans there are. Where nobody traces, ``step`` looks at one variable.
Source: W3C Trace Context; OpenTelemetry's samplers (parent based, by trace id ratio).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import field
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass

INTERNAL: Final = 1
SERVER: Final = 2
CLIENT: Final = 3
MILLION: Final = 1_000_000
EXCEPTION: Final = "exception"
"""What OpenTelemetry calls the event of an error."""
Value = str | int | bool | float
_PARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class SpanContext:
    """Which span of which trace; what other processes are told."""

    trace_id: bytes
    span_id: bytes
    sampled: bool
    state: str = ""
    remote: bool = False

    def headers(self) -> dict[str, str]:
        """Return what makes the other side's spans children of this one."""
        flags = "01" if self.sampled else "00"
        found = {"traceparent": f"00-{self.trace_id.hex()}-{self.span_id.hex()}-{flags}"}
        return {**found, "tracestate": self.state} if self.state else found


def read_headers(headers: Mapping[str, str]) -> SpanContext | None:
    """Return the span that a request comes from, None where it does not say or not rightly."""
    form = _PARENT.fullmatch(headers.get("traceparent", "").strip())
    if form is None:
        return None
    version, trace, span, flags, more = form.groups()
    if version == "ff" or (version == "00" and more) or not int(trace, 16) or not int(span, 16):
        return None
    sampled = bool(int(flags, 16) & _SAMPLED)
    state = headers.get("tracestate", "").strip()
    return SpanContext(bytes.fromhex(trace), bytes.fromhex(span), sampled, state, remote=True)


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """A moment within a span."""

    at_ns: int
    name: str
    attributes: Mapping[str, Value]


@dataclass(slots=True)
class Span:
    """Something that is done. Not thread safe."""

    tracer: Tracer
    name: str
    context: SpanContext
    parent: SpanContext | None
    kind: int
    started_ns: int
    ended_ns: int = 0
    attributes: dict[str, Value] = field(default_factory=dict)
    link: SpanContext | None = None
    """Whom this came from without being its child."""
    error: str | None = None
    """What went wrong; may be empty."""
    events: list[SpanEvent] = field(default_factory=list)

    @property
    def recorded(self) -> bool:
        """Whether anybody will be told of it."""
        return self.context.sampled or self.tracer.listener is not None

    def set(self, about: Mapping[str, Value]) -> None:
        """Note what is known of it."""
        if self.recorded:
            self.attributes |= about

    def note(self, name: str, about: Mapping[str, Value] | None = None) -> None:
        """Note that it has come so far."""
        if self.recorded:
            self.events.append(SpanEvent(self.tracer.now_ns(), name, about or {}))

    def fail(self, text: str = "") -> None:
        self.error = text

    def record(self, error: BaseException, text: str | None = None) -> None:
        """Note an error that came up in it, which need not be its failure; ``text``: in other words."""
        told = str(error) if text is None else text
        self.note(EXCEPTION, {"exception.type": type(error).__name__, "exception.message": told})


_CURRENT: ContextVar[Span | None] = ContextVar("span", default=None)
_NOTHING: Final = nullcontext()


class Tracer:
    """Makes the spans of one component; those that are sampled go to ``sink`` once they have ended.

    All go to ``listener``, where there is one. Without a ``sink`` nobody else is told of them either.
    """

    def __init__(
        self,
        per_million: int,
        clock: Clock,
        sink: Callable[[Span], None] | None,
        listener: Callable[[Span], None] | None = None,
    ) -> None:
        self._bound = min(max(per_million, 0), MILLION) * (1 << 63) // MILLION
        self._clock = clock
        self.sink = sink
        self.listener = listener
        self._random = random.Random()

    def begin(
        self, name: str, *, parent: SpanContext | None = None, kind: int = INTERNAL,
        link: SpanContext | None = None,
    ) -> Span:  # fmt: skip
        """Return a new span, for who will ``end`` it. Without a parent it begins a trace."""
        return Span(self, name, self._context(parent), parent, kind, self.now_ns(), link=link)

    def end(self, span: Span) -> None:
        """End a span, once."""
        span.ended_ns = self.now_ns()
        if span.context.sampled and self.sink is not None:
            self.sink(span)
        if self.listener is not None:
            self.listener(span)

    @contextmanager
    def span(
        self, name: str, *, parent: SpanContext | None = None, kind: int = INTERNAL, fails: bool = True
    ) -> Iterator[Span]:
        """Begin a span that is the present one until it ends. What is raised in it, it failed with.

        ``fails`` False: that is for others to say, who answer with it.
        """
        made = self.begin(name, parent=parent, kind=kind)
        try:
            with present(made):
                yield made
        except Exception as error:
            if fails and made.error is None:
                made.fail(str(error))
            raise
        finally:
            self.end(made)

    def _context(self, parent: SpanContext | None) -> SpanContext:
        span_id = self._random.randbytes(8)
        if parent is not None:
            return SpanContext(parent.trace_id, span_id, parent.sampled, parent.state)
        trace_id = self._random.randbytes(16)
        return SpanContext(trace_id, span_id, int.from_bytes(trace_id[8:]) >> 1 < self._bound)

    def now_ns(self) -> int:
        """Return the present in nanoseconds, as spans have it."""
        return round(self._clock.now().timestamp() * 1e6) * 1000


@contextmanager
def present(span: Span) -> Iterator[None]:
    """Make a span the present one for a while."""
    token = _CURRENT.set(span)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current() -> Span | None:
    """Return the span that what runs now belongs to."""
    return _CURRENT.get()


def step(
    name: str, about: Mapping[str, Value] | None = None, *, kind: int = INTERNAL
) -> AbstractContextManager[Span | None]:
    """Begin a child of the present span; nothing where there is none.

    What is raised in it is its failure where it is a call to others: else it is said how far it came.
    """
    within = _CURRENT.get()
    if within is None:
        return _NOTHING
    return _child(within, name, kind, about or {})


def event(name: str, about: Mapping[str, Value] | None = None) -> None:
    """Note how far the present span has come; nothing where there is none."""
    within = _CURRENT.get()
    if within is not None:
        within.note(name, about)


@contextmanager
def _child(within: Span, name: str, kind: int, about: Mapping[str, Value]) -> Iterator[Span]:
    with within.tracer.span(name, parent=within.context, kind=kind, fails=kind != INTERNAL) as made:
        made.set(about)
        yield made


def headers() -> dict[str, str]:
    """Return what a request made now is to carry."""
    within = _CURRENT.get()
    return {} if within is None or within.tracer.sink is None else within.context.headers()
