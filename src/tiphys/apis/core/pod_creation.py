"""What is written into a new pod from its own labels and annotations: nobody has to look there again.

Keys of labels become requirements of selectors; profiles of AppArmor that stand in annotations, as they once
did, become fields.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.warnings import warn
from tiphys.apis.core.containers import CONTAINER_LISTS
from tiphys.apis.core.security_validation import validate_app_armor
from tiphys.apis.defaulting import each, peek, section

APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_KEYS = (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
_PLAIN = {"unconfined": "Unconfined", "runtime/default": "RuntimeDefault"}
_LOCAL = "localhost/"


def merge_label_keys(pod: Object) -> None:
    """Selectors that take values of a pod's own labels name them from now on."""
    labels, spec = peek(pod, "metadata", "labels"), peek(pod, "spec")
    for term in _terms(spec):
        selector = term.get("labelSelector")
        if not isinstance(selector, dict):
            continue
        found = [
            {"key": key, "operator": operator, "values": [labels[key]]}
            for name, operator in _KEYS
            for key in term.get(name) or ()
            if key in labels
        ]
        if found:
            selector["matchExpressions"] = [*(selector.get("matchExpressions") or ()), *found]


def _terms(spec: Object) -> Iterator[Object]:
    for kind in ("podAffinity", "podAntiAffinity"):
        yield from each(spec, "affinity", kind, _REQUIRED)
        for weighted in each(spec, "affinity", kind, _PREFERRED):
            yield peek(weighted, "podAffinityTerm")
    if on("MatchLabelKeysInPodTopologySpreadSelectorMerge"):
        yield from each(spec, "topologySpreadConstraints")


def adopt_profiles(pod: Object) -> None:
    """Make fields of AppArmor's annotations, where a container says nothing else; their user is told."""
    annotations, spec = peek(pod, "metadata", "annotations"), peek(pod, "spec")
    if not any(key.startswith(APP_ARMOR) for key in annotations):
        return
    if peek(spec, "os").get("name") == "windows":
        return
    whole = peek(spec, "securityContext").get("appArmorProfile")
    for kind in CONTAINER_LISTS:
        for container in each(spec, kind):
            key = f"{APP_ARMOR}{container.get('name')}"
            own = peek(container, "securityContext").get("appArmorProfile")
            if key not in annotations or own is not None:
                continue
            profile = _profile(str(annotations[key]))
            if profile is not None and profile == whole:
                continue
            if profile is not None:
                section(container, "securityContext")["appArmorProfile"] = profile
            text = 'deprecated since v1.30; use the "appArmorProfile" field instead'
            warn(f"metadata.annotations[{key}]: {text}")


def _profile(annotation: str) -> Object | None:
    """What an annotation says, as a field does; nothing where it says nothing that is right."""
    if annotation in _PLAIN:
        return {"type": _PLAIN[annotation]}
    name = annotation.removeprefix(_LOCAL)
    profile = {"type": "Localhost", "localhostProfile": name}
    return None if name == annotation or validate_app_armor(profile, "") else profile
