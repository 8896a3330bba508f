"""Rules of what can be asked of a device: capacities, counters, its node's resources, what is waited for.

Source: resource.k8s.io/v1 CapacityRequestPolicy, CounterSet and DeviceCounterConsumption.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    invalid,
    invalid_all,
    not_found,
    required,
    too_many,
)
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import ZERO, Quantity, QuantityError, parse
from tiphys.apis.defaulting import each, peek
from tiphys.apis.resource.device_values import label_faults

_MOST_SETS = 8
_MOST_COUNTERS = 32
_MOST_CONSUMED = 2
_MOST_CONDITIONS = 4
_MOST_VALUES = 10
_OF_NODES = ("cpu", "memory", "ephemeral-storage")
_TWO_POLICIES = (
    'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
)


def _quantity(value: Any) -> Quantity:
    """Read an amount; what is none has been refused before."""
    try:
        return parse(str(value))
    except QuantityError:
        return ZERO


def counter_set_faults(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of the counters that the devices of a pool share."""
    return _counted(list(each(spec, "sharedCounters")), path, "name", _MOST_SETS)


def consumption_faults(device: Object, path: str) -> list[FieldError]:
    """Return every fault of what a device takes from counters."""
    return _counted(list(each(device, "consumesCounters")), path, "counterSet", _MOST_CONSUMED)


def _counted(sets: Sequence[Object], path: str, key: str, most: int) -> list[FieldError]:
    if len(sets) > most:
        return [too_many(path, len(sets), most)]
    faults: list[FieldError] = []
    for index, one in enumerate(sets):
        at, name, counters = f"{path}[{index}]", one.get(key) or "", peek(one, "counters")
        faults += label_faults(name, f"{at}.{key}") if name else [required(f"{at}.{key}")]
        if not counters:
            faults.append(required(f"{at}.counters"))
        elif len(counters) > _MOST_COUNTERS:
            faults.append(too_many(f"{at}.counters", len(counters), _MOST_COUNTERS))
        else:
            for counter in counters:
                faults += label_faults(counter, f"{at}.counters")
    return faults + _repeated([one.get(key) or "" for one in sets], path)


def _repeated(keys: Sequence[str], path: str) -> list[FieldError]:
    return [duplicate(f"{path}[{index}]", key) for index, key in enumerate(keys) if key in keys[:index]]


def binding_faults(holder: Object, path: str) -> list[FieldError]:
    """Return every fault of the conditions that a pod waits for before it is bound to a device's node."""
    wanted: list[str] = list(holder.get("bindingConditions") or ())
    failed: list[str] = list(holder.get("bindingFailureConditions") or ())
    at, at_failed = f"{path}.bindingConditions", f"{path}.bindingFailureConditions"
    faults = _conditions(wanted, at) + _conditions(failed, at_failed)
    faults += _repeated(wanted, at)
    for index, condition in enumerate(failed):
        where = f"{at_failed}[{index}]"
        if condition in failed[:index]:
            faults.append(duplicate(where, condition))
        if condition in wanted:
            text = "bindingFailureConditions must not overlap with bindingConditions"
            faults.append(invalid(where, condition, text))
    if failed and not wanted:
        text = "bindingConditions are required to use bindingFailureConditions"
        faults.append(invalid(at, holder.get("bindingConditions"), text))
    if wanted and not failed:
        text = "bindingFailureConditions are required to use bindingConditions"
        faults.append(invalid(at_failed, holder.get("bindingFailureConditions"), text))
    return faults


def _conditions(conditions: Sequence[str], path: str) -> list[FieldError]:
    if len(conditions) > _MOST_CONDITIONS:
        return [too_many(path, len(conditions), _MOST_CONDITIONS)]
    return [
        fault
        for index, condition in enumerate(conditions)
        for fault in invalid_all(f"{path}[{index}]", condition, names.is_qualified_name(condition))
    ]


def mapping_faults(device: Object, path: str) -> list[FieldError]:
    """Return every fault of what a device takes of its node's own resources, by the resource's name."""
    faults: list[FieldError] = []
    for name, mapping in peek(device, "nodeAllocatableResourceMappings").items():
        at, key = f"{path}[{name}]", mapping.get("capacityKey")
        if name not in _OF_NODES and not name.startswith("hugepages-"):
            faults.append(invalid(at, name, "must be a node allocatable resource name"))
        if key == "":
            faults.append(invalid(f"{at}.capacityKey", key, "capacityKey must not be an empty string"))
        elif key is not None and key not in peek(device, "capacity"):
            faults.append(not_found(f"{at}.capacityKey", key))
        multiplier = mapping.get("allocationMultiplier")
        if multiplier is not None and _quantity(multiplier).amount <= 0:
            shown = str(_quantity(multiplier))
            faults.append(invalid(f"{at}.allocationMultiplier", shown, "must be positive"))
    return faults


def capacity_faults(capacity: Object, path: str, *, shared: bool) -> list[FieldError]:
    """Return every fault of one capacity; ``shared`` says whether several claims may have a part of it."""
    policy, at = capacity.get("requestPolicy"), f"{path}.requestPolicy"
    if not isinstance(policy, dict):
        return []
    if not shared:
        return [forbidden(at, "allowMultipleAllocations must be true")]
    values, bounds = policy.get("validValues") or [], policy.get("validRange")
    if values and bounds is not None:
        return [forbidden(at, _TWO_POLICIES)]
    if not values and bounds is None:
        return []
    key = "validValues" if values else "validRange"
    if policy.get("default") is None:
        return [required(f"{at}.default", f"required when {key} is defined")]
    default, whole = _quantity(policy["default"]), _quantity(capacity.get("value"))
    if values:
        return _values([_quantity(value) for value in values], default, whole, f"{at}.{key}")
    return _range(peek(policy, key), default, whole, f"{at}.{key}")


def _values(values: Sequence[Quantity], default: Quantity, whole: Quantity, path: str) -> list[FieldError]:
    faults = [
        invalid(f"{path}[{index + 1}]", str(value), "values must be sorted in ascending order")
        for index, value in enumerate(values[1:])
        if values[index].amount > value.amount
    ]
    if len(values) > _MOST_VALUES:
        faults.append(too_many(path, len(values), _MOST_VALUES))
        return [*faults, _not_valid(default, path)]
    for index, value in enumerate(values):
        if value.amount > whole.amount:
            text = f"option is larger than capacity value: {whole}"
            faults.append(invalid(f"{path}[{index}]", str(value), text))
    faults += _repeated([str(value.value()) for value in values], path)
    if all(value.amount != default.amount for value in values):
        faults.append(_not_valid(default, path))
    return faults


def _not_valid(default: Quantity, path: str) -> FieldError:
    return invalid(path, str(default), "default value is not valid according to the requestPolicy")


def _range(bounds: Object, default: Quantity, whole: Quantity, path: str) -> list[FieldError]:
    if bounds.get("min") is None:
        return [required(f"{path}.min", "required when validRange is defined")]
    least = _quantity(bounds["min"])
    most = None if bounds.get("max") is None else _quantity(bounds["max"])
    faults: list[FieldError] = []
    if least.amount > whole.amount:
        faults.append(invalid(f"{path}.min", str(least), f"min is larger than capacity value: {whole}"))
    if default.amount < least.amount:
        faults.append(invalid(f"{path}.min", str(default), f"default is less than min: {least}"))
    if most is not None:
        faults += _most(least, most, default, whole, f"{path}.max")
    if bounds.get("step") is not None:
        step, at = _quantity(bounds["step"]), f"{path}.step"
        after = least + step
        if after.amount > whole.amount:
            text = f"one step {after} is larger than capacity value: {whole}"
            faults.append(invalid(at, str(step), text))
        for value in (default, most):
            faults += [] if value is None else _steps(value, least, step, at)
    return faults


def _most(least: Quantity, most: Quantity, default: Quantity, whole: Quantity, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    if least.amount > most.amount:
        faults.append(invalid(path, str(least), f"min is larger than max: {most}"))
    if most.amount > whole.amount:
        faults.append(invalid(path, str(most), f"max is larger than capacity value: {whole}"))
    if default.amount > most.amount:
        faults.append(invalid(path, str(default), f"default is more than max: {most}"))
    return faults


def _steps(value: Quantity, least: Quantity, step: Quantity, path: str) -> list[FieldError]:
    """A step of nothing is never reached; upstream's arithmetic knows no answer to it."""
    size = step.value()
    if size and (value.value() - least.value()) % size == 0:
        return []
    return [invalid(path, str(value), f"value is not a multiple of a given step ({step}) from ({least})")]
