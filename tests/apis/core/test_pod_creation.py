"""What a new pod gets of its own labels and annotations, and what of it is behind gates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.apis.core.test_pod_validation import make

from tiphys.apimachinery.meta import copy_object
from tiphys.apimachinery.warnings import collecting
from tiphys.apis.core.pod_creation import adopt_profiles, merge_label_keys
from tiphys.apis.core.pod_strategy import prepare_pod, prepare_pod_status, prepare_pod_update

Pod = dict[str, Any]

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
KEY = "container.apparmor.security.beta.kubernetes.io/"
TEXT = 'deprecated since v1.30; use the "appArmorProfile" field instead'


def asked(operator: str, key: str, value: str) -> Pod:
    return {"key": key, "operator": operator, "values": [value]}


SELECTORS: dict[str, tuple[Pod, list[Pod] | None]] = {
    "keys": (
        {"labelSelector": {}, "matchLabelKeys": ["b", "a"]},
        [asked("In", "b", "2"), asked("In", "a", "1")],
    ),
    "keys that the pod lacks": ({"labelSelector": {}, "matchLabelKeys": ["z"]}, None),
    "after what is asked already": (
        {"labelSelector": {"matchExpressions": [asked("In", "c", "3")]}, "matchLabelKeys": ["a"]},
        [asked("In", "c", "3"), asked("In", "a", "1")],
    ),
    "none to add to": ({"matchLabelKeys": ["a"]}, None),
    "others": (
        {"labelSelector": {}, "matchLabelKeys": ["a"], "mismatchLabelKeys": ["b"]},
        [asked("In", "a", "1"), asked("NotIn", "b", "2")],
    ),
}


@pytest.mark.parametrize(("term", "expected"), SELECTORS.values(), ids=SELECTORS)
def test_label_keys(term: Pod, expected: list[Pod] | None) -> None:
    given = {key: copy_object(term) for key in ("affinity", "weighted", "anti", "spread")}
    affinity = {
        "podAffinity": {REQUIRED: [given["affinity"]], PREFERRED: [{"podAffinityTerm": given["weighted"]}]},
        "podAntiAffinity": {REQUIRED: [given["anti"]]},
    }
    pod = make({"affinity": affinity, "topologySpreadConstraints": [given["spread"]]})
    pod["metadata"]["labels"] = {"a": "1", "b": "2"}
    merge_label_keys(pod)
    near, far = (pod["spec"]["affinity"][key] for key in ("podAffinity", "podAntiAffinity"))
    for made in (
        near[REQUIRED][0],
        near[PREFERRED][0]["podAffinityTerm"],
        far[REQUIRED][0],
        pod["spec"]["topologySpreadConstraints"][0],
    ):
        assert made.get("labelSelector", {}).get("matchExpressions") == expected


def test_a_merged_selector_has_no_fault(faults_of_new: Callable[[Pod], list[str]]) -> None:
    spread = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "matchLabelKeys": ["a"],
    }
    pod = make({"topologySpreadConstraints": [{**spread, "labelSelector": {}}]})
    pod |= {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "1"}}}
    assert faults_of_new(pod) == []
    twice = copy_object(pod)
    twice["spec"]["topologySpreadConstraints"][0]["labelSelector"] = {"matchLabels": {"a": "1"}}
    assert faults_of_new(twice) == [
        'spec.topologySpreadConstraints[0][0]: Invalid value: "a": exists in both matchLabelKeys and '
        "labelSelector"
    ]


PROFILES: dict[str, tuple[str, Pod, Pod | None, bool]] = {
    "default": ("runtime/default", {}, {"type": "RuntimeDefault"}, True),
    "unconfined": ("unconfined", {}, {"type": "Unconfined"}, True),
    "local": ("localhost/x", {}, {"type": "Localhost", "localhostProfile": "x"}, True),
    "local of no name": ("localhost/", {}, None, True),
    "padded": ("localhost/ x", {}, None, True),
    "unknown": ("x", {}, None, True),
    "as the pod": (
        "unconfined",
        {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
        None,
        False,
    ),
    "windows": ("unconfined", {"os": {"name": "windows"}}, None, False),
}


@pytest.mark.parametrize(("annotation", "spec", "profile", "told"), PROFILES.values(), ids=PROFILES)
def test_profiles_in_annotations(annotation: str, spec: Pod, profile: Pod | None, told: bool) -> None:
    pod = make(spec)
    name = pod["spec"]["containers"][0]["name"]
    pod["metadata"]["annotations"] = {KEY + name: annotation}
    with collecting() as texts:
        adopt_profiles(pod)
    found = pod["spec"]["containers"][0].get("securityContext", {}).get("appArmorProfile")
    assert found == profile
    assert texts == ([f"metadata.annotations[{KEY}{name}]: {TEXT}"] if told else [])


def test_a_profile_of_its_own_stays() -> None:
    own = {"type": "Unconfined"}
    pod = make({}, securityContext={"appArmorProfile": own})
    pod["metadata"]["annotations"] = {KEY + pod["spec"]["containers"][0]["name"]: "runtime/default"}
    with collecting() as texts:
        adopt_profiles(pod)
    assert pod["spec"]["containers"][0]["securityContext"] == {"appArmorProfile": own}
    assert texts == []


def test_a_new_pod_has_it_all_done() -> None:
    term = {"labelSelector": {}, "topologyKey": "a", "matchLabelKeys": ["a"]}
    pod = make({"affinity": {"podAffinity": {REQUIRED: [term]}}})
    pod["metadata"] |= {
        "labels": {"a": "1"},
        "annotations": {KEY + pod["spec"]["containers"][0]["name"]: "unconfined"},
    }
    prepare_pod(pod)
    spec = pod["spec"]
    assert spec["affinity"]["podAffinity"][REQUIRED][0]["labelSelector"] == {
        "matchExpressions": [asked("In", "a", "1")]
    }
    assert spec["containers"][0]["securityContext"] == {"appArmorProfile": {"type": "Unconfined"}}
    later = copy_object(pod)
    later["status"] = {"phase": "Running"}
    prepare_pod_update(later, pod)
    assert later == pod


def test_what_was_seen_stays_seen() -> None:
    def condition(kind: str, **seen: int) -> Pod:
        return {"type": kind, "status": "True", **seen}

    conditions = [condition("A", observedGeneration=1), condition("A", observedGeneration=2), condition("B")]
    old = {"status": {"qosClass": "Burstable", "observedGeneration": 3, "conditions": conditions}}
    written = [condition("B"), condition("A"), condition("A", observedGeneration=5), condition("A")]
    new: Pod = {"status": {"conditions": written}}
    prepare_pod_status(new, old)
    assert new["status"] == {
        "qosClass": "Burstable",
        "observedGeneration": 3,
        "conditions": [
            condition("B"),
            condition("A", observedGeneration=1),
            condition("A", observedGeneration=5),
            condition("A"),
        ],
    }
