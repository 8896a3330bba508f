"""What objects had before newer rules they may keep, and nothing more."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apis.strategies import strategy_for

BAD = {"matchExpressions": [{"key": "a", "operator": "In", "values": ["a b"]}]}
TERM = {"topologyKey": "k", "labelSelector": BAD}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
NODE_TERMS = {"nodeSelectorTerms": [BAD]}
POD = GVK("", "v1", "Pod")


def pod_spec(**spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": spec.pop("resources", {})}
    return {"containers": [container], **spec}


def workload(spec: dict[str, Any]) -> dict[str, Any]:
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"spec": {"selector": {"matchLabels": labels}, "template": template}}


def job(spec: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {**spec, "restartPolicy": "Never"}}}}


def webhook(**parts: Any) -> dict[str, Any]:
    whole = {
        "name": "a.b.c",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://a.b"},
        **parts,
    }
    return {"webhooks": [whole]}


SPECS: dict[str, dict[str, Any]] = {
    "values that no label has": pod_spec(affinity={"podAffinity": {REQUIRED: [TERM]}}),
    "values that no node has": pod_spec(affinity={"nodeAffinity": {REQUIRED: NODE_TERMS}}),
    "spreading by such values": pod_spec(
        topologySpreadConstraints=[
            {"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": BAD}
        ]
    ),
    "parts of huge pages": pod_spec(resources={"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}}),
    "settings of the host's network": pod_spec(
        hostNetwork=True, securityContext={"sysctls": [{"name": "net.a", "value": "1"}]}
    ),
    "a token elsewhere": pod_spec(
        serviceAccountName="s",
        volumes=[{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "../a"}}]}}],
    ),
}
SPECS["a container that restarts but runs only once"] = pod_spec(
    initContainers=[
        {
            "name": "i",
            "image": "i",
            "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}],
        }
    ]
)
CASES: dict[str, tuple[GVK, dict[str, Any]]] = {
    **{f"a pod with {what}": (POD, {"spec": spec}) for what, spec in SPECS.items()},
    "a pod that costs nothing sensible": (
        POD,
        {
            "metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "x"}},
            "spec": pod_spec(),
        },
    ),
    **{
        kind: (GVK("apps", "v1", kind), workload(SPECS["values that no label has"]))
        for kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet")
    },
    "Job": (GVK("batch", "v1", "Job"), job(SPECS["parts of huge pages"])),
    "CronJob": (
        GVK("batch", "v1", "CronJob"),
        {"spec": {"schedule": "* * * * *", "jobTemplate": job(SPECS["parts of huge pages"])}},
    ),
    "PodTemplate": (
        GVK("", "v1", "PodTemplate"),
        {"template": {"metadata": {}, "spec": SPECS["parts of huge pages"]}},
    ),
    "NetworkPolicy": (GVK("networking.k8s.io", "v1", "NetworkPolicy"), {"spec": {"podSelector": BAD}}),
    "PodDisruptionBudget": (
        GVK("policy", "v1", "PodDisruptionBudget"),
        {"spec": {"minAvailable": 1, "selector": BAD}},
    ),
    "PersistentVolumeClaim": (
        GVK("", "v1", "PersistentVolumeClaim"),
        {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "selector": BAD,
                "dataSourceRef": {"apiGroup": "a_b", "kind": "K", "name": "n"},
            }
        },
    ),
    "PersistentVolume": (
        GVK("", "v1", "PersistentVolume"),
        {
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": "/a"},
                "nodeAffinity": {"required": NODE_TERMS},
            }
        },
    ),
    **{
        f"a webhook with {what}": (
            GVK("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"),
            hook,
        )
        for what, hook in {
            "effects": webhook(sideEffects="Some"),
            "unknown reviews": webhook(admissionReviewVersions=["v9"]),
            "such values": webhook(objectSelector=BAD),
            "the name of another": {"webhooks": webhook()["webhooks"] * 2},
        }.items()
    },
}


@pytest.mark.parametrize(("gvk", "obj"), CASES.values(), ids=CASES)
def test_what_was_there_may_stay(gvk: GVK, obj: dict[str, Any]) -> None:
    strategy = strategy_for(gvk)
    old: dict[str, Any] = copy_object(obj)
    old["metadata"] = {"name": "x", "namespace": "n", "uid": "u", **old.get("metadata", {})}
    strategy.default(old)
    strategy.prepare_create(old)
    assert strategy.validate(old) != []
    new = copy_object(old)
    new["metadata"]["labels"] = {"touched": "yes"}
    assert strategy.validate_update(new, old) == []


def test_what_was_not_there_may_not_come() -> None:
    strategy = strategy_for(GVK("policy", "v1", "PodDisruptionBudget"))
    old = {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}
    new = {"spec": {"minAvailable": 1, "selector": BAD}}
    assert [fault.field for fault in strategy.validate_update(new, old)] == [
        "spec.selector.matchExpressions[0].values[0]"
    ]


def test_one_excuse_does_not_cover_another() -> None:
    strategy = strategy_for(GVK("policy", "v1", "PodDisruptionBudget"))
    old = {"spec": {"minAvailable": 1, "selector": BAD}}
    new = {"spec": {"minAvailable": -1, "selector": BAD}}
    assert [fault.field for fault in strategy.validate_update(new, old)] == ["spec.minAvailable"]


REVIEWS: dict[str, tuple[list[str], list[str]]] = {
    "none": ([], ["webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1"]),
    "twice": (
        ["v1", "v1"],
        ['webhooks[0].admissionReviewVersions[1]: Invalid value: "v1": duplicate version'],
    ),
    "unknown": (
        ["v9"],
        [
            'webhooks[0].admissionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, '
            "v1beta1"
        ],
    ),
}


@pytest.mark.parametrize(("versions", "expected"), REVIEWS.values(), ids=REVIEWS)
def test_reviews_of_webhooks(versions: list[str], expected: list[str]) -> None:
    strategy = strategy_for(GVK("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration"))
    found = strategy.validate(webhook(admissionReviewVersions=versions))
    assert [str(fault) for fault in found] == expected


def test_effects_of_webhooks() -> None:
    strategy = strategy_for(GVK("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration"))
    at = "webhooks[0].sideEffects"
    assert [str(fault) for fault in strategy.validate(webhook(sideEffects=None))] == [
        f"{at}: Required value: must specify one of None, NoneOnDryRun"
    ]
    assert [str(fault) for fault in strategy.validate(webhook(sideEffects="Some"))] == [
        f'{at}: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'
    ]
