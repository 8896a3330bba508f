"""Rules of annotations from before there were fields: tolerations of pods, taints and avoidance of nodes.

Nothing acts on them any more, but the API still refuses those that it cannot read. Each holds JSON.

Source: k8s.io/kubernetes ``ValidatePodSpecificAnnotations`` and ``ValidateNodeSpecificAnnotations``.
"""

from __future__ import annotations

import json
from typing import Any

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, required
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.schema.json_fault import explain
from tiphys.apis.core.affinity_validation import validate_taints, validate_tolerations
from tiphys.apis.defaulting import each, peek

TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
_TAINTS = "scheduler.alpha.kubernetes.io/taints"
_AVOID = "scheduler.alpha.kubernetes.io/preferAvoidPods"
_FOUND = {bool: "bool", str: "string", dict: "object", list: "array", int: "number", float: "number"}


class _Unreadable(ValueError):
    """Says why JSON cannot be read as what the annotation holds."""


def _refuse(value: Any, go_type: str) -> _Unreadable:
    return _Unreadable(f"json: cannot unmarshal {_FOUND[type(value)]} into Go value of type {go_type}")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _Unreadable(explain(text.encode()) or str(error)) from error


def _objects(text: str, go_type: str) -> list[Object]:
    items = _parsed(text)
    if items is None:
        return []
    if not isinstance(items, list):
        raise _refuse(items, f"[]{go_type}")
    for item in items:
        if item is not None and not isinstance(item, dict):
            raise _refuse(item, go_type)
    return [item or {} for item in items]


def validate_toleration_annotation(annotations: Object, path: str) -> list[FieldError]:
    """Return every fault of the tolerations in a pod's annotations."""
    text = annotations.get(TOLERATIONS)
    if not text:
        return []
    try:
        tolerations = _objects(text, "core.Toleration")
    except _Unreadable as error:
        return [invalid(path, TOLERATIONS, str(error))]
    return validate_tolerations({"tolerations": tolerations}, f"{path}.{TOLERATIONS}")


def validate_node_annotations(annotations: Object, path: str) -> list[FieldError]:
    """Return every fault of the taints, and of the pods to avoid, in a node's annotations."""
    faults: list[FieldError] = []
    if annotations.get(_TAINTS):
        try:
            faults += validate_taints(_objects(annotations[_TAINTS], "core.Taint"), f"{path}.{_TAINTS}")
        except _Unreadable as error:
            faults.append(invalid(path, _TAINTS, str(error)))
    if annotations.get(_AVOID):
        try:
            faults += _avoided(annotations[_AVOID], f"{path}.{_AVOID}")
        except _Unreadable as error:
            faults.append(invalid(f"{path}.AvoidPods", _AVOID, str(error)))
    return faults


def _avoided(text: str, path: str) -> list[FieldError]:
    whole = _parsed(text)
    if whole is not None and not isinstance(whole, dict):
        raise _refuse(whole, "v1.AvoidPods")
    faults: list[FieldError] = []
    for index, entry in enumerate(each(whole or {}, "preferAvoidPods")):
        at, signature = f"{path}[{index}].PodSignature", peek(entry, "podSignature")
        controller = signature.get("podController")
        if not isinstance(controller, dict):
            faults.append(required(at))
        elif not controller.get("controller"):
            text = "must point to a controller"
            faults.append(invalid(f"{at}.PodController.Controller", False, text))
    return faults
