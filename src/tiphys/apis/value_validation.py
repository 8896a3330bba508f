"""Checks of single values that many kinds share: numbers, ports, percentages, label selectors, choices.

Called by the validators of ``apis/<group>``; each check returns faults at the path it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tiphys.apimachinery import names
from tiphys.apimachinery.atoi import MAX_INT64, atoi
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    invalid,
    invalid_all,
    not_supported,
    required,
    too_long,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each
from tiphys.apis.meta_validation import validate_labels

NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than zero"
NOT_INTEGER = "must be an integer"
_MAX_INT32 = 2**31 - 1
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_STATUSES = ("False", "True", "Unknown")
_REASON_MAX = 1024
_MESSAGE_MAX = 32768


def not_negative(obj: Object, path: str, *keys: str) -> list[FieldError]:
    """None of these numbers may be below zero. An empty ``path`` is that of the whole object."""
    return [
        invalid(f"{path}.{key}" if path else key, obj[key], NOT_NEGATIVE)
        for key in keys
        if isinstance(obj.get(key), int | float) and obj[key] < 0
    ]


def one_of(
    value: Any,
    path: str,
    supported: Iterable[str],
    *,
    optional: bool = False,
    nullable: bool = False,
    as_given: bool = False,
) -> list[FieldError]:
    """The value must be one of these; an empty one is missing unless ``optional``.

    ``nullable`` (a pointer in the API's types): it may be left out, but an empty text is a value.
    The text lists them in order, or ``as_given`` where the API does so.
    """
    if nullable and value is None:
        return []
    if not value and not nullable:
        return [] if optional else [required(path)]
    choices = list(supported)
    if value in choices:
        return []
    return [not_supported(path, value, choices if as_given else sorted(choices))]


def port_number(value: Any, path: str) -> list[FieldError]:
    """A number from 1 to 65535."""
    return invalid_all(path, value, names.is_port_number(int(value or 0)))


def port_number_or_name(value: Any, path: str) -> list[FieldError]:
    """A port's number, or the name of a container's port."""
    if isinstance(value, str):
        return invalid_all(path, value, names.is_port_name(value))
    return port_number(value or 0, path)


def is_percent(value: Any) -> bool:
    return isinstance(value, str) and not names.is_percent(value)


def count_or_percent(value: Any, path: str) -> list[FieldError]:
    """A number that is not negative, or a percentage."""
    if value is None:
        return []
    if isinstance(value, str):
        return invalid_all(path, value, names.is_percent(value))
    return [invalid(path, value, NOT_NEGATIVE)] if value < 0 else []


def at_most_all(value: Any, path: str) -> list[FieldError]:
    """A percentage may not exceed the whole."""
    if is_percent(value) and amount(value) > 100:
        return [invalid(path, value, "must not be greater than 100%")]
    return []


def amount(value: Any) -> int:
    """The number of an int-or-percent value, whatever its unit; of a text that is neither, what it says."""
    if isinstance(value, str):
        digits = value[:-1] if is_percent(value) else value
        number = atoi(digits)
        return number if number is not None else MAX_INT64 if _WHOLE.fullmatch(digits) else 0
    return int(value or 0)


def deadline(value: Any, path: str) -> list[FieldError]:
    """A positive 32-bit number of seconds."""
    if value is None:
        return []
    return invalid_all(path, value, names.in_range(int(value), 1, _MAX_INT32))


def user_id(value: Any, path: str) -> list[FieldError]:
    """A user or group id."""
    if value is None:
        return []
    return invalid_all(path, value, names.in_range(int(value), 0, _MAX_INT32))


def label_selector(selector: Object | None, path: str) -> list[FieldError]:
    """Return every fault of a label selector."""
    if not selector:
        return []
    faults = validate_labels(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, requirement in enumerate(each(selector, "matchExpressions")):
        faults += label_requirement(requirement, f"{path}.matchExpressions[{index}]")
    return faults


def label_requirement(requirement: Object, path: str, *, unknown_operators: bool = False) -> list[FieldError]:
    """Return every fault of one requirement of a label selector."""
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    faults: list[FieldError] = []
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            faults.append(required(f"{path}.values", text))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            faults.append(forbidden(f"{path}.values", text))
    elif not unknown_operators:
        faults.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = requirement.get("key") or ""
    faults += invalid_all(f"{path}.key", key, names.is_qualified_name(key))
    for index, value in enumerate(values):
        faults += invalid_all(f"{path}.values[{index}]", value, names.is_label_value(str(value)))
    return faults


def domain_prefixed_path(value: str, path: str) -> list[FieldError]:
    """``acme.io/foo``; what is wrong is told of the part that is."""
    if not value:
        return [required(path)]
    host, _, rest = value.partition("/")
    if not host or not rest:
        return [invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    return invalid_all(path, host, names.is_dns1123_subdomain(host)) + invalid_all(
        path, rest, names.is_http_path(rest)
    )


def conditions(obj: Object, path: str) -> list[FieldError]:
    """Return every fault of a status's standard conditions."""
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in enumerate(each(obj, "conditions")):
        at, kind, reason = f"{path}[{index}]", condition.get("type") or "", condition.get("reason") or ""
        if kind in seen:
            faults.append(duplicate(f"{at}.type", kind))
        seen.add(kind)
        faults += _condition(condition, kind, reason, at)
    return faults


def _condition(condition: Object, kind: str, reason: str, path: str) -> list[FieldError]:
    status = condition.get("status") or ""
    faults = invalid_all(f"{path}.type", kind, names.is_qualified_name(kind))
    if status not in _STATUSES:
        faults.append(not_supported(f"{path}.status", status, _STATUSES))
    generation = condition.get("observedGeneration") or 0
    if generation < 0:
        text = "must be greater than or equal to zero"
        faults.append(invalid(f"{path}.observedGeneration", generation, text))
    if not condition.get("lastTransitionTime"):
        faults.append(required(f"{path}.lastTransitionTime", "must be set"))
    if not reason:
        faults.append(required(f"{path}.reason", "must be set"))
    else:
        faults += invalid_all(f"{path}.reason", reason, names.is_condition_reason(reason))
        if len(reason) > _REASON_MAX:
            faults.append(too_long(f"{path}.reason", _REASON_MAX))
    if len((condition.get("message") or "").encode()) > _MESSAGE_MAX:
        faults.append(too_long(f"{path}.message", _MESSAGE_MAX))
    return faults


def relative_path(value: str, path: str) -> list[FieldError]:
    """A path that stays below where it starts."""
    faults: list[FieldError] = []
    if value.startswith("/"):
        faults.append(invalid(path, value, "must be a relative path"))
    return faults + no_backsteps(value, path)


def no_backsteps(value: str, path: str) -> list[FieldError]:
    """A path with no ``..`` in it."""
    return [invalid(path, value, "must not contain '..'")] if ".." in value.split("/") else []
