"""The steps of requests that took long, as lines in the log from ``--v=2`` on, in upstream's form.

Owns: which spans are such steps, from when on each is told, and the text: pure, but for the log itself. What
took less than its share of the time is left out below ``--v=4``. Source: k8s.io/utils/trace.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.duration import go_duration
from tiphys.apimachinery.tracing import INTERNAL, SERVER, Span, SpanEvent, Value
from tiphys.apimachinery.verbosity import DETAILS, STEPS, tells

log = logging.getLogger(__name__)
MODULE: Final = "trace"
"""What ``--vmodule`` names it by."""
_MS: Final = 1_000_000
_LONG_NS: Final = 500 * _MS
_THRESHOLDS: Final = {"SerializeObject": 5000 * _MS}
_FILTERS: Final = frozenset(("authentication", "authorization", "impersonation", "priorityandfairness"))
"""Spans that no step of upstream's stands behind."""
_MOST_NUMBER: Final = (1 << 31) - 1
_DIGITS: Final = 9
_KEPT: Final = 4096


class StepLog:
    """Takes the spans of a server as they end, inner ones first; tells of a request when that has ended."""

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self._tell = tell or _log
        self._ended: dict[bytes, list[Span]] = {}
        """By the span that they are in."""

    def take(self, span: Span) -> None:
        """Keep a step for whoever it is part of, or tell of a whole request."""
        if span.kind == INTERNAL and span.parent is not None and span.name not in _FILTERS:
            if len(self._ended) >= _KEPT:  # whose requests were broken off
                self._ended.pop(next(iter(self._ended)))
            self._ended.setdefault(span.parent.span_id, []).append(span)
            return
        inner = self._ended.pop(span.context.span_id, [])
        if span.kind == SERVER:
            for step in inner:
                self._tell_long(self._steps_of(step))

    def _steps_of(self, span: Span) -> Steps:
        inner = [self._steps_of(one) for one in self._ended.pop(span.context.span_id, [])]
        return Steps(span, tuple(inner))

    def _tell_long(self, steps: Steps) -> None:
        if steps.is_long:
            self._tell(text_of(steps, random.randrange(_MOST_NUMBER), every=tells(DETAILS, MODULE)))
            return
        for one in steps.inner:
            self._tell_long(one)


@dataclass(frozen=True, slots=True)
class Steps:
    """A span with those that are in it."""

    span: Span
    inner: tuple[Steps, ...] = ()

    @property
    def threshold_ns(self) -> int:
        return _THRESHOLDS.get(self.span.name, _LONG_NS)

    @property
    def took_ns(self) -> int:
        return self.span.ended_ns - self.span.started_ns

    @property
    def is_long(self) -> bool:
        return self.took_ns >= self.threshold_ns

    @property
    def share_ns(self) -> int:
        """How long one step may take: its share of what is left when those within have theirs."""
        count = len(self.span.events) + len(self.inner) + 1
        left = self.threshold_ns - sum(one.threshold_ns for one in self.inner)
        if left < self.threshold_ns // 4:
            return self.threshold_ns // 4 // count
        return left // (count - len(self.inner))

    def in_order(self) -> list[SpanEvent | Steps]:
        """Return what came when: a step within by its beginning."""
        found: list[tuple[int, SpanEvent | Steps]] = [(one.at_ns, one) for one in self.span.events]
        found += [(one.span.started_ns, one) for one in self.inner]
        return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def text_of(steps: Steps, number: int, *, every: bool = False) -> str:
    """Return the lines that tell of a request; ``every``: also of what took no time."""
    span, took = steps.span, steps.took_ns
    head = f"Trace[{number}]: "
    began = f"{_time(span.started_ns):%d-%b-%Y %H:%M:%S}.{_millis(span.started_ns)}"
    first = f'{head}"{span.name}" {_fields(span.attributes)}({began}) (total time: {took // _MS}ms):'
    whole = go_duration(round(took / 1e9, _DIGITS))
    lines = "".join(_inner(steps, f"\n{head}", every=every))
    return f"{first}{lines}\n{head}[{whole}] [{whole}] END\n"


def _inner(steps: Steps, formatter: str, *, every: bool) -> Iterator[str]:
    last, share = steps.span.started_ns, steps.share_ns
    for one in steps.in_order():
        if isinstance(one, Steps):
            yield from _nested(one, formatter, every=every)
            last = one.span.ended_ns
            continue
        if one.at_ns - last >= share or every:
            took, at = (one.at_ns - last) // _MS, _clock(one.at_ns)
            yield f'{formatter}---"{one.name}" {_fields(one.attributes)}{took}ms ({at})'
        last = one.at_ns


def _nested(steps: Steps, formatter: str, *, every: bool) -> Iterator[str]:
    if not (steps.is_long or every):
        for one in steps.inner:
            yield from _nested(one, formatter, every=every)
        return
    span = steps.span
    took, at = steps.took_ns // _MS, _clock(span.started_ns)
    yield f'{formatter}["{span.name}" {_fields(span.attributes)}{took}ms ({at})'
    yield from _inner(steps, f"{formatter} ", every=every)
    yield "]"


def _fields(about: Mapping[str, Value]) -> str:
    """Return attributes, and a space behind them where there are any."""
    text = ",".join(f"{name}:{_shown(value)}" for name, value in about.items())
    return f"{text} " if text else ""


def _shown(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _time(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)


def _clock(at_ns: int) -> str:
    return f"{_time(at_ns):%H:%M:%S}.{_millis(at_ns)}"


def _millis(at_ns: int) -> str:
    return f"{at_ns // _MS % 1000:03}"


def _log(text: str) -> None:
    log.info("%s", text, extra={"verbosity": STEPS})
