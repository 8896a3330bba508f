"""Where a request's time went, for the audit of those that took long, by upstream's names.

Owns: the times of a request's layers while it is under way, and which requests they are told of. They are
kept where the server audits, and by nobody else: ``spent`` and ``spending`` look at one variable there. What
waiting and webhooks took is known without (``metrics.Aside``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Final

from tiphys.apimachinery.duration import go_duration
from tiphys.apiserver.observe.metrics import Aside
from tiphys.wire.message import Request

AUTHENTICATION: Final = "authentication"
AUTHORIZATION: Final = "authorization"
IMPERSONATION: Final = "impersonation"
STORE: Final = "etcd"
"""Whatever the store is."""
TRANSFORM: Final = "transform-response-object"
"""Into the version and form that the client wants."""
SERIALIZE: Final = "serialize-response-object"
DECODE: Final = "decode-response-object"
"""Out of the form it has in the store."""
WRITE: Final = "response-write"
"""Until the client has taken its answer, but for what lies in buffers."""
_PREFIX: Final = "apiserver.latency.k8s.io/"
LONG_S: Final = 0.5
"""What takes no longer is not told of."""
_DIGITS: Final = 9
"""Nanoseconds, as Go has them."""


class Layers:
    """Seconds that one request has spent, by layer."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self.spent: dict[str, float] = {}
        self.within_s = 0.0
        """Of the layer that is being timed: what went to others within it."""

    def add(self, layer: str, seconds: float) -> None:
        self.spent[layer] = self.spent.get(layer, 0.0) + seconds


_present: ContextVar[Layers | None] = ContextVar("latencies", default=None)
_NOT_FOLLOWED: Final = nullcontext()


def follow(request: Request, monotonic: Callable[[], float]) -> None:
    """Keep the times of a request, which this task serves, from now on."""
    request.scope["layers"] = layers = Layers(monotonic)
    _present.set(layers)


def spent(layer: str, seconds: float) -> None:
    """Note that the present request has spent so long in a layer, beside what it has before."""
    layers = _present.get()
    if layers is not None:
        layers.add(layer, seconds)


def spent_of(request: Request, layer: str, seconds: float) -> None:
    """Note that a request has spent so long in a layer, whoever says so."""
    layers: Layers | None = request.scope.get("layers")
    if layers is not None:
        layers.add(layer, seconds)


def spending(layer: str) -> AbstractContextManager[None]:
    """Note how long the present request spends in a context."""
    layers = _present.get()
    return _NOT_FOLLOWED if layers is None else _timed(layers, layer)


@contextmanager
def _timed(layers: Layers, layer: str) -> Iterator[None]:
    began, around_s = layers.monotonic(), layers.within_s
    layers.within_s = 0.0
    try:
        yield
    finally:
        took_s = layers.monotonic() - began
        layers.add(layer, took_s - layers.within_s)
        layers.within_s = around_s + took_s


def told(request: Request, total_s: float) -> dict[str, str]:
    """Return what is told of a request that took so long in all; nothing of one that was quick."""
    layers: Layers | None = request.scope.get("layers")
    if total_s <= LONG_S or layers is None:
        return {}
    known = {layer: seconds for layer, seconds in {**layers.spent, **_aside(request)}.items() if seconds > 0}
    times = {**known, "total": total_s} if known else {}
    return {f"{_PREFIX}{layer}": go_duration(round(seconds, _DIGITS)) for layer, seconds in times.items()}


def _aside(request: Request) -> dict[str, float]:
    aside: Aside | None = request.scope.get("aside")
    if aside is None:
        return {}
    return {
        "apf-queue-wait": aside.waited_s,
        "mutating-webhook": aside.mutating_s,
        "validating-webhook": aside.validating_s,
    }
