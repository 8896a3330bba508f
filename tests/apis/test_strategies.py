"""What becomes of new objects of every kind, and what all strategies have in common."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, copy_object, gvk_of
from tiphys.apis.strategies import STRATEGIES, strategy_for, validate_create, validate_update
from tiphys.apis.strategy import Strategy


def kind(api_version: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": name, "metadata": {"name": "x", "namespace": "ns"}, **fields}


TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}


CREATED = {
    "deployment": (kind("apps/v1", "Deployment", spec={}), {}),
    "stateful set": (kind("apps/v1", "StatefulSet", spec={}), {"replicas": 0, "availableReplicas": 0}),
    "claim": (kind("v1", "PersistentVolumeClaim", spec={}), {"phase": "Pending"}),
    "namespace": (kind("v1", "Namespace"), {"phase": "Active"}),
    "budget": (
        kind("policy/v1", "PodDisruptionBudget", spec={}),
        {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
    ),
    "pod": (kind("v1", "Pod", spec={}), {"phase": "Pending", "qosClass": "BestEffort"}),
    "crd": (
        kind(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            spec={"versions": [{"name": "v1", "storage": True}, {"name": "v2"}]},
        ),
        {"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": ["v1"]},
    ),
}


@pytest.mark.parametrize(("obj", "status"), CREATED.values(), ids=CREATED)
def test_status_of_new_objects(obj: dict[str, Any], status: dict[str, Any]) -> None:
    copy = copy_object({**obj, "status": {"phase": "Bogus"}})
    strategy_for(gvk_of(obj)).prepare_create(copy)
    assert copy["status"] == status


def test_new_namespace_has_its_finalizer() -> None:
    namespace = kind("v1", "Namespace")
    strategy_for(gvk_of(namespace)).prepare_create(namespace)
    assert namespace["spec"] == {"finalizers": ["kubernetes"]}


def test_job_selects_its_own_pods() -> None:
    job = kind("batch/v1", "Job", spec={"template": copy_object(TEMPLATE)})
    job["metadata"]["uid"] = "u1"
    strategy_for(gvk_of(job)).prepare_create(job)
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}}
    assert job["spec"]["template"]["metadata"]["labels"] == {
        "app": "x",
        "batch.kubernetes.io/controller-uid": "u1",
        "batch.kubernetes.io/job-name": "x",
        "controller-uid": "u1",
        "job-name": "x",
    }


FINALIZERS: dict[str, tuple[str, str, list[str]]] = {
    "secret": (
        "v1",
        "Secret",
        [
            'metadata.finalizers[1]: Invalid value: "foo": name is neither a standard finalizer name nor is '
            "it fully qualified"
        ],
    ),
    "budget": ("policy/v1", "PodDisruptionBudget", []),
    "event": ("v1", "Event", []),
    "lease": ("coordination.k8s.io/v1", "Lease", []),
    "custom": ("example.com/v1", "Foo", []),
}


@pytest.mark.parametrize(("api_version", "name", "expected"), FINALIZERS.values(), ids=FINALIZERS)
def test_finalizers_name_a_domain_in_most_kinds(api_version: str, name: str, expected: list[str]) -> None:
    obj = kind(api_version, name, involvedObject={"namespace": "ns"})
    obj["metadata"] |= {"finalizers": ["orphan", "foo", "a.b/c"], "resourceVersion": "1", "uid": "u"}
    strategy = strategy_for(gvk_of(obj))
    strategy.default(obj)
    for faults in (
        validate_create(strategy, obj, namespaced=True),
        validate_update(strategy, obj, obj, namespaced=True),
    ):
        assert list(dict.fromkeys(map(str, faults))) == expected


@pytest.mark.parametrize(("api_version", "name"), [("v1", "Event"), ("policy/v1", "PodDisruptionBudget")])
def test_names_that_only_have_to_fit_a_path(api_version: str, name: str) -> None:
    obj = kind(api_version, name, involvedObject={"namespace": "ns"})
    obj["metadata"]["name"] = "system:Node_a.17"
    assert validate_create(strategy_for(gvk_of(obj)), obj, namespaced=True) == []
    obj["metadata"]["name"] = "a/b"
    found = validate_create(strategy_for(gvk_of(obj)), obj, namespaced=True)
    assert [str(fault) for fault in found] == ["metadata.name: Invalid value: \"a/b\": may not contain '/'"]


def test_every_strategy_is_listed_once() -> None:
    gvks = [strategy.gvk for strategy in STRATEGIES]
    assert len(gvks) == len(set(gvks))


def test_versions_of_a_kind_share_rules() -> None:
    shared = strategy_for(GVK("scheduling.k8s.io", "v1beta1", "PriorityClass"))
    assert shared.gvk.version == "v1beta1"
    assert shared.has_generation


def test_unknown_kinds_get_the_generic_strategy() -> None:
    generic = strategy_for(GVK("example.com", "v1", "Foo"))
    assert generic.has_generation
    assert not generic.unconditional_update


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: "/".join(s.gvk))
def test_rules_survive_empty_objects(strategy: Any) -> None:
    obj = {"apiVersion": strategy.gvk.api_version, "kind": strategy.gvk.kind, "metadata": {"name": "a"}}
    strategy.default(obj)
    strategy.prepare_create(obj)
    old = copy_object(obj)
    strategy.prepare_update(obj, old)
    strategy.warnings(obj, None)
    assert isinstance(validate_create(strategy, obj, namespaced=False), list)
    assert isinstance(strategy.validate_update(obj, old), list)
    assert isinstance(strategy.validate_status_update(obj, old), list)


STATUSES: list[dict[str, Any]] = [
    {}, {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    {"capacity": {"cpu": "4"}}, {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "3"}},
    {"replicas": 2, "readyReplicas": 1},
]  # fmt: skip
SPECS: list[dict[str, Any]] = [
    {}, {"template": TEMPLATE}, TEMPLATE["spec"], {"template": TEMPLATE, "selector": {}, "strategy": {}},
    {"volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {}}], "template": TEMPLATE},
]  # fmt: skip


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s.default_status], ids=lambda s: s.gvk.kind)
@pytest.mark.parametrize("labels", [None, {"a": "b"}])
def test_the_default_of_a_status_is_all_that_defaults_do_to_it(strategy: Strategy, labels: Any) -> None:
    for status in STATUSES:
        for spec in SPECS:
            meta = {"name": "x"} | ({"labels": labels} if labels else {})
            obj = {"metadata": meta, "spec": copy_object(spec), "status": status}
            whole = copy_object(obj)
            strategy.default(whole)
            own = {**obj, "metadata": dict(meta), "status": dict(status)}
            assert strategy.default_status is not None
            before = copy_object([meta, spec, status])
            strategy.default_status(own)
            assert (own["metadata"], own["status"]) == (whole["metadata"], whole["status"])
            assert own["spec"] is obj["spec"]
            assert [meta, obj["spec"], status] == before


def test_kinds_without_defaults_have_none_of_their_status() -> None:
    plain = strategy_for(GVK("", "v1", "ServiceAccount"))
    status_default = plain.status_default()
    assert status_default is not None
    obj: dict[str, Any] = {}
    status_default(obj)
    assert obj == {}
    assert strategy_for(GVK("", "v1", "PersistentVolume")).status_default() is None
