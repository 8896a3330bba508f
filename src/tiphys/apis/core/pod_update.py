"""What may change in a pod once it exists, through the pod itself and through its subresources.

Subresources have functions of their own: the server calls ``validate_ephemeral_update`` for
``ephemeralcontainers`` and ``validate_resize`` for ``resize``.
"""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, invalid
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apis.core.container_validation import validate_ephemeral
from tiphys.apis.core.pod_validation import validate_pod_spec
from tiphys.apis.core.volume_validation import validate_volumes
from tiphys.apis.defaulting import each, peek

_MAX_INT32 = 2**31 - 1
_UPDATE_TEXT = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_RESIZE_TEXT = "only cpu and memory resources are mutable"
_CONTAINER_COUNT = "pod updates may not add or remove containers"


def validate_pod_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a pod."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    faults = validate_pod_spec(spec, "spec")
    for key in ("containers", "initContainers"):
        if len(spec.get(key) or ()) != len(before.get(key) or ()):
            return [*faults, forbidden(f"spec.{key}", _CONTAINER_COUNT)]
    faults += _deadline(spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"))
    if _only_added(spec.get("tolerations") or [], before.get("tolerations") or []) is False:
        text = "existing toleration can not be modified except its tolerationSeconds"
        faults.append(forbidden("spec.tolerations", text))
        return faults
    added_gates = _names(spec, "schedulingGates") - _names(before, "schedulingGates")
    if added_gates:
        text = f"only deletion is allowed, but found new scheduling gates '{', '.join(sorted(added_gates))}'"
        faults.append(forbidden("spec.schedulingGates", text))
        return faults
    now, earlier = _normalized(spec, before), _given(before)
    if now != earlier:
        difference = changed_fields(now, earlier, "spec")
        faults.append(forbidden("spec", f"{_UPDATE_TEXT}\n{difference}"))
    return faults


def _names(spec: Object, key: str) -> set[str]:
    return {str(item.get("name")) for item in each(spec, key)}


def _deadline(new: Any, old: Any) -> list[FieldError]:
    path = "spec.activeDeadlineSeconds"
    if new is None:
        return [invalid(path, None, "must not update from a positive integer to nil value")] if old else []
    if not 0 <= new <= _MAX_INT32:
        return [invalid(path, new, f"must be between 0 and {_MAX_INT32}, inclusive")]
    if old is not None and new > old:
        return [invalid(path, new, f"must be less than or equal to previous value {old}")]
    return []


def _bare(toleration: Object) -> Object:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _only_added(new: list[Object], old: list[Object]) -> bool:
    """Whether every old toleration is still there (how long it tolerates may change)."""
    kept = [_bare(toleration) for toleration in new]
    return all(_bare(toleration) in kept for toleration in old)


def _normalized(spec: Object, before: Object) -> Object:
    """Return the new spec with all that may change set back to what it was."""
    result = copy_object(spec)
    for key in ("containers", "initContainers"):
        for container, earlier in zip(each(result, key), each(before, key), strict=False):
            container["image"] = earlier.get("image")
    for key in ("activeDeadlineSeconds", "tolerations"):
        if key in before:
            result[key] = before[key]
        else:
            result.pop(key, None)
    grace = before.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        result["terminationGracePeriodSeconds"] = grace
    if before.get("schedulingGates"):
        result["schedulingGates"] = before["schedulingGates"]
        if not before.get("nodeName"):
            _allow_narrowing(result, spec, before)
    return _given(result)


def _given(spec: Object) -> Object:
    """Return what a spec says; empty values say nothing."""
    return {key: value for key, value in spec.items() if value not in (None, [], {})}


def _allow_narrowing(result: Object, spec: Object, before: Object) -> None:
    """A gated pod may ask for more of its node: labels are added, never taken away."""
    selector = peek(spec, "nodeSelector")
    earlier = peek(before, "nodeSelector")
    if all(selector.get(key) == value for key, value in earlier.items()):
        if earlier:
            result["nodeSelector"] = earlier
        else:
            result.pop("nodeSelector", None)


def changed_fields(new: Any, old: Any, path: str) -> str:
    """Return one line for each leaf that differs, as ``path: old -> new``."""
    if isinstance(new, dict) and isinstance(old, dict):
        lines = [
            changed_fields(new.get(key), old.get(key), f"{path}.{key}")
            for key in sorted(set(new) | set(old))
            if new.get(key) != old.get(key)
        ]
        return "\n".join(line for line in lines if line)
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        lines = [
            changed_fields(item, earlier, f"{path}[{index}]")
            for index, (item, earlier) in enumerate(zip(new, old, strict=True))
            if item != earlier
        ]
        return "\n".join(line for line in lines if line)
    return "" if new == old else f"{path}: {old!r} -> {new!r}"


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of a status that a kubelet (or anybody) writes."""
    status, before = peek(new, "status"), peek(old, "status")
    faults: list[FieldError] = []
    if peek(new, "spec").get("nodeName") != peek(old, "spec").get("nodeName"):
        faults.append(forbidden("status.nodeName", "may not be changed directly"))
    policy = peek(new, "spec").get("restartPolicy")
    if policy != "Always":
        faults += _no_revival(status, before, policy == "Never")
    return faults


def _no_revival(status: Object, before: Object, never: bool) -> list[FieldError]:
    """Containers that ended for good do not run again."""
    now = {item.get("name"): peek(item, "state") for item in each(status, "containerStatuses")}
    faults: list[FieldError] = []
    for index, earlier in enumerate(each(before, "containerStatuses")):
        ended = peek(earlier, "state").get("terminated")
        if not ended or (not never and ended.get("exitCode")):
            continue
        state = now.get(earlier.get("name"))
        if state and not state.get("terminated"):
            text = "may not be transitioned to non-terminated state"
            faults.append(forbidden(f"status.containerStatuses[{index}].state", text))
    return faults


def validate_ephemeral_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of adding ephemeral containers: those that exist stay as they are."""
    spec = peek(new, "spec")
    before = {item.get("name"): item for item in each(old, "spec", "ephemeralContainers")}
    _faults, volumes = validate_volumes(peek(old, "spec"), "spec.volumes")
    targets: set[object] = {item.get("name") for item in each(old, "spec", "containers")}
    faults: list[FieldError] = []
    now: set[object] = set()
    for index, container in enumerate(each(spec, "ephemeralContainers")):
        path, name = f"spec.ephemeralContainers[{index}]", container.get("name")
        now.add(name)
        faults += validate_ephemeral(container, volumes, path, targets)
        if name in before and before[name] != container:
            text = f"existing ephemeral containers {_quoted(str(name))} may not be changed"
            faults.append(forbidden("spec.ephemeralContainers", text))
    for name in before:
        if name not in now:
            text = f"existing ephemeral containers {_quoted(str(name))} may not be removed"
            faults.append(forbidden("spec.ephemeralContainers", text))
    return faults


def _quoted(name: str) -> str:
    return f'"{name}"'


def validate_resize(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of resizing a running pod: only cpu and memory of containers change."""
    spec, before = copy_object(peek(new, "spec")), copy_object(peek(old, "spec"))
    faults = validate_pod_spec(spec, "spec")
    for part in (spec, before):
        for key in ("containers", "initContainers"):
            for container in each(part, key):
                for kind in ("limits", "requests"):
                    amounts = peek(container, "resources").get(kind) or {}
                    for name in ("cpu", "memory"):
                        amounts.pop(name, None)
                    if not amounts:
                        peek(container, "resources").pop(kind, None)
    if spec != before:
        faults.append(forbidden("spec", _RESIZE_TEXT))
    return faults
