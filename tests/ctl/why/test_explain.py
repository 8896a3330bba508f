"""What ``why`` says: every case is a few objects and the answer, word for word, in ``cases/``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.apimachinery.meta import GVR
from tiphys.ctl.layout import CtlError
from tiphys.ctl.why.explain import KINDS, Kind, kind_named, split_target, summary
from tiphys.ctl.why.lookup import matching, other_kind
from tiphys.ctl.why.render import as_data, render
from tiphys.ctl.why.scene import Scene

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['case']}")
    for path in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    for case in yaml.load(path.read_text(), yaml.CSafeLoader)
]
PLURALS = {kind.names[0]: kind.gvr.resource for kind in KINDS} | {
    "configmap": "configmaps", "secret": "secrets", "lease": "leases", "storageclass": "storageclasses",
    "persistentvolume": "persistentvolumes", "endpointslice": "endpointslices", "cronjob": "cronjobs",
    "horizontalpodautoscaler": "horizontalpodautoscalers",
    "customresourcedefinition": "customresourcedefinitions", "ingressclass": "ingressclasses",
}  # fmt: skip
OTHERS = {
    "cm": (GVR("", "v1", "configmaps"), {"singularResource": "configmap", "scope": "Namespaced"}),
    "hpa": (GVR("autoscaling", "v2", "horizontalpodautoscalers"),
            {"singularResource": "horizontalpodautoscaler", "scope": "Namespaced"}),
    "cronjob": (GVR("batch", "v1", "cronjobs"), {"singularResource": "cronjob", "scope": "Namespaced"}),
    "crd": (GVR("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
            {"singularResource": "customresourcedefinition", "scope": "Cluster"}),
}  # fmt: skip
CLUSTER_WIDE = (
    "customresourcedefinitions",
    "ingressclasses",
    "nodes",
    "storageclasses",
    "persistentvolumes",
    "namespaces",
)


def scene_of(case: dict[str, Any]) -> Scene:
    """Name, namespace and uid are filled in; a list of events and of absent names stand beside."""
    objects: dict[tuple[str, str, str], Any] = {}
    for obj in case.get("objects", ()):
        resource = PLURALS[obj["kind"].lower()]
        meta = obj.setdefault("metadata", {})
        meta.setdefault("name", "web")
        if resource not in CLUSTER_WIDE:
            meta.setdefault("namespace", "shop")
        meta.setdefault("uid", f"{obj['kind']}-{meta['name']}")
        objects[(resource, meta.get("namespace", ""), meta["name"])] = obj
    for ref in case.get("absent", ()):
        resource, namespace, name = ref.split("/")
        objects[(resource, namespace, name)] = None
    return Scene(NOW, objects, tuple(case.get("events", ())))


def asked(case: dict[str, Any]) -> tuple[Kind, str]:
    """Return the kind that a case asks about: one that is explained, or any other of ``OTHERS``."""
    word, name = split_target((case["ask"],))
    return kind_named(word) or other_kind(*OTHERS[word]), name


def answer(case: dict[str, Any]) -> str:
    kind, name = asked(case)
    scene = scene_of(case)
    obj = scene.get(kind.gvr.resource, name, "shop" if kind.namespaced else "")
    assert obj is not None
    return render(summary(obj, kind, scene), kind.explain(obj, scene))


@pytest.mark.parametrize("case", CASES)
def test_says(case: dict[str, Any]) -> None:
    said = answer(case)
    assert said == case["says"]


def test_only_what_is_wrong_with_this_one() -> None:
    """An event about another pod of the same name, now gone, is not taken for evidence."""
    pod = {"kind": "Pod", "metadata": {"name": "web", "uid": "new"}}
    old = {"involvedObject": {"kind": "Pod", "name": "web", "uid": "old"}, "reason": "Failed"}
    assert Scene(NOW, events=(old,)).events_of(pod) == []


@pytest.mark.parametrize(
    "word", ["po", "Pod", "pods", "deploy", "deployments.apps", "svc", "PVC", "no", "sts"]
)
def test_kinds_as_kubectl_takes_them(word: str) -> None:
    assert kind_named(word) is not None


@pytest.mark.parametrize("words", [("web",), ("pod/",), ("pod", "a", "b"), ("pod/a/b",)])
def test_what_cannot_be_asked(words: tuple[str, ...]) -> None:
    with pytest.raises(CtlError, match="say what to explain"):
        split_target(words)


def test_for_programs() -> None:
    case = yaml.safe_load((Path(__file__).parent / "cases" / "scheduling.yaml").read_text())[0]
    kind, name = asked(case)
    scene = scene_of(case)
    data = as_data("x", kind.explain(scene.get("pods", name, "shop") or {}, scene), ("secrets (no)",))
    assert data["findings"][0]["cause"].startswith("No node fits")
    assert data["findings"][0]["table"][1] == ["NODES", "REASON", "WHAT HELPS"]
    assert data["notLookedAt"] == ["secrets (no)"]


def test_unread_is_named() -> None:
    assert "not looked at: secrets (no)" in render("pod web", [], ("secrets (no)",))


SERVED = {
    "items": [
        {"versions": [{"version": "v1", "resources": [
            {"resource": "configmaps", "singularResource": "configmap", "shortNames": ["cm"],
             "responseKind": {"kind": "ConfigMap"}, "scope": "Namespaced", "verbs": ["get", "list"]},
            {"resource": "bindings", "scope": "Namespaced", "verbs": ["create"]}]}]},
        {"metadata": {"name": "example.com"}, "versions": [
            {"version": "v2", "resources": [{"resource": "widgets", "scope": "Cluster", "verbs": ["get"]}]},
            {"version": "v1", "resources": [{"resource": "widgets", "scope": "Cluster", "verbs": ["get"]}]}]},
    ]
}  # fmt: skip


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("cm", "v1/configmaps"),
        ("configmap", "v1/configmaps"),
        ("widgets", "example.com/v2/widgets"),
        ("widgets.example.com", "example.com/v2/widgets"),
        ("widgets.v1.example.com", "example.com/v1/widgets"),
        ("widgets.other.com", ""),
        ("bindings", ""),
        ("gateway", ""),
    ],
)
def test_any_kind_that_is_served(word: str, found: str) -> None:
    kinds = [f"{kind.gvr.api_version}/{kind.gvr.resource}" for kind in matching(SERVED, word)]
    assert (kinds or [""])[0] == found


def test_a_group_of_somebody_else_is_not_taken_for_ones_own() -> None:
    assert kind_named("services.serving.example.com") is None
    assert kind_named("deployments.v1.apps") is not None
