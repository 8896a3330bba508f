"""Strategies of the ``node.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK
from tiphys.apis.strategy import Strategy

STRATEGIES: tuple[Strategy, ...] = (
    Strategy(GVK("node.k8s.io", "v1", "RuntimeClass"), unconditional_update=False),
)
