"""Defaults and strategies of the ``flowcontrol.apiserver.k8s.io`` group."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import each, fill, fill_optional, section, show
from tiphys.apis.flowcontrol import validation
from tiphys.apis.strategy import Strategy

_GROUP = "flowcontrol.apiserver.k8s.io"


def default_flow_schema(obj: Object) -> None:
    """Complete a FlowSchema."""
    spec = section(obj, "spec")
    fill(spec, "matchingPrecedence", 1000)
    for rule in each(spec, "rules"):
        for part in each(rule, "resourceRules"):
            show(part, "namespaces")


def default_priority_level(obj: Object) -> None:
    """Complete a PriorityLevelConfiguration."""
    spec = section(obj, "spec")
    if spec.get("type") == "Exempt":
        exempt = section(spec, "exempt")
        fill_optional(exempt, "nominalConcurrencyShares", 0)
        fill_optional(exempt, "lendablePercent", 0)
    limited = spec.get("limited")
    if not isinstance(limited, dict):
        return
    fill_optional(limited, "nominalConcurrencyShares", 30)
    fill_optional(limited, "lendablePercent", 0)
    queuing = section(limited, "limitResponse").get("queuing")
    if isinstance(queuing, dict):
        fill(queuing, "handSize", 8)
        fill(queuing, "queues", 64)
        fill(queuing, "queueLengthLimit", 50)


def prepare(obj: Object) -> None:
    """A new object has no conditions."""
    obj["status"] = {}


def _strategy(
    kind: str, default: Callable[[Object], None], validate: Callable[[Object], list[FieldError]]
) -> Strategy:
    return Strategy(
        GVK(_GROUP, "v1", kind),
        default=default,
        prepare_create=prepare,
        validate=validate,
        validate_update=lambda new, _old: validate(new),
        validate_status_update=validation.validate_flow_status,
        has_generation=True,
    )


STRATEGIES: tuple[Strategy, ...] = (
    _strategy("FlowSchema", default_flow_schema, validation.validate_flow_schema),
    _strategy("PriorityLevelConfiguration", default_priority_level, validation.validate_priority_level),
)
