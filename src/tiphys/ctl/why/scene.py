"""What ``why`` looks at and what it answers: plain values, read once and never changed.

A ``Scene`` is everything that was read about one object and its surroundings; the other modules of this
package turn it into ``Finding``s. Nothing here asks a server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import datetime

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.duration import human
from tiphys.apimachinery.meta import Object, get_condition

Ref = tuple[str, str, str]
"""Resource (``pods``), namespace (empty for the cluster's own) and name."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer to "why": a sentence, what shows it, and what to do next."""

    cause: str
    evidence: tuple[str, ...] = ()
    try_next: str = ""
    table: tuple[tuple[str, ...], ...] = ()
    """Rows of equal length; an empty one parts two tables."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What was read. ``objects`` has None for what does not exist; what is not in it is unknown."""

    now: datetime
    objects: Mapping[Ref, Object | None] = field(default_factory=dict)
    events: tuple[Object, ...] = ()
    unread: tuple[str, ...] = ()
    """What could not be read, with the reason: findings may be missing for it."""

    def get(self, resource: str, name: str, namespace: str = "") -> Object | None:
        return self.objects.get((resource, namespace, name))

    def missing(self, resource: str, name: str, namespace: str = "") -> bool:
        """True when the server said that there is no such object; False when nobody asked."""
        ref = (resource, namespace, name)
        return ref in self.objects and self.objects[ref] is None

    def all(self, resource: str) -> Iterator[Object]:
        """Every object of a resource that was read, by namespace and name."""
        for ref in sorted(ref for ref in self.objects if ref[0] == resource):
            obj = self.objects[ref]
            if obj is not None:
                yield obj

    def owned_by(self, resource: str, owner: Object) -> list[Object]:
        """The objects of a resource that name ``owner`` as their controller."""
        uid = owner["metadata"].get("uid")
        return [
            obj
            for obj in self.all(resource)
            if any(
                ref.get("controller") and ref.get("uid") == uid
                for ref in obj["metadata"].get("ownerReferences") or ()
            )
        ]

    def events_of(self, obj: Object, *reasons: str) -> list[Object]:
        """The events about an object with one of ``reasons`` (none: any), newest first."""
        meta = obj["metadata"]
        found = []
        for event in self.events:
            about = event.get("involvedObject") or {}
            same = about.get("name") == meta["name"] and about.get("kind") == obj.get("kind")
            if (
                same
                and about.get("uid", "") in ("", meta.get("uid", ""))
                and event.get("reason") in (reasons or (event.get("reason"),))
            ):
                found.append(event)
        return sorted(found, key=_seen, reverse=True)

    def age(self, stamp: str | None) -> str:
        """How long ago a timestamp was, as people write it; empty without one."""
        return human((self.now - parse_time(stamp)).total_seconds()) if stamp else ""

    def told(self, event: Object) -> str:
        """An event as evidence."""
        series = event.get("series") or {}
        count = series.get("count") or event.get("count") or 1
        times = f", {count} times" if count > 1 else ""
        ago = f", {self.age(_seen(event))} ago" if _seen(event) else ""
        return f"event {event.get('reason', '')}{times}{ago}: {one_line(event.get('message', ''))}"


def _seen(event: Object) -> str:
    series = event.get("series") or {}
    stamps = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((stamp for stamp in stamps if stamp), "")


def one_line(text: str) -> str:
    return " ".join(text.split())


def condition_text(condition: Object) -> str:
    """A condition as evidence: ``condition Ready=False (ContainersNotReady): ...``."""
    reason = f" ({condition['reason']})" if condition.get("reason") else ""
    message = f": {one_line(condition['message'])}" if condition.get("message") else ""
    return f"condition {condition['type']}={condition.get('status')}{reason}{message}"


def section(obj: Object, name: str) -> Object:
    """Return an object's spec or status; empty where a custom kind has something else there."""
    value = obj.get(name)
    return value if isinstance(value, dict) else {}


def conditions_of(obj: Object) -> list[Object]:
    """Return the conditions that have the usual form, of any kind."""
    found = section(obj, "status").get("conditions")
    items = found if isinstance(found, list) else []
    return [item for item in items if isinstance(item, dict) and item.get("type")]


def condition_is(obj: Object, type_: str, status: str) -> Object | None:
    """Return a condition if it has this status."""
    condition = get_condition(obj, type_)
    return condition if condition is not None and condition.get("status") == status else None


def flag(namespace: str) -> str:
    """The ``-n`` of a kubectl command, with a space before it."""
    return f" -n {namespace}" if namespace else ""


def where(obj: Object) -> str:
    """The ``-n`` for an object's own namespace."""
    return flag(obj["metadata"].get("namespace", ""))
