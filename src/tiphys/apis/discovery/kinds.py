"""Defaults and strategies of the ``discovery.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import each, fill_optional
from tiphys.apis.strategy import Strategy


def default_endpoint_slice(obj: Object) -> None:
    """Ports are unnamed TCP ports unless they say otherwise; both lists are always shown."""
    for port in each(obj, "ports"):
        fill_optional(port, "name", "")
        fill_optional(port, "protocol", "TCP")
    obj.setdefault("endpoints", None)
    obj.setdefault("ports", None)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("discovery.k8s.io", "v1", "EndpointSlice"),
        default=default_endpoint_slice,
        has_generation=True,
    ),
)
