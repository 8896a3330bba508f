"""Defaults, rules and strategies of the ``flowcontrol.apiserver.k8s.io`` group."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, invalid, required
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import each, fill, fill_optional, peek, section
from tiphys.apis.strategy import Strategy
from tiphys.apis.value_validation import not_negative, one_of

_GROUP = "flowcontrol.apiserver.k8s.io"


def default_flow_schema(obj: Object) -> None:
    """Complete a FlowSchema."""
    fill(section(obj, "spec"), "matchingPrecedence", 1000)


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


def validate_flow_schema(obj: Object) -> list[FieldError]:
    """Return every fault of a FlowSchema."""
    spec = peek(obj, "spec")
    faults: list[FieldError] = []
    precedence = spec.get("matchingPrecedence") or 0
    if not 1 <= precedence <= 10000:
        faults.append(invalid("spec.matchingPrecedence", precedence, "must be in range [1, 10000]"))
    elif precedence == 1 and peek(obj, "metadata").get("name") != "exempt":
        text = "only the schema named 'exempt' may have matchingPrecedence 1"
        faults.append(invalid("spec.matchingPrecedence", precedence, text))
    if not peek(spec, "priorityLevelConfiguration").get("name"):
        text = "must reference a priority level"
        faults.append(required("spec.priorityLevelConfiguration.name", text))
    for index, rule in enumerate(each(spec, "rules")):
        path = f"spec.rules[{index}]"
        if not rule.get("subjects"):
            faults.append(required(f"{path}.subjects", "subjects must contain at least one value"))
        if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
            text = "at least one of resourceRules and nonResourceRules has to be non-empty"
            faults.append(required(path, text))
    return faults


def validate_priority_level(obj: Object) -> list[FieldError]:
    """Return every fault of a PriorityLevelConfiguration."""
    spec = peek(obj, "spec")
    kind = spec.get("type")
    faults = one_of(kind, "spec.type", ("Exempt", "Limited"))
    if kind == "Exempt" and spec.get("limited") is not None:
        text = "must be nil if the type is not Limited"
        faults.append(forbidden("spec.limited", text))
    if kind == "Limited":
        if spec.get("exempt") is not None:
            faults.append(forbidden("spec.exempt", "must be nil if the type is Limited"))
        if not isinstance(spec.get("limited"), dict):
            faults.append(required("spec.limited", "must not be empty when type is Limited"))
        else:
            faults += _limited(spec["limited"], "spec.limited")
    return faults


def _limited(limited: Object, path: str) -> list[FieldError]:
    faults = not_negative(limited, path, "nominalConcurrencyShares")
    percent = limited.get("lendablePercent") or 0
    if not 0 <= percent <= 100:
        text = "must be between 0 and 100, inclusive"
        faults.append(invalid(f"{path}.lendablePercent", percent, text))
    response = peek(limited, "limitResponse")
    faults += one_of(response.get("type"), f"{path}.limitResponse.type", ("Queue", "Reject"))
    if response.get("type") == "Reject" and response.get("queuing") is not None:
        text = "must be nil if limited.limitResponse.type is not Limited"
        faults.append(forbidden(f"{path}.limitResponse.queuing", text))
    if response.get("type") == "Queue" and response.get("queuing") is None:
        text = "must not be empty if limited.limitResponse.type is Limited"
        faults.append(required(f"{path}.limitResponse.queuing", text))
    return faults


def _strategy(
    kind: str, default: Callable[[Object], None], validate: Callable[[Object], list[FieldError]]
) -> Strategy:
    return Strategy(
        GVK(_GROUP, "v1", kind),
        default=default,
        prepare_create=prepare,
        validate=validate,
        validate_update=lambda new, _old: validate(new),
        has_generation=True,
        unconditional_update=False,
    )


STRATEGIES: tuple[Strategy, ...] = (
    _strategy("FlowSchema", default_flow_schema, validate_flow_schema),
    _strategy("PriorityLevelConfiguration", default_priority_level, validate_priority_level),
)
