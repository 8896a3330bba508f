"""What the containers of a pod ask for together."""

from __future__ import annotations

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import Quantity
from tiphys.apis.defaulting import each, peek

Amounts = dict[str, Quantity]


def aggregate_requests(spec: Object, key: str = "requests") -> Amounts:
    """Add up all that runs at once; where start-up needs more than that, that. ``key`` may be ``limits``."""
    running: Amounts = {}
    for container in each(spec, "containers"):
        _add(running, container, key)
    sidecars: Amounts = {}
    most: Amounts = {}
    for container in each(spec, "initContainers"):
        now = dict(sidecars)
        _add(now, container, key)
        if container.get("restartPolicy") == "Always":
            _add(running, container, key)
            sidecars = now
        most = _larger(most, now)
    return _larger(running, most)


def _larger(one: Amounts, other: Amounts) -> Amounts:
    return {
        name: max(
            (amounts[name] for amounts in (one, other) if name in amounts), key=lambda found: found.amount
        )
        for name in sorted({*one, *other})
    }


def _add(total: Amounts, container: Object, key: str) -> None:
    for name, value in peek(container, "resources", key).items():
        try:
            amount = quantity.parse(str(value))
        except ValueError:
            continue
        total[name] = total[name] + amount if name in total else amount
