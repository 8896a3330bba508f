"""What one write costs a namespace's quotas, and why it may not have what it costs. Pure.

Source: the "Resource Quotas" page, "Limit Priority Class consumption by default".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tiphys.apimachinery import quantity
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import Quantity
from tiphys.apis.core.quota import (
    Usage,
    in_scope,
    matching_scopes,
    measured,
    missing_compute,
    scopes_of,
    usage_of,
)
from tiphys.apis.core.quota_devices import Devices

_ZERO: Final = quantity.from_value(0)
_SCOPED: Final = (("", "pods"), ("", "persistentvolumeclaims"))


class Refused(TiphysError):
    """There is no room, or the object does not say what it needs."""


class Uncovered(TiphysError):
    """Nobody may use this where no quota is about it."""


@dataclass(frozen=True, slots=True)
class Write:
    """An object that is written, and what it was before; the write is one that quotas look at."""

    group: str
    plural: str
    obj: Object
    old: Object | None = None
    subresource: str = ""
    devices: Devices | None = None
    """Where a device claim is written, and those count under the names of extended resources."""

    def usage(self, obj: Object) -> Usage:
        return usage_of(self.group, self.plural, obj, devices=self.devices)

    def measured(self, names: Iterable[str]) -> set[str]:
        return measured(self.group, self.plural, names, self.devices)


@dataclass(frozen=True, slots=True)
class _Interested:
    """A quota that a write falls under: its place, what it allows and what is used."""

    index: int
    quota: Object
    hard: Usage
    used: Usage

    @property
    def name(self) -> str:
        return str(self.quota["metadata"]["name"])


def charges(write: Write, quotas: Sequence[Object], limited: Sequence[Object] = ()) -> dict[int, Usage]:
    """Return what is used of each quota once this is written, by the quota's place; only where that changes.

    ``limited`` are resources that nobody may have without a quota about them (``limitedResources``).

    Raises:
        Refused, Uncovered.
    """
    usage = write.usage(write.obj)
    interested = [found for found in _interested(write, quotas) if found is not None]
    negative = sorted(name for name, amount in usage.items() if amount.amount < 0)
    if negative:
        raise Refused(f"quota usage is negative for resource(s): {','.join(negative)}")
    more = _more(usage, write)
    deltas = {one.index: more if _was_in(one.quota, write) else _positive(usage) for one in interested}
    if not any(deltas.values()) if interested else not more:
        return {}
    _check_covered(write, usage, quotas, interested, limited)
    return {one.index: _charged(one, deltas[one.index], write) for one in interested if deltas[one.index]}


def _interested(write: Write, quotas: Sequence[Object]) -> Iterable[_Interested | None]:
    """Yield the quotas that a write falls under. Raises Refused."""
    for index, quota in enumerate(quotas):
        status = quota.get("status") or {}
        one = _Interested(index, quota, _amounts(status.get("hard")), _amounts(status.get("used")))
        names = write.measured(one.hard)
        if not names or not in_scope(quota, write.group, write.plural, write.obj):
            continue
        if (write.group, write.plural) == ("", "pods"):
            missing = missing_compute(write.obj.get("spec") or {}, names)
            if missing:
                raise Refused(f"failed quota: {one.name}: must specify {'; '.join(missing)}")
        if names - one.used.keys():
            raise Refused(f"status unknown for quota: {one.name}, resources: {','.join(sorted(names))}")
        yield one


def _amounts(values: Mapping[str, Any] | None) -> Usage:
    return {key: quantity.parse(str(value)) for key, value in (values or {}).items()}


def _positive(usage: Usage) -> Usage:
    return {name: amount for name, amount in usage.items() if amount.amount > 0}


def _more(usage: Usage, write: Write) -> Usage:
    """Return what a write adds to what the object was before; shrinking is free."""
    before = {} if write.old is None else write.usage(write.old)
    return _positive(
        {name: amount - before[name] if name in before else amount for name, amount in usage.items()}
    )


def _was_in(quota: Object, write: Write) -> bool:
    """Tell whether a quota has counted the object before."""
    return write.old is not None and in_scope(quota, write.group, write.plural, write.old)


def _check_covered(
    write: Write,
    usage: Usage,
    quotas: Sequence[Object],
    interested: Sequence[_Interested],
    limited: Sequence[Object],
) -> None:
    """Raise Refused or Uncovered where something limited is not any quota's."""
    if not limited:
        return
    wanted = {
        name
        for one in limited
        if (one.get("apiGroup") or "", one.get("resource")) == (write.group, write.plural)
        for name in _positive(usage)
        if any(part in name for part in one.get("matchContains") or ())
    }
    for one in interested:
        wanted -= write.measured(one.hard)
    if wanted:
        raise Refused(f"insufficient quota to consume: {','.join(sorted(wanted))}")
    if (write.group, write.plural) not in _SCOPED:
        return
    about = (write.group, write.plural, write.obj)
    covered = {scope["scopeName"] for quota in quotas for scope in matching_scopes(scopes_of(quota), *about)}
    asked = [scope for one in limited for scope in matching_scopes(one.get("matchScopes") or (), *about)]
    open_to_nobody = [scope for scope in asked if scope["scopeName"] not in covered]
    if open_to_nobody:
        shown = " ".join(_shown(scope) for scope in open_to_nobody)
        raise Uncovered(f"insufficient quota to match these scopes: [{shown}]")


def _shown(scope: Mapping[str, Any]) -> str:
    values = " ".join(scope.get("values") or ())
    return f"{{{scope['scopeName']} {scope.get('operator') or ''} [{values}]}}"


def _charged(one: _Interested, delta: Usage, write: Write) -> Usage:
    """Return what is used of a quota with a write charged to it. Raises Refused."""
    asked = {name: amount for name, amount in delta.items() if name in one.hard}
    total = dict(one.used)
    for name, amount in asked.items():
        total[name] = total[name] + amount if name in total else amount
    over = sorted(name for name in asked if total[name].amount > one.hard[name].amount)
    if over and write.subresource != "status":
        raise Refused(
            f"exceeded quota: {one.name}, requested: {_listed(asked, over)}, "
            f"used: {_listed(one.used, over)}, limited: {_listed(one.hard, over)}"
        )
    return total


def _listed(values: Usage, names: Sequence[str]) -> str:
    amounts: list[tuple[str, Quantity]] = [(name, values.get(name, _ZERO)) for name in names]
    return ",".join(f"{name}={amount}" for name, amount in amounts)
