"""Where a request's time went, for the audit of those that took long, by upstream's names.

Owns: the times of a request's layers while it is under way, and which requests they are told of. They are
kept where the server audits, and by nobody else. What webhooks took is known without (``metrics.Aside``).
"""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery.duration import go_duration
from tiphys.apiserver.observe.metrics import Aside
from tiphys.wire.message import Request

AUTHENTICATION: Final = "authentication"
AUTHORIZATION: Final = "authorization"
IMPERSONATION: Final = "impersonation"
QUEUE: Final = "apf-queue-wait"
_LAYERS: Final = "layers"
_PREFIX: Final = "apiserver.latency.k8s.io/"
_LONG_S: Final = 0.5
_DIGITS: Final = 9
"""Nanoseconds, as Go has them."""


def follow(request: Request) -> None:
    """Keep the times of a request from now on."""
    request.scope[_LAYERS] = {}


def took(request: Request, layer: str, seconds: float) -> None:
    """Note that a layer took so long, beside what it has taken before."""
    layers = request.scope.get(_LAYERS)
    if layers is not None:
        layers[layer] = layers.get(layer, 0.0) + seconds


def told(request: Request, total_s: float) -> dict[str, str]:
    """Return what is told of a request that took so long in all; nothing of one that was quick."""
    layers = request.scope.get(_LAYERS)
    aside: Aside | None = request.scope.get("aside")
    if total_s <= _LONG_S or layers is None or not (layers or aside):
        return {}
    times = layers if aside is None else {**layers, **_webhooks(aside)}
    known = {layer: seconds for layer, seconds in times.items() if seconds > 0}
    return {
        f"{_PREFIX}{layer}": go_duration(round(seconds, _DIGITS))
        for layer, seconds in {**known, "total": total_s}.items()
    }


def _webhooks(aside: Aside) -> dict[str, float]:
    return {"mutating-webhook": aside.mutating_s, "validating-webhook": aside.validating_s}
