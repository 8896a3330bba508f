"""Rules of StatefulSets, and what is said of those that are let through."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    Struct,
    forbidden,
    invalid,
    invalid_all,
    not_supported,
    required,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.apps.validation import long_running, matched_template, parse_selector, selector_faults
from tiphys.apis.core.claim_validation import claim_spec_faults
from tiphys.apis.core.pod_warnings import fractions, template_warnings
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import amount, at_most_all, count_or_percent, not_negative

_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip
_FIXED = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_ALWAYS_CHECKED = ("metadata.labels", "spec.restartPolicy", "spec.activeDeadlineSeconds")
_NO_LIMIT = (
    "spec.revisionHistoryLimit: a negative value retains all historical revisions; "
    "a value >= 0 is recommended"
)


def validate_stateful_set(obj: Object) -> list[FieldError]:
    """Return every fault of a StatefulSet."""
    spec = peek(obj, "spec")
    faults = _spec(spec)
    service = spec.get("serviceName")
    if service:
        faults += invalid_all("spec.serviceName", service, names.is_dns1123_label(service))
    for index, claim in enumerate(each(spec, "volumeClaimTemplates")):
        faults += claim_spec_faults(peek(claim, "spec"), f"spec.volumeClaimTemplates[{index}].spec")
    return faults


def _spec(spec: Object) -> list[FieldError]:
    """The faults that an update is held to as well. Claim templates stand for volumes of their names."""
    faults = _management(spec.get("podManagementPolicy") or "")
    faults += _strategy(peek(spec, "updateStrategy"), "spec.updateStrategy")
    faults += _retention(spec.get("persistentVolumeClaimRetentionPolicy"))
    faults += not_negative(spec, "spec", "replicas", "minReadySeconds")
    faults += not_negative(peek(spec, "ordinals"), "spec.ordinals", "start")
    faults += selector_faults(spec, "statefulset")
    claims = [str(peek(claim, "metadata").get("name")) for claim in each(spec, "volumeClaimTemplates")]
    faults += matched_template(spec, "StatefulSet", text="", extra_volumes=claims)
    if parse_selector(spec.get("selector")) is None:
        faults += long_running(peek(spec, "template"), "StatefulSet")
    return faults


def _management(policy: str) -> list[FieldError]:
    if not policy:
        return [required("spec.podManagementPolicy")]
    if policy in ("OrderedReady", "Parallel"):
        return []
    return [invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")]


def _strategy(strategy: Object, path: str) -> list[FieldError]:
    kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    if not kind:
        return [required(path)]
    if kind == "OnDelete":
        if rolling is None:
            return []
        text = "only allowed for updateStrategy 'RollingUpdate'"
        return [invalid(f"{path}.rollingUpdate", _shown(rolling), text)]
    if kind != "RollingUpdate":
        shown = Struct(Type=kind, RollingUpdate=_shown(rolling))
        return [invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'")]
    return _rolling(rolling, f"{path}.rollingUpdate") if isinstance(rolling, dict) else []


def _shown(rolling: Object | None) -> Struct | None:
    if rolling is None:
        return None
    return Struct(Partition=rolling.get("partition") or 0, MaxUnavailable=rolling.get("maxUnavailable"))


def _rolling(rolling: Object, path: str) -> list[FieldError]:
    faults = not_negative(rolling, path, "partition")
    unavailable, at = rolling.get("maxUnavailable"), f"{path}.maxUnavailable"
    if unavailable is None:
        return faults
    faults += count_or_percent(unavailable, at)
    if not amount(unavailable):
        faults.append(invalid(at, unavailable, "cannot be 0"))
    return faults + at_most_all(unavailable, at)


def _retention(policy: Object | None) -> list[FieldError]:
    if not isinstance(policy, dict):
        return []
    path, known = "spec.persistentVolumeClaimRetentionPolicy", ("Retain", "Delete")
    return [
        not_supported(f"{path}.{key}", policy.get(key) or "", known)
        for key in ("whenDeleted", "whenScaled")
        if policy.get(key) not in known
    ]


def validate_stateful_set_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a StatefulSet; most of its spec never changes."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    faults = _spec(spec)
    if any(_of_template(fault) for fault in faults) and any(map(_of_template, _spec(before))):
        # A template that was let through before there were rules for it may stay as it is.
        faults = [fault for fault in faults if not _of_template(fault)]
    fixed = (set(spec) | set(before)) - set(_MUTABLE)
    if any(spec.get(key) != before.get(key) for key in fixed):
        faults.append(forbidden("spec", _FIXED))
    return faults


def _of_template(fault: FieldError) -> bool:
    path = fault.field.removeprefix("spec.template.")
    return path != fault.field and path not in _ALWAYS_CHECKED


def stateful_set_warnings(obj: Object, old: Object | None) -> list[str]:
    """Return the warnings about a StatefulSet."""
    found = template_warnings(obj, old)
    for index, claim in enumerate(each(obj, "spec", "volumeClaimTemplates")):
        # On an update, the API's own path is spelled otherwise.
        path = f"spec.volumeClaimTemplates[{index}]" + (".Spec" if old else "")
        for kind in ("requests", "limits"):
            amounts = peek(claim, "spec", "resources", kind)
            found += fractions(amounts, f"{path}.resources.{kind}", ("storage",))
    limit = peek(obj, "spec").get("revisionHistoryLimit")
    return [*found, _NO_LIMIT] if limit is not None and limit < 0 else found
