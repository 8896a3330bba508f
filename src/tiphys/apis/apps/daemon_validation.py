"""Rules of DaemonSets and ControllerRevisions."""

from __future__ import annotations

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    Struct,
    immutable,
    invalid,
    not_supported,
    required,
    shown_selector,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.apps.validation import MISMATCH, long_running, parse_selector, same_selector, shown_rolling
from tiphys.apis.core.pod_validation import validate_template
from tiphys.apis.defaulting import peek
from tiphys.apis.value_validation import (
    amount,
    at_most_all,
    count_or_percent,
    label_selector,
    not_negative,
)


def validate_daemon_set(obj: Object) -> list[FieldError]:
    """Return every fault of a DaemonSet. A selector that is missing shows in that it matches nothing."""
    spec = peek(obj, "spec")
    given = spec.get("selector")
    faults = label_selector(given, "spec.selector")
    selector, labels = parse_selector(given), peek(spec, "template", "metadata", "labels")
    if selector is not None and not selector.matches(labels):
        faults.append(invalid("spec.template.metadata.labels", labels or None, MISMATCH))
    if isinstance(given, dict) and not given.get("matchLabels") and not given.get("matchExpressions"):
        text = "empty selector is invalid for daemonset"
        faults.append(invalid("spec.selector", shown_selector(given), text))
    template = peek(spec, "template")
    faults += validate_template(template, "spec.template") + long_running(template, "DaemonSet")
    faults += not_negative(spec, "spec", "minReadySeconds")
    faults += _strategy(peek(spec, "updateStrategy"), "spec.updateStrategy")
    return faults + not_negative(spec, "spec", "revisionHistoryLimit")


def _strategy(strategy: Object, path: str) -> list[FieldError]:
    kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        shown = Struct(Type=kind, RollingUpdate=shown_rolling(rolling))
        return [not_supported(path, shown, ("RollingUpdate", "OnDelete"))]
    if not isinstance(rolling, dict):
        return [required(f"{path}.rollingUpdate")]
    return _rolling(rolling, f"{path}.rollingUpdate")


def _rolling(rolling: Object, path: str) -> list[FieldError]:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    given = (("maxUnavailable", unavailable), ("maxSurge", surge))
    faults = [fault for key, value in given for fault in count_or_percent(value, f"{path}.{key}")]
    faults += [fault for key, value in given for fault in at_most_all(value, f"{path}.{key}")]
    if amount(unavailable) and amount(surge):
        text = "may not be set when maxUnavailable is non-zero"
        faults.append(invalid(f"{path}.maxSurge", surge, text))
    elif not amount(unavailable) and not amount(surge):
        faults.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return faults


def validate_daemon_set_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a DaemonSet; its selector never changes.

    As upstream does, all rules of a new one are told twice.
    """
    faults = validate_daemon_set(new)
    return faults + same_selector(new, old) + faults


def validate_revision(obj: Object) -> list[FieldError]:
    """Return every fault of a ControllerRevision."""
    data, faults = obj.get("data"), not_negative(obj, "", "revision")
    if not isinstance(data, dict):
        text = "data is mandatory" if data is None else "data must be a valid JSON object"
        faults.append(required("data", text))
    return faults


def validate_revision_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a ControllerRevision; the past never changes."""
    return not_negative(new, "", "revision") + immutable("data", new.get("data"), old.get("data"))
