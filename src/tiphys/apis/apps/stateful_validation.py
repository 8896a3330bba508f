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
    shown_selector,
)
from tiphys.apimachinery.labels import Selector
from tiphys.apimachinery.meta import Object
from tiphys.apis.apps.validation import MISMATCH, long_running, parse_selector, selector_faults
from tiphys.apis.core.claim_validation import claim_spec_faults
from tiphys.apis.core.pod_annotations import validate_pod_annotations
from tiphys.apis.core.pod_validation import validate_template
from tiphys.apis.core.pod_warnings import fractions, template_warnings
from tiphys.apis.defaulting import each, peek
from tiphys.apis.meta_validation import validate_annotations, validate_labels
from tiphys.apis.value_validation import amount, at_most_all, count_or_percent, not_negative

_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip
_FIXED = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_NO_LIMIT = (
    "spec.revisionHistoryLimit: a negative value retains all historical revisions; "
    "a value >= 0 is recommended"
)


def validate_stateful_set(obj: Object) -> list[FieldError]:
    """Return every fault of a StatefulSet."""
    return _spec(peek(obj, "spec"), is_new=True)


def _spec(spec: Object, *, is_new: bool = False, any_template: bool = False) -> list[FieldError]:
    """What never changes is looked at in new ones alone, and the template unless ``any_template`` will do."""
    faults = _management(spec.get("podManagementPolicy") or "")
    faults += _strategy(peek(spec, "updateStrategy"), "spec.updateStrategy")
    faults += _retention(spec.get("persistentVolumeClaimRetentionPolicy"))
    for index, claim in enumerate(each(spec, "volumeClaimTemplates") if is_new else ()):
        faults += claim_spec_faults(peek(claim, "spec"), f"spec.volumeClaimTemplates[{index}].spec")
    faults += not_negative(spec, "spec", "replicas", "minReadySeconds")
    faults += not_negative(peek(spec, "ordinals"), "spec.ordinals", "start")
    service = spec.get("serviceName")
    if service and is_new:
        faults += invalid_all("spec.serviceName", service, names.is_dns1123_label(service))
    faults += selector_faults(spec, "statefulset")
    template, selector = _as_pods_have_it(spec), parse_selector(spec.get("selector"))
    if selector is None:
        faults.append(invalid("spec.selector", shown_selector(peek(spec, "selector")), ""))
    else:
        faults += _template(template, selector, any_template=any_template)
    return faults + long_running(template, "StatefulSet")


def _template(template: Object, selector: Selector, *, any_template: bool) -> list[FieldError]:
    """As upstream does, rules of labels and annotations are told once more."""
    meta, path, faults = peek(template, "metadata"), "spec.template", list[FieldError]()
    labels, annotations = peek(meta, "labels"), peek(meta, "annotations")
    if not selector.everything and not selector.matches(labels):
        faults.append(invalid(f"{path}.metadata.labels", labels or None, MISMATCH))
    if not any_template:
        faults += validate_template(template, path)
    faults += validate_labels(labels, f"{path}.labels")
    faults += validate_annotations(annotations, f"{path}.annotations")
    return faults + validate_pod_annotations(annotations, peek(template, "spec"), f"{path}.annotations")


def _as_pods_have_it(spec: Object) -> Object:
    """Return the template with the volumes of its claims first, and without the names that each pod gets."""
    template, pod = peek(spec, "template"), peek(spec, "template", "spec")
    claims = [str(peek(claim, "metadata").get("name") or "") for claim in each(spec, "volumeClaimTemplates")]
    if not (claims or pod.get("hostname") or pod.get("subdomain")):
        return template
    pod = {key: value for key, value in pod.items() if key not in ("hostname", "subdomain")}
    if claims:
        own = [volume for volume in each(pod, "volumes") if (volume.get("name") or "") not in claims]
        made = [
            {"name": name, "persistentVolumeClaim": {"claimName": name}} for name in dict.fromkeys(claims)
        ]
        pod["volumes"] = made + own
    return {**template, "spec": pod}


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
    if faults and _spec(before):
        # What was let through before there were rules for it may have any template.
        faults = _spec(spec, any_template=True)
    fixed = (set(spec) | set(before)) - set(_MUTABLE)
    if any(spec.get(key) != before.get(key) for key in fixed):
        faults.append(forbidden("spec", _FIXED))
    return faults


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
