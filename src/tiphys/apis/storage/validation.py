"""Rules of the ``storage.k8s.io`` kinds, and what is said of those that are let through."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import (
    IMMUTABLE,
    duplicate,
    forbidden,
    immutable,
    invalid,
    invalid_all,
    not_supported,
    required,
    shown_selector,
    too_long,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.persistent_validation import inline_volume_faults
from tiphys.apis.core.pod_warnings import old_node_label
from tiphys.apis.core.resource_validation import parse_amount
from tiphys.apis.core.volume_sources import driver_name
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import immutable_inside
from tiphys.apis.value_validation import NOT_NEGATIVE, label_selector

_PARAMETERS_MAX = 512
_SIZE_MAX = 256 * 1024
_MESSAGE_MAX = 1024
_NODE_ID_MAX = 256
_RECLAIM = ("Delete", "Retain")
_MODES = ("Immediate", "WaitForFirstConsumer")
_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_LIFECYCLES = ("Persistent", "Ephemeral")
_TOKEN_SECONDS = (600, 1 << 32)
_PERIOD_MIN_S = 10
_TOKENS_SHOWN = (
    "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent "
    "possible logging of tokens in volume attributes"
)
_NO_LIMITS = "preventPodSchedulingIfMissing requires the VolumeLimitScaling feature gate to be enabled"
_ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


def _provisioner(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    return invalid_all(path, name.lower(), names.is_qualified_name(name.lower()))


def _parameters(parameters: Object) -> list[FieldError]:
    path = "parameters"
    if len(parameters) > _PARAMETERS_MAX:
        return [too_long(path, _PARAMETERS_MAX)]
    faults = [invalid(path, key, "field can not be empty.") for key in parameters if not key]
    size = sum(len(str(key).encode()) + len(str(value).encode()) for key, value in parameters.items())
    return [*faults, too_long(path, _SIZE_MAX)] if size > _SIZE_MAX else faults


def validate_storage_class(obj: Object) -> list[FieldError]:
    """Return every fault of a StorageClass."""
    faults = _provisioner(obj.get("provisioner") or "", "provisioner")
    faults += _parameters(peek(obj, "parameters"))
    reclaim, mode = obj.get("reclaimPolicy"), obj.get("volumeBindingMode")
    if reclaim and reclaim not in _RECLAIM:
        faults.append(not_supported("reclaimPolicy", reclaim, _RECLAIM))
    if mode is None:
        faults.append(required("volumeBindingMode"))
    elif mode not in _MODES:
        faults.append(not_supported("volumeBindingMode", mode, _MODES))
    return faults + _topologies(list(each(obj, "allowedTopologies")), "allowedTopologies")


def _topologies(terms: list[Object], path: str) -> list[FieldError]:
    """Where volumes may be; no two terms say the same."""
    faults: list[FieldError] = []
    seen: list[dict[str, frozenset[str]]] = [{}] * len(terms)
    for index, term in enumerate(terms):
        at, meant = f"{path}[{index}].matchLabelExpressions", dict[str, frozenset[str]]()
        for place, expression in enumerate(each(term, "matchLabelExpressions")):
            faults += _topology(expression, meant, f"{at}[{place}]")
        faults += [duplicate(at, "")] * seen.count(meant)
        seen.append(meant)
    return faults


def _topology(expression: Object, meant: dict[str, frozenset[str]], path: str) -> list[FieldError]:
    key, values = str(expression.get("key") or ""), list(expression.get("values") or ())
    faults = invalid_all(f"{path}.key", key, names.is_qualified_name(key))
    if not values:
        faults.insert(0, required(f"{path}.values"))
    repeated = [
        duplicate(f"{path}.values[{index}]", value)
        for index, value in enumerate(values)
        if value in values[:index]
    ]
    faults = repeated + faults
    if key in meant:
        faults.append(duplicate(f"{path}.key", key))
    meant[key] = frozenset(map(str, values))
    return faults


def validate_storage_class_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a StorageClass; what it provisions never changes."""
    faults = validate_storage_class(new)
    for key, empty in (("parameters", None), ("provisioner", "")):
        faults += immutable(key, new.get(key) or empty, old.get(key) or empty)
    for key in ("reclaimPolicy", "volumeBindingMode"):
        faults += immutable(key, new.get(key), old.get(key))
    return faults


def storage_class_warnings(obj: Object, _old: Object | None) -> list[str]:
    """Return the warnings about labels of nodes that have newer names."""
    return [
        f"allowedTopologies[{index}].matchLabelExpressions[{place}].key: {text}"
        for index, term in enumerate(each(obj, "allowedTopologies"))
        for place, expression in enumerate(each(term, "matchLabelExpressions"))
        if (text := old_node_label(str(expression.get("key"))))
    ]


def validate_attachment(obj: Object) -> list[FieldError]:
    """Return every fault of a VolumeAttachment."""
    spec = peek(obj, "spec")
    faults = driver_name(str(spec.get("attacher") or ""), "spec.attacher")
    faults += _source(peek(spec, "source"), "spec.source")
    node = str(spec.get("nodeName") or "")
    faults += invalid_all("spec.nodeName", node, names.is_dns1123_subdomain(node)) + _attachment_status(obj)
    volume = peek(spec, "source").get("persistentVolumeName")
    if volume is not None:
        path = "spec.source.persistentVolumeName"
        faults += invalid_all(path, volume, names.is_dns1123_subdomain(volume))
    return faults


def _source(source: Object, path: str) -> list[FieldError]:
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if inline is None and name is None:
        return [required(path, _ONE_SOURCE)]
    if inline is not None and name is not None:
        return [forbidden(path, _ONE_SOURCE)]
    if isinstance(inline, dict):
        return inline_volume_faults(inline, f"{path}.inlineVolumeSpec")
    if name:
        return []
    return [required(f"{path}.persistentVolumeName", "must specify non empty persistentVolumeName")]


def _attachment_status(obj: Object) -> list[FieldError]:
    status = peek(obj, "status")
    meta = peek(status, "attachmentMetadata")
    size = sum(len(str(key).encode()) + len(str(value).encode()) for key, value in meta.items())
    faults = [too_long("status.attachmentMetadata", _SIZE_MAX)] if size > _SIZE_MAX else []
    for key in ("attachError", "detachError"):
        error, path = peek(status, key), f"status.{key}"
        if len(str(error.get("message") or "").encode()) > _MESSAGE_MAX:
            faults.append(too_long(f"{path}.message", _SIZE_MAX))
        if (error.get("errorCode") or 0) < 0:
            text = "must be between 0 and 2147483647, inclusive"
            faults.append(invalid(f"{path}.errorCode", error["errorCode"], text))
    return faults


def validate_attachment_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a VolumeAttachment, or its status; its spec never changes.

    As upstream does, all rules of an attachment are told twice.
    """
    spec, before = peek(new, "spec"), peek(old, "spec")
    changed = immutable_inside("spec", "VolumeAttachmentSpec", spec, before)
    return validate_attachment(new) * 2 + changed


def validate_csi_driver(obj: Object) -> list[FieldError]:
    """Return every fault of a CSIDriver. The first path is spelled as the API spells it."""
    spec = peek(obj, "spec")
    faults = [
        required(f"spec.{shown}")
        for key, shown in (
            ("attachRequired", "attachedRequired"),
            ("podInfoOnMount", "podInfoOnMount"),
            ("storageCapacity", "storageCapacity"),
        )
        if spec.get(key) is None
    ]
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in _GROUP_POLICIES:
        faults.append(not_supported("spec.fsGroupPolicy", policy, _GROUP_POLICIES))
    faults += _token_requests(list(each(spec, "tokenRequests")), "spec.tokenRequests")
    faults += [
        not_supported("spec.volumeLifecycleModes", mode, _LIFECYCLES)
        for mode in spec.get("volumeLifecycleModes") or ()
        if mode not in _LIFECYCLES
    ]
    if spec.get("seLinuxMount") is None:
        faults.append(required("spec.seLinuxMount"))
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < _PERIOD_MIN_S:
        text = f"must be greater than or equal to {_PERIOD_MIN_S} seconds"
        faults.append(invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, text))
    secret = spec.get("serviceAccountTokenInSecrets")
    if secret is not None and not spec.get("tokenRequests"):
        text = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        faults.append(invalid("spec.serviceAccountTokenInSecrets", secret, text))
    if spec.get("preventPodSchedulingIfMissing") is not None and not on("VolumeLimitScaling"):
        faults.append(forbidden("spec.preventPodSchedulingIfMissing", _NO_LIMITS))
    return faults


def csi_driver_warnings(obj: Object, old: Object | None) -> list[str]:
    """Return the warnings about a CSIDriver that is given tokens, and has not said where it takes them."""
    spec, before = peek(obj, "spec"), peek(old or {}, "spec")
    requests = spec.get("tokenRequests")
    if not requests or spec.get("serviceAccountTokenInSecrets") is not None:
        return []
    return [] if requests == before.get("tokenRequests") else [_TOKENS_SHOWN]


def _token_requests(requests: list[Object], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, request in enumerate(requests):
        audience, seconds = str(request.get("audience") or ""), request.get("expirationSeconds")
        if audience in seen:
            yield duplicate(f"{path}[{index}].audience", audience)
            continue
        seen.add(audience)
        at = f"{path}[{index}].expirationSeconds"
        if seconds is not None and seconds < _TOKEN_SECONDS[0]:
            yield invalid(at, seconds, "may not specify a duration less than 10 minutes")
        if seconds is not None and seconds > _TOKEN_SECONDS[1]:
            yield invalid(at, seconds, "may not specify a duration larger than 2^32 seconds")


def validate_csi_driver_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a CSIDriver."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    faults = validate_csi_driver(new)
    for key, shown in (
        ("attachRequired", "attachedRequired"),
        ("volumeLifecycleModes", "volumeLifecycleModes"),
    ):
        faults += immutable(f"spec.{shown}", spec.get(key), before.get(key))
    return faults


def validate_csi_node(obj: Object) -> list[FieldError]:
    """Return every fault of a CSINode."""
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, driver in enumerate(each(obj, "spec", "drivers")):
        faults += _node_driver(driver, seen, f"spec.drivers[{index}]")
    return faults


def _node_driver(driver: Object, seen: set[str], path: str) -> list[FieldError]:
    name, node = str(driver.get("name") or ""), str(driver.get("nodeID") or "")
    faults = driver_name(name, f"{path}.name")
    if not node:
        faults.append(required(f"{path}.nodeID"))
    if len(node) > _NODE_ID_MAX:
        faults.append(invalid(f"{path}.nodeID", node, f"must be {_NODE_ID_MAX} characters or less"))
    count = peek(driver, "allocatable").get("count")
    if count is not None and count < 0:
        faults.append(invalid(f"{path}.allocatable.count", count, NOT_NEGATIVE))
    if name in seen:
        faults.append(duplicate(f"{path}.name", name))
    seen.add(name)
    keys = list(driver.get("topologyKeys") or ())
    for index, key in enumerate(keys):
        if not key:
            faults.append(required(path))
        if key in keys[:index]:
            faults.append(duplicate(path, key))
        faults += invalid_all(path, key, names.is_qualified_name(str(key)))
    return faults


def validate_csi_node_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a CSINode; of a driver only how much it takes may change.

    As upstream does, all rules of a new one are told twice.
    """
    faults = validate_csi_node(new) + validate_csi_node(new)
    may_grow = on("MutableCSINodeAllocatableCount")
    named: dict[object, list[Object]] = {}
    for driver in each(new, "spec", "drivers"):
        named.setdefault(driver.get("name"), []).append(driver)
    for before in each(old, "spec", "drivers"):
        for driver in named.get(before.get("name"), ()):
            now, then = (
                {key: value for key, value in one.items() if key != "allocatable" or not may_grow}
                for one in (driver, before)
            )
            faults += immutable_inside("spec.drivers", "CSINodeDriver", now, then)
    return faults


def validate_capacity(obj: Object) -> list[FieldError]:
    """Return every fault of a CSIStorageCapacity."""
    name, capacity = str(obj.get("storageClassName") or ""), obj.get("capacity")
    faults = label_selector(obj.get("nodeTopology"), "nodeTopology")
    faults += invalid_all("storageClassName", name, names.is_dns1123_subdomain(name))
    parsed = parse_amount(capacity) if capacity is not None else None
    if parsed is not None and parsed.amount < 0:
        faults.append(invalid("capacity", str(capacity), NOT_NEGATIVE))
    return faults


def validate_capacity_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a CSIStorageCapacity; what it tells of never changes."""
    topology = new.get("nodeTopology")
    faults = validate_capacity(new)
    if topology != old.get("nodeTopology"):
        shown = shown_selector(topology) if isinstance(topology, dict) else None
        faults.append(invalid("nodeTopology", shown, IMMUTABLE))
    return faults + immutable("storageClassName", new.get("storageClassName"), old.get("storageClassName"))


def capacity_warnings(obj: Object, _old: Object | None) -> list[str]:
    """Return the warnings about labels of nodes that have newer names."""
    topology, path = peek(obj, "nodeTopology"), "nodeTopology"
    found = [
        f"{path}.matchExpressions[{index}].key: {expression.get('key')} is {text}"
        for index, expression in enumerate(each(topology, "matchExpressions"))
        if (text := old_node_label(str(expression.get("key"))))
    ]
    return found + [
        f"{path}.matchLabels.{key}: {text}"
        for key in sorted(peek(topology, "matchLabels"))
        if (text := old_node_label(key))
    ]


def validate_attributes_class(obj: Object) -> list[FieldError]:
    """Return every fault of a VolumeAttributesClass."""
    parameters = peek(obj, "parameters")
    faults = _provisioner(obj.get("driverName") or "", "driverName") + _parameters(parameters)
    if not parameters:
        faults.append(required("parameters", "must contain at least one key/value pair"))
    return faults


def validate_attributes_class_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a VolumeAttributesClass; only its metadata changes."""
    faults = [
        forbidden(key, f"updates to {key} are forbidden.")
        for key in ("driverName", "parameters")
        if new.get(key) != old.get(key)
    ]
    return faults + validate_attributes_class(new)
