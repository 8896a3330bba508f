"""What may change in a pod once it exists, through the pod itself and through its subresources.

``ephemeralcontainers`` and ``resize`` have functions of their own. What a status may say is ``pod_status``'.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import forbidden, invalid, required
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apis.core.affinity_validation import validate_tolerations
from tiphys.apis.core.pod_annotations import MIRROR, validate_annotation_changes, validate_pod_annotations
from tiphys.apis.core.pod_validation import validate_pod_parts
from tiphys.apis.core.qos import pod_qos
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import difference, inside, inside_all
from tiphys.apis.ratchet import POD_EXCUSES, excused

_MAX_INT32 = 2**31 - 1
_UPDATE_TEXT = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_WHOLE_PODS = "InPlacePodLevelResourcesVerticalScaling"
_RESIZE_TEXT = "only cpu and memory resources are mutable"
_CONTAINER_COUNT = "pod updates may not add or remove containers"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _annotations(pod: Object) -> Object:
    return peek(pod, "metadata", "annotations")


def changed_annotations(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of a pod's annotations that may have changed."""
    annotations, path = _annotations(new), "metadata.annotations"
    faults = validate_annotation_changes(annotations, _annotations(old), path)
    return faults + validate_pod_annotations(annotations, peek(new, "spec"), path)


def validate_pod_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a pod. As upstream does, those of its annotations are told twice."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    faults = validate_pod_parts(new) + changed_annotations(new, old)
    for key in ("containers", "initContainers"):
        if len(spec.get(key) or ()) != len(before.get(key) or ()):
            return [*faults, forbidden(f"spec.{key}", _CONTAINER_COUNT)]
        faults += _images(spec, key)
    wrong, stop = _deadline(spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"))
    faults += wrong
    if stop:
        return faults
    faults += _tolerations(spec, before) + _gates(spec, before)
    if _given(spec) == _given(before):
        return faults
    result = _normalized(spec, before)
    if before.get("schedulingGates"):
        faults += _narrowing(result, before)
    now, earlier = _given(result), _given(before)
    if now != earlier:
        faults.append(forbidden("spec", f"{_UPDATE_TEXT}\n{difference('PodSpec', before, result)}"))
    return faults


def _images(spec: Object, key: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for index, container in enumerate(each(spec, key)):
        image, at = str(container.get("image") or ""), f"spec.{key}[{index}].image"
        if not image:
            faults.append(required(at))
        if image.strip() != image:
            faults.append(invalid(at, image, "must not have leading or trailing whitespace"))
    return faults


def _deadline(new: Any, old: Any) -> tuple[list[FieldError], bool]:
    """Return the faults, and whether they end the validation."""
    path = "spec.activeDeadlineSeconds"
    if new is None:
        text = "must not update from a positive integer to nil value"
        return ([] if old is None else [invalid(path, None, text)]), False
    if not 0 <= new <= _MAX_INT32:
        return [invalid(path, new, f"must be between 0 and {_MAX_INT32}, inclusive")], True
    if old is not None and new > old:
        return [invalid(path, new, "must be less than or equal to previous value")], True
    return [], False


def _tolerations(spec: Object, before: Object) -> list[FieldError]:
    """Every old toleration is still there (how long it tolerates may change)."""

    def bare(toleration: Object) -> frozenset[tuple[str, object]]:
        return frozenset(pair for pair in toleration.items() if pair[0] != "tolerationSeconds")

    kept = {bare(toleration) for toleration in each(spec, "tolerations")}
    if not all(bare(toleration) in kept for toleration in each(before, "tolerations")):
        text = "existing toleration can not be modified except its tolerationSeconds"
        return [forbidden("spec.tolerations", text)]
    return validate_tolerations(spec, "spec.tolerations")


def _gates(spec: Object, before: Object) -> list[FieldError]:
    known = {gate.get("name") for gate in each(before, "schedulingGates")}
    return [
        forbidden(
            f"spec.schedulingGates[{index}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'",
        )
        for index, gate in enumerate(each(spec, "schedulingGates"))
        if gate.get("name") not in known
    ]


def _normalized(spec: Object, before: Object) -> Object:
    """Return the new spec with all that may change set back to what it was."""
    result: Object = copy_object(spec)
    for key in ("containers", "initContainers"):
        for container, earlier in zip(each(result, key), each(before, key), strict=False):
            container["image"] = earlier.get("image")
    for key in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        _back(result, before, key)
    grace = before.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        result["terminationGracePeriodSeconds"] = grace
    return result


def _back(result: Object, before: Object, key: str) -> None:
    if key in before:
        result[key] = before[key]
    else:
        result.pop(key, None)


def _given(spec: Object) -> Object:
    """Return what a spec says; empty values say nothing."""
    return {key: value for key, value in spec.items() if value not in (None, [], {})}


def _narrowing(result: Object, before: Object) -> list[FieldError]:
    """A gated pod may ask for more of its node, never for less; sets ``result`` back to what it was."""
    faults: list[FieldError] = []
    selector, earlier = peek(result, "nodeSelector"), peek(before, "nodeSelector")
    if any(selector.get(key) != value for key, value in earlier.items()):
        text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        faults.append(invalid("spec.nodeSelector", selector, text))
    _back(result, before, "nodeSelector")
    now, then = peek(result, "affinity").get("nodeAffinity"), peek(before, "affinity").get("nodeAffinity")
    if now != then:
        faults += _narrower_affinity(now or {}, then or {})
        affinity = {**peek(result, "affinity"), "nodeAffinity": then}
        result["affinity"] = {key: value for key, value in affinity.items() if value is not None}
    return faults


def _narrower_affinity(new: Object, old: Object) -> list[FieldError]:
    path = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    terms, earlier = (list(each(part, _REQUIRED, "nodeSelectorTerms")) for part in (new, old))
    if earlier and len(terms) != len(earlier):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return [invalid(path, inside_all("NodeSelectorTerm", terms), text)]
    return [
        invalid(
            f"{path}[{index}]",
            inside("NodeSelectorTerm", term),
            "only additions are allowed (no mutations or deletions)",
        )
        for index, (term, before) in enumerate(zip(terms, earlier, strict=False))
        if not _only_longer(term, before)
    ]


def _only_longer(new: Object, old: Object) -> bool:
    keys = ("matchExpressions", "matchFields")
    if not any(old.get(key) for key in keys):
        return not any(new.get(key) for key in keys)
    return all((new.get(key) or [])[: len(old.get(key) or ())] == (old.get(key) or []) for key in keys)


def validate_ephemeral_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of adding ephemeral containers: those that exist stay as they are."""
    if MIRROR in _annotations(old):
        return [forbidden("", "static pods do not support ephemeral containers")]
    faults = validate_pod_parts(new) + changed_annotations(new, old)
    faults = excused(faults, lambda: validate_pod_parts(old), POD_EXCUSES)
    now = {container.get("name"): container for container in each(new, "spec", "ephemeralContainers")}
    path = "spec.ephemeralContainers"
    for before in each(old, "spec", "ephemeralContainers"):
        name, after = before.get("name"), now.get(before.get("name"))
        if after is None:
            faults.append(forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n'))
        elif after != before:
            changed = difference("EphemeralContainer", before, after)
            text = f'existing ephemeral containers "{name}" may not be changed\n{changed}'
            faults.append(forbidden(path, text))
    return faults


def validate_resize(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of resizing a pod: only cpu and memory of what runs for long may change."""
    if MIRROR in _annotations(old):
        return [forbidden("", "static pods cannot be resized")]
    spec, before = peek(new, "spec"), peek(old, "spec")
    if peek(before, "os").get("name") == "windows":
        return [forbidden("", "windows pods cannot be resized")]
    faults = excused(validate_pod_parts(new), lambda: validate_pod_parts(old), POD_EXCUSES)
    if pod_qos(new) != (peek(old, "status").get("qosClass") or pod_qos(old)):
        text = "Pod QOS Class may not change as a result of resizing"
        faults.append(invalid("spec", peek(new, "status").get("qosClass") or "", text))
    if not _node_resizes(old):
        faults.append(forbidden("spec", "Pod running on node without support for resize"))
    result = copy_object(spec)
    if _sized(before) or _sized(spec):
        if not on(_WHOLE_PODS):
            text = f"resize of pods with pod-level resources is forbidden when {_WHOLE_PODS}Enabled feature "
            return [*faults, forbidden("", f"{text}gate is disabled")]
        faults += _whole_pod(result, before)
    if peek(old, "status").get("nodeAllocatableResourceClaimStatuses"):
        text = "pods with node allocatable resource claims cannot be resized"
        faults.append(forbidden("spec", text))
    if moved := _other_containers(spec, before):
        return faults + moved
    for key in ("initContainers", "containers"):
        for index, (container, earlier) in enumerate(_pairs(result, before, key)):
            if key == "containers" or _resizable(earlier):
                faults += _removed(container, earlier, f"spec.{key}[{index}].resources")
    for container, earlier in _pairs(result, before, "containers"):
        _set_back(container, earlier, claims=False)
        if container != earlier:
            faults.append(forbidden("spec", _RESIZE_TEXT))
    for index, (container, earlier) in enumerate(_pairs(result, before, "initContainers")):
        faults += _init_resize(container, earlier, f"spec.initContainers[{index}]")
    if not faults and _given(result) != _given(before):
        faults.append(forbidden("spec", _RESIZE_TEXT))
    return faults


def _resizable(container: Object) -> bool:
    """Whether an init container can be given more or less."""
    return container.get("restartPolicy") == "Always" or on("InPlacePodVerticalScalingInitContainers")


def _pairs(new: Object, old: Object, key: str) -> Iterator[tuple[Object, Object]]:
    return zip(each(new, key), each(old, key), strict=False)


def _sized(spec: Object) -> bool:
    """Whether a pod says what all of its containers get together."""
    return any(peek(spec, "resources", kind) for kind in ("requests", "limits"))


def _whole_pod(result: Object, before: Object) -> list[FieldError]:
    """Return what is wrong with a change of what a pod gets as a whole, and take it back in ``result``."""
    path, earlier = "spec.resources", before.get("resources")
    if earlier is not None and result.get("resources") is None:
        return [forbidden(path, "pod-level resources cannot be removed")]
    faults = _removed(result, before, path, "pod-level resource")
    _set_back(result, before)
    if _given(peek(result, "resources")) != _given(earlier or {}):
        faults.append(forbidden("spec", "only cpu and memory resources are mutable at pod-level"))
    return faults


def _other_containers(spec: Object, before: Object) -> list[FieldError]:
    faults: list[FieldError] = []
    for key in ("containers", "initContainers"):
        now, then = ([one.get("name") for one in each(part, key)] for part in (spec, before))
        if len(now) != len(then):
            faults.append(forbidden(f"spec.{key}", f"{key} may not be added or removed on resize"))
            continue
        faults += [
            forbidden(f"spec.{key}[{index}].name", f"{key} may not be renamed or reordered on resize")
            for index, (name, earlier) in enumerate(zip(now, then, strict=True))
            if name != earlier
        ]
    return faults


def _init_resize(container: Object, earlier: Object, path: str) -> list[FieldError]:
    modified, faults = container != earlier, list[FieldError]()
    if not _resizable(container):
        text = "resources for non-sidecar init containers are immutable"
        return [forbidden("spec", text)] if modified else []
    _set_back(container, earlier, claims=False)
    if container != earlier:
        text = "only cpu and memory resources for init or sidecar containers are mutable"
        faults.append(forbidden(path, text))
    policies = [policy.get("restartPolicy") for policy in each(container, "resizePolicy")]
    if modified and container.get("restartPolicy") != "Always":
        text = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
        faults += [forbidden(path, text)] * policies.count("RestartContainer")
    return faults


def _node_resizes(pod: Object) -> bool:
    """Nodes that can resize report the resources of running containers."""
    for status in each(pod, "status", "containerStatuses"):
        if peek(status, "state").get("running") is not None:
            return status.get("resources") is not None
    return True


def _removed(container: Object, earlier: Object, path: str, what: str = "resource") -> list[FieldError]:
    return [
        forbidden(f"{path}.{kind}", f"{what} {kind} cannot be removed")
        for kind in ("requests", "limits")
        if set(peek(earlier, "resources", kind)) - set(peek(container, "resources", kind))
    ]


def _set_back(holder: Object, earlier: Object, *, claims: bool = True) -> None:
    """Give cpu and memory the values they had.

    Without ``claims``, as upstream does, those of a container are gone: it cannot be resized.
    """
    resources, then = dict(peek(holder, "resources")), peek(earlier, "resources")
    if not claims:
        resources.pop("claims", None)
    for kind in ("requests", "limits"):
        amounts = {
            name: amount
            for name, amount in (resources.get(kind) or {}).items()
            if name not in ("cpu", "memory")
        }
        amounts |= {name: then[kind][name] for name in ("cpu", "memory") if name in (then.get(kind) or {})}
        if amounts:
            resources[kind] = amounts
        else:
            resources.pop(kind, None)
    if resources or "resources" in earlier:
        holder["resources"] = resources
    else:
        holder.pop("resources", None)
