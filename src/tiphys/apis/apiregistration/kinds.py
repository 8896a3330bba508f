"""Defaults and strategies of the ``apiregistration.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import fill_optional
from tiphys.apis.strategy import Strategy

_HTTPS = 443


def default_api_service(obj: Object) -> None:
    """An extension server listens on the HTTPS port."""
    service = (obj.get("spec") or {}).get("service")
    if isinstance(service, dict):
        fill_optional(service, "port", _HTTPS)


def prepare_api_service(obj: Object) -> None:
    """A local API is there at once; another is awaited."""
    if (obj.get("spec") or {}).get("service") is None:
        obj["status"] = {
            "conditions": [
                {
                    "type": "Available",
                    "status": "True",
                    "lastTransitionTime": None,
                    "reason": "Local",
                    "message": "Local APIServices are always available",
                }
            ]
        }
    else:
        obj["status"] = {}


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("apiregistration.k8s.io", "v1", "APIService"),
        default=default_api_service,
        prepare_create=prepare_api_service,
        unconditional_update=False,
    ),
)
