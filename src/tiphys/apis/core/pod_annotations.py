"""Rules of the annotations that say something of a pod, and of profiles that are given twice."""

from __future__ import annotations

import re

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import forbidden, invalid
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.containers import each_container
from tiphys.apis.core.legacy_annotations import validate_toleration_annotation
from tiphys.apis.defaulting import peek
from tiphys.apis.value_validation import relative_path

MIRROR = "kubernetes.io/config.mirror"
_COST = "controller.kubernetes.io/pod-deletion-cost"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_COST_TEXT = re.compile(r"(0|-?[1-9][0-9]{0,9})").fullmatch
_INT32 = 2**31


def validate_pod_annotations(annotations: Object, spec: Object, path: str) -> list[FieldError]:
    """Return every fault of a pod's (or template's) annotations."""
    if not annotations:
        return []
    faults: list[FieldError] = []
    if MIRROR in annotations and not spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        faults.append(invalid(f"{path}[{MIRROR}]", annotations[MIRROR], text))
    faults += validate_toleration_annotation(annotations, path)
    cost = annotations.get(_COST)
    if (
        cost is not None
        and on("PodDeletionCost")
        and not (_COST_TEXT(cost) and -_INT32 <= int(cost) < _INT32)
    ):
        faults.append(invalid(f"{path}[{_COST}]", cost, "must be a 32bit integer"))
    for key in sorted(annotations):
        value = str(annotations[key])
        if key == _SECCOMP_POD or key.startswith(_SECCOMP):
            faults += _seccomp_name(value, f"{path}.{key}")
    known = {str(container.get("name")) for _, container in each_container(spec, "")}
    for key in sorted(annotations):
        if key.startswith(_APP_ARMOR):
            faults += _app_armor_name(key, str(annotations[key]), known, f"{path}[{key}]")
    return faults


def _seccomp_name(value: str, path: str) -> list[FieldError]:
    if value in ("runtime/default", "docker/default", "unconfined"):
        return []
    if value.startswith("localhost/"):
        return relative_path(value.removeprefix("localhost/"), path)
    return [invalid(path, value, "must be a valid seccomp profile")]


def _app_armor_name(key: str, value: str, known: set[str], path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    name = key.removeprefix(_APP_ARMOR)
    if name not in known:
        faults.append(invalid(path, name, "container not found"))
    if value not in ("", "runtime/default", "unconfined") and not value.startswith("localhost/"):
        faults.append(invalid(path, value, f'invalid AppArmor profile name: "{value}"'))
    return faults


def validate_profiles_match(annotations: Object, spec: Object, path: str) -> list[FieldError]:
    """A profile in a field and in an annotation must be the same one."""
    if not any(key == _SECCOMP_POD or key.startswith((_SECCOMP, _APP_ARMOR)) for key in annotations):
        return []
    pod = peek(spec, "securityContext")
    at = f"{path}.securityContext.seccompProfile"
    faults = _mismatch(annotations.get(_SECCOMP_POD), pod.get("seccompProfile"), at, "seccomp")
    for where, container in each_container(spec, path):
        security, name = peek(container, "securityContext"), container.get("name")
        seccomp = annotations.get(f"{_SECCOMP}{name}")
        at = f"{where}.securityContext.seccompProfile"
        faults += _mismatch(seccomp, security.get("seccompProfile"), at, "seccomp")
    if peek(spec, "os").get("name") == "windows":
        return faults
    for where, container in each_container(spec, path):
        security, name = peek(container, "securityContext"), container.get("name")
        profile = security.get("appArmorProfile") or pod.get("appArmorProfile")
        at = f"{where}.securityContext.appArmorProfile"
        faults += _mismatch(annotations.get(f"{_APP_ARMOR}{name}"), profile, at, "apparmor")
    return faults


def _mismatch(annotation: str | None, profile: Object | None, path: str, what: str) -> list[FieldError]:
    if annotation is None or not isinstance(profile, dict):
        return []
    wrong_type = [forbidden(f"{path}.type", f"{what} type in annotation and field must match")]
    kind = profile.get("type")
    if kind == "Unconfined":
        return [] if annotation == "unconfined" else wrong_type
    if kind == "RuntimeDefault":
        same = ("runtime/default", "docker/default") if what == "seccomp" else ("runtime/default",)
        return [] if annotation in same else wrong_type
    if kind != "Localhost":
        return []
    if not annotation.startswith("localhost/"):
        return wrong_type
    if annotation.removeprefix("localhost/") != profile.get("localhostProfile"):
        text = f"{what} profile in annotation and field must match"
        return [forbidden(f"{path}.localhostProfile", text)]
    return []


def validate_annotation_changes(new: Object, old: Object, path: str) -> list[FieldError]:
    """Return every fault of annotations that may neither come nor go nor change."""
    faults: list[FieldError] = []
    for key in sorted(old):
        if new.get(key) == old[key]:
            continue
        if key.startswith(_APP_ARMOR):
            faults.append(forbidden(f"{path}[{key}]", "may not remove or update AppArmor annotations"))
        if key == MIRROR:
            faults.append(forbidden(f"{path}[{key}]", "may not remove or update mirror pod annotation"))
    for key in sorted(set(new) - set(old)):
        if key.startswith(_APP_ARMOR):
            faults.append(forbidden(f"{path}[{key}]", "may not add AppArmor annotations"))
        if key == MIRROR:
            faults.append(forbidden(f"{path}[{key}]", "may not add mirror pod annotation"))
    return faults
