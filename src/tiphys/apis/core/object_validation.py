"""Rules of the remaining core kinds: nodes, volumes, claims, quotas, limits, accounts, events."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, forbidden, immutable, invalid, invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import cidr_faults
from tiphys.apis.core.affinity_validation import node_selector
from tiphys.apis.core.pod_validation import validate_template
from tiphys.apis.core.resource_validation import parse_amount, quantity_faults, resource_name_faults
from tiphys.apis.core.volume_validation import access_mode_faults, claim_spec_faults
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import one_of

_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_VOLUME_META = frozenset(
    {
        "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity",
        "persistentVolumeReclaimPolicy", "storageClassName", "volumeAttributesClassName", "volumeMode",
    }
)  # fmt: skip
_SCOPES = frozenset(
    {
        "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass",
        "Terminating", "VolumeAttributesClass",
    }
)  # fmt: skip
_CLAIM_TEXT = (
    "spec is immutable after creation except resources.requests and "
    "volumeAttributesClassName for bound claims"
)


def validate_pod_template(obj: Object) -> list[FieldError]:
    """Return every fault of a PodTemplate."""
    return validate_template(peek(obj, "template"), "template")


def validate_pod_template_update(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of replacing a PodTemplate."""
    return validate_pod_template(new)


def validate_node(node: Object) -> list[FieldError]:
    """Return every fault of a Node."""
    spec = peek(node, "spec")
    faults: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(each(spec, "taints")):
        path = f"spec.taints[{index}]"
        key, effect = taint.get("key") or "", taint.get("effect") or ""
        value = taint.get("value") or ""
        faults += invalid_all(f"{path}.key", key, names.is_qualified_name(key))
        if value:
            faults += invalid_all(f"{path}.value", value, names.is_label_value(value))
        faults += one_of(effect, f"{path}.effect", _EFFECTS)
        if (key, effect) in seen:
            faults.append(duplicate(path, taint))
        seen.add((key, effect))
    for index, cidr in enumerate(spec.get("podCIDRs") or ()):
        faults += cidr_faults(cidr, f"spec.podCIDRs[{index}]")
    return faults


def validate_node_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a Node."""
    faults = validate_node(new)
    spec, before = peek(new, "spec"), peek(old, "spec")
    if before.get("podCIDRs") and spec.get("podCIDRs") != before["podCIDRs"]:
        text = 'node updates may not change podCIDR except from "" to valid'
        faults.append(forbidden("spec.podCIDRs", text))
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        text = 'node updates may not change providerID except from "" to valid'
        faults.append(forbidden("spec.providerID", text))
    return faults


def validate_volume(volume: Object) -> list[FieldError]:
    """Return every fault of a PersistentVolume."""
    spec = peek(volume, "spec")
    faults = access_mode_faults(spec, "spec")
    capacity = peek(spec, "capacity")
    if not capacity:
        faults.append(required("spec.capacity"))
    elif "storage" not in capacity or len(capacity) > 1:
        faults.append(invalid("spec.capacity", capacity, 'supported values: "storage"'))
    else:
        faults += quantity_faults("storage", capacity["storage"], "spec.capacity[storage]")
    sources = [key for key, value in spec.items() if key not in _VOLUME_META and isinstance(value, dict)]
    if not sources:
        faults.append(required("spec", "must specify a volume type"))
    faults += [forbidden(f"spec.{key}", "may not specify more than 1 volume type") for key in sources[1:]]
    reclaim = spec.get("persistentVolumeReclaimPolicy")
    faults += one_of(reclaim, "spec.persistentVolumeReclaimPolicy", ("Delete", "Recycle", "Retain"))
    path = str(peek(spec, "hostPath").get("path") or "")
    if path == "/" and reclaim == "Recycle":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        faults.append(forbidden("spec.persistentVolumeReclaimPolicy", text))
    if spec.get("local") is not None and spec.get("nodeAffinity") is None:
        faults.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    needed = peek(spec, "nodeAffinity").get("required")
    if isinstance(needed, dict):
        faults += node_selector(needed, "spec.nodeAffinity.required")
    name = spec.get("storageClassName")
    if name:
        faults += invalid_all("spec.storageClassName", name, names.is_dns1123_subdomain(name))
    return faults + one_of(spec.get("volumeMode"), "spec.volumeMode", ("Block", "Filesystem"), optional=True)


def validate_volume_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a PersistentVolume; where it is stored never changes."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    faults = validate_volume(new)
    sources = (set(spec) | set(before)) - _VOLUME_META
    if any(spec.get(key) != before.get(key) for key in sources):
        text = "spec.persistentvolumesource is immutable after creation"
        faults.append(forbidden("spec.persistentvolumesource", text))
    faults += immutable("spec.volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
    if before.get("nodeAffinity") is not None:
        faults += immutable("spec.nodeAffinity", spec.get("nodeAffinity"), before["nodeAffinity"])
    return faults


def validate_claim(claim: Object) -> list[FieldError]:
    """Return every fault of a PersistentVolumeClaim."""
    return claim_spec_faults(peek(claim, "spec"), "spec")


def validate_claim_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a claim: it binds once, and may grow once bound."""
    spec, before = dict(peek(new, "spec")), dict(peek(old, "spec"))
    faults = validate_claim(new)
    asked, earlier = (peek(part, "resources", "requests").get("storage") for part in (spec, before))
    size, old_size = (parse_amount(value) if value is not None else None for value in (asked, earlier))
    bound = peek(old, "status").get("phase") == "Bound"
    if size and old_size and size.amount < old_size.amount:
        text = "field can not be less than status.capacity"
        faults.append(forbidden("spec.resources.requests.storage", text))
    for part in (spec, before):
        part.pop("volumeAttributesClassName", None)
        if bound:
            part.pop("resources", None)
    if not before.get("volumeName"):
        spec.pop("volumeName", None)
        before.pop("volumeName", None)
    if not before.get("storageClassName"):
        spec.pop("storageClassName", None)
        before.pop("storageClassName", None)
    if spec != before:
        faults.append(forbidden("spec", _CLAIM_TEXT))
    return faults


def validate_quota(quota: Object) -> list[FieldError]:
    """Return every fault of a ResourceQuota."""
    faults: list[FieldError] = []
    for name, value in peek(quota, "spec", "hard").items():
        path = f"spec.hard[{name}]"
        if "/" not in name:
            faults += resource_name_faults(name, path)
        faults += quantity_faults(name, value, path)
    scopes = peek(quota, "spec").get("scopes") or []
    if any(scope not in _SCOPES for scope in scopes):
        faults.append(invalid("spec.scopes", scopes, "unsupported scope"))
    return faults


def validate_quota_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a ResourceQuota; what it is about never changes."""
    scopes, before = (sorted(peek(part, "spec").get("scopes") or ()) for part in (new, old))
    return validate_quota(new) + immutable("spec.scopes", scopes, before)


def validate_limit_range(limits: Object) -> list[FieldError]:
    """Return every fault of a LimitRange: minimum, request, default and maximum go up in this order."""
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, item in enumerate(each(limits, "spec", "limits")):
        path = f"spec.limits[{index}]"
        kind = item.get("type") or ""
        if kind in seen:
            faults.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
        if kind == "Pod":
            for key in ("default", "defaultRequest"):
                if item.get(key):
                    text = "may not be specified when `type` is 'Pod'"
                    faults.append(forbidden(f"{path}.{key}", text))
        faults += _ordered(item, path)
    return faults


def _ordered(item: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    pairs = (
        ("min", "max", "min value {} is greater than max value {}"),
        ("min", "defaultRequest", "min value {} is greater than default request value {}"),
        ("defaultRequest", "max", "default request value {} is greater than max value {}"),
        ("defaultRequest", "default", "default request value {} is greater than default limit value {}"),
        ("min", "default", "min value {} is greater than default value {}"),
        ("default", "max", "default value {} is greater than max value {}"),
    )
    for low_key, high_key, text in pairs:
        low, high = peek(item, low_key), peek(item, high_key)
        for name in sorted(set(low) & set(high)):
            least, most = parse_amount(low[name]), parse_amount(high[name])
            if least is not None and most is not None and least.amount > most.amount:
                at = f"{path}.{low_key}[{name}]"
                faults.append(invalid(at, str(low[name]), text.format(low[name], high[name])))
    return faults


def validate_limit_range_update(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of replacing a LimitRange."""
    return validate_limit_range(new)


def validate_event(event: Object) -> list[FieldError]:
    """An Event lives in the namespace of what it is about; one about a cluster's object in default."""
    about = peek(event, "involvedObject") or peek(event, "regarding")
    key = "involvedObject" if "involvedObject" in event else "regarding"
    home = peek(event, "metadata").get("namespace") or ""
    namespace = about.get("namespace") or ""
    if namespace != home and not (not namespace and home in ("default", "kube-system")):
        return [invalid(f"{key}.namespace", namespace, "does not match event.namespace")]
    return []


def validate_event_update(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of replacing an Event."""
    return validate_event(new)
