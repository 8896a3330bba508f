"""Rules of events: those of the core group are lenient, those of ``events.k8s.io`` are not.

Both are stored as core events, so the paths are the core group's.
"""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import immutable, invalid, invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import peek
from tiphys.apis.inside import immutable_inside

_SHORT, _NOTE = 128, 1024
_UNSET = "needs to be unset"
_TYPES = {"involvedObject": "ObjectReference", "related": "ObjectReference", "source": "EventSource"}
_FROZEN = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason",
    "type",
    "eventTime", "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip


def validate_event(event: Object, reporter: str = "reportingComponent") -> list[FieldError]:
    """Return every fault of an Event as the core group sees it; ``reporter`` is that field's path."""
    home = str(peek(event, "metadata").get("namespace") or "")
    about = str(peek(event, "involvedObject").get("namespace") or "")
    elsewhere = [invalid("involvedObject.namespace", about, "does not match event.namespace")]
    faults: list[FieldError] = []
    if not event.get("eventTime"):
        if about != home and not (not about and home in ("", "default")):
            faults += elsewhere
    else:
        if not about and home not in ("default", "kube-system"):
            faults += elsewhere
        faults += _reported(event, reporter)
    return faults + invalid_all("namespace", home, names.is_dns1123_subdomain(home))


def _reported(event: Object, reporter: str) -> list[FieldError]:
    by = event.get("reportingComponent") or ""
    faults = [] if by else [required(reporter)]
    faults += invalid_all(reporter, by, names.is_qualified_name(by))
    for key in ("reportingInstance", "action", "reason"):
        value = event.get(key) or ""
        if not value:
            faults.append(required(key))
        elif len(value.encode()) > _SHORT:
            faults.append(invalid(key, "", f"can have at most {_SHORT} characters"))
    if len((event.get("message") or "").encode()) > _NOTE:
        faults.append(invalid("message", "", f"can have at most {_NOTE} characters"))
    return faults


def _series(event: Object) -> list[FieldError]:
    series = event.get("series")
    if not isinstance(series, dict):
        return []
    faults: list[FieldError] = []
    if (series.get("count") or 0) < 2:
        faults.append(invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        faults.append(required("series.lastObservedTime"))
    return faults


def validate_new_event(event: Object) -> list[FieldError]:
    """Return every fault of a new Event of ``events.k8s.io``."""
    faults = validate_event(event, "reportingController") + _series(event)
    if not event.get("eventTime"):
        faults.append(required("eventTime"))
    kind = event.get("type") or ""
    if kind not in ("Normal", "Warning"):
        faults.append(invalid("type", "", f"has invalid value: {kind}"))
    for key in ("firstTimestamp", "lastTimestamp", "count"):
        if event.get(key):
            faults.append(invalid(key, "", _UNSET))
    source = peek(event, "source")
    if source.get("component") or source.get("host"):
        faults.append(invalid("source", "", _UNSET))
    return faults


def validate_new_event_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing an Event of ``events.k8s.io``: only its series goes on."""
    faults = validate_event(new, "reportingController")
    if new.get("series") != old.get("series"):
        faults += _series(new)
    for key in _FROZEN:
        path = "reportingController" if key == "reportingComponent" else key
        if key in _TYPES:
            faults += immutable_inside(path, _TYPES[key], new.get(key), old.get(key))
        else:
            faults += immutable(path, new.get(key) or None, old.get(key) or None)
    return faults
