"""Strategies of the ``coordination.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK
from tiphys.apis.strategy import Strategy

STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("coordination.k8s.io", "v1", "Lease"),
        allow_create_on_update=True,
        unconditional_update=False,
    ),
    Strategy(
        GVK("coordination.k8s.io", "v1beta1", "LeaseCandidate"),
        allow_create_on_update=True,
        unconditional_update=False,
    ),
)
