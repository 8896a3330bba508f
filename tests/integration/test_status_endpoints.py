"""Statuses that both controllers and clients write: of quotas, namespaces, budgets and services."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import MERGE, STRATEGIC, Object, Refused, Typed, condition, eventually


def _hard(cpu: str, memory: str) -> Object:
    return {"cpu": cpu, "memory": memory}


def test_a_quotas_status_is_its_controllers_again_later(api: Any, namespace: str) -> None:
    """Updated, patched, read and patched anew: each write is seen by a watch, the spec stays what it was."""
    quotas = Typed(api, "v1", "resourcequotas", namespace)
    label = f"e2e-rq-label={namespace}"
    start = quotas.within("").list(labelSelector=label)["metadata"]["resourceVersion"]
    meta = {"name": "status", "labels": {"e2e-rq-label": namespace}}
    first = {"spec": {"hard": _hard("500m", "500Mi")}}
    quotas.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, **first})

    def write(live: Object) -> None:
        live["status"] = {"hard": _hard("500m", "500Mi")}

    quotas.changed("status", write, "status")

    def seen(version: str, hard: Object) -> None:
        with quotas.watch(version, labelSelector=label) as events:
            assert any(found.get("status", {}).get("hard") == hard for _, found in events)

    seen(start, _hard("500m", "500Mi"))
    version = quotas.list(labelSelector=label)["metadata"]["resourceVersion"]
    patched = quotas.patch("status", {"spec": {"hard": _hard("1", "1Gi")}}, STRATEGIC)
    assert patched["spec"]["hard"] == _hard("1", "1Gi")
    quotas.patch("status", {"status": {"hard": _hard("1", "1Gi")}}, STRATEGIC, "status")
    seen(version, _hard("1", "1Gi"))
    assert quotas.as_json().get("status", "status")["status"]["hard"] == _hard("1", "1Gi")
    version = quotas.list(labelSelector=label)["metadata"]["resourceVersion"]
    again = quotas.patch("status", {"status": {"hard": _hard("2", "2Gi")}}, STRATEGIC, "status")
    assert (again["status"]["hard"], again["spec"]["hard"]) == (_hard("2", "2Gi"), _hard("1", "1Gi"))
    seen(version, _hard("2", "2Gi"))
    quotas.until("status", lambda found: found["status"]["hard"] == found["spec"]["hard"])
    assert quotas.get("status")["spec"]["hard"] == _hard("1", "1Gi")


def test_a_namespaces_status_and_finalizers(api: Any, namespace: str) -> None:
    namespaces = Typed(api, "v1", "namespaces")
    assert namespaces.as_json().get(namespace, "status")["status"]["phase"] == "Active"
    told = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "Patched by an e2e test"}
    patch = {
        "metadata": {"annotations": {"e2e-patched-ns-status": namespace}},
        "status": {"conditions": [told]},
    }
    patched = namespaces.patch(namespace, patch, MERGE, "status")
    assert patched["metadata"]["annotations"]["e2e-patched-ns-status"] == namespace
    assert patched["status"]["conditions"][-1]["message"] == "Patched by an e2e test"
    assert patched["status"]["phase"] == "Active"

    def add(live: Object) -> None:
        live["status"]["conditions"].append(
            {**told, "type": "StatusUpdate", "message": "Updated by an e2e test"}
        )

    updated = namespaces.changed(namespace, add, "status")
    assert updated["status"]["conditions"][-1]["message"] == "Updated by an e2e test"

    def label(live: Object) -> None:
        live["metadata"]["labels"][namespace] = "updated"

    assert namespaces.changed(namespace, label)["metadata"]["labels"][namespace] == "updated"
    fake = "e2e.example.com/fakeFinalizer"
    held = namespaces.changed(namespace, lambda live: live["spec"]["finalizers"].append(fake), "finalize")
    assert held["spec"]["finalizers"] == ["kubernetes", fake]
    freed = namespaces.changed(namespace, lambda live: live["spec"]["finalizers"].remove(fake), "finalize")
    assert freed["spec"]["finalizers"] == ["kubernetes"]


LABELS = {"foo": "bar"}


def _budget(name: str, labels: Object | None = None, **spec: Any) -> Object:
    spec = {"selector": {"matchLabels": LABELS}, **spec}
    meta = {"name": name, "labels": labels or {}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": spec}


def _pod(name: str) -> Object:
    spec = {"containers": [{"name": "busybox", "image": "e2e/echo"}], "restartPolicy": "Always"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": LABELS}, "spec": spec}


def _running(pods: Typed, count: int) -> list[str]:
    def look() -> list[str] | None:
        found = pods.list(labelSelector="foo=bar")["items"]
        ready = [
            one["metadata"]["name"]
            for one in found
            if condition(one, "Ready").get("status") == "True" and "deletionTimestamp" not in one["metadata"]
        ]
        return ready if len(ready) >= count else None

    return list(eventually(look))


def test_a_budgets_status_shows_what_clients_write(api: Any, namespace: str) -> None:
    budgets = Typed(api, "policy/v1", "poddisruptionbudgets", namespace)
    pods = Typed(api, "v1", "pods", namespace)
    budgets.create(_budget("foo", minAvailable=1))
    budgets.until("foo", lambda found: found.get("status", {}).get("observedGeneration") == 1)
    pods.create(_pod("rs-1"))
    (name,) = _running(pods, 1)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def disrupted(live: Object) -> None:
        live["status"]["disruptedPods"] = {name: now}

    budgets.changed("foo", disrupted, "status")
    assert list(budgets.as_json().get("foo", "status")["status"]["disruptedPods"]) == [name]
    patch = {"status": {"disruptedPods": None}}
    patched = budgets.patch("foo", patch, MERGE, "status")
    assert not patched["status"].get("disruptedPods")
    for number in (2, 3):
        pods.create(_pod(f"rs-{number}"))
    budgets.until("foo", lambda found: found["status"].get("disruptionsAllowed", 0) > 0)


def test_a_budgets_share(api: Any, namespace: str) -> None:
    """Updated and patched once the controller has seen it, and deleted."""
    budgets = Typed(api, "policy/v1", "poddisruptionbudgets", namespace)

    def seen() -> Object:
        return budgets.until(
            "foo",
            lambda found: (
                found.get("status", {}).get("observedGeneration", 0) >= found["metadata"]["generation"]
            ),
        )

    budgets.create(_budget("foo", minAvailable="1%"))
    assert seen()["spec"]["minAvailable"] == "1%"
    updated = budgets.changed("foo", lambda live: live["spec"].update(minAvailable="2%"))
    assert updated["spec"]["minAvailable"] == "2%"
    seen()
    budgets.as_json().patch("foo", {"spec": {"minAvailable": "3%"}})
    assert seen()["spec"] == {**updated["spec"], "minAvailable": "3%"}
    budgets.delete("foo")
    eventually(lambda: budgets.gone("foo"))


def test_budgets_of_all_namespaces_are_listed_and_go_by_namespace(api: Any, namespace: str) -> None:
    other = api("POST", "/api/v1/namespaces", {"metadata": {"generateName": "it-"}}).json["metadata"]["name"]
    label, named = {"foo_pdb": namespace}, f"foo_pdb={namespace}"
    budgets = Typed(api, "policy/v1", "poddisruptionbudgets", namespace)
    for where, name in ((budgets, "foo"), (budgets, "foo2"), (budgets.within(other), "foo3")):
        where.create(_budget(name, label, minAvailable="1%"))

    def names(client: Typed) -> list[str]:
        return sorted(one["metadata"]["name"] for one in client.list(labelSelector=named)["items"])

    assert names(budgets.within("")) == ["foo", "foo2", "foo3"]
    assert names(budgets) == ["foo", "foo2"]
    budgets.delete_collection()
    eventually(lambda: names(budgets.within("")) == ["foo3"])
    api("DELETE", f"/api/v1/namespaces/{other}")


def test_evictions_wait_for_the_budget(api: Any, namespace: str) -> None:
    """Refused, allowed by an update, refused after a patch, allowed once the budget is gone."""
    budgets = Typed(api, "policy/v1", "poddisruptionbudgets", namespace)
    sets, pods = Typed(api, "apps/v1", "replicasets", namespace), Typed(api, "v1", "pods", namespace)
    budgets.create(_budget("foo", minAvailable=3))
    template = {"metadata": {"labels": LABELS}, "spec": _pod("")["spec"]}
    spec = {"replicas": 3, "selector": {"matchLabels": LABELS}, "template": template}
    sets.create({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs"}, "spec": spec})

    def evict(name: str) -> Object:
        meta = {"name": name, "namespace": namespace}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        return pods.create(body, name, "eviction")

    def refused(name: str) -> None:
        with pytest.raises(Refused) as told:
            evict(name)
        assert told.value.code == 429
        assert "DisruptionBudget" in [cause["reason"] for cause in told.value.details["causes"]]

    name = _running(pods, 3)[0]
    budgets.until("foo", lambda found: found["status"].get("currentHealthy") == 3)
    refused(name)
    budgets.changed("foo", lambda live: live["spec"].update(minAvailable=2))
    healthy = {"currentHealthy": 3, "desiredHealthy": 2}
    budgets.until("foo", lambda found: healthy.items() <= found["status"].items())
    evict(name)
    budgets.patch("foo", {"spec": {"minAvailable": None, "maxUnavailable": 0}})
    name = next(one for one in _running(pods, 3) if one != name)
    refused(name)
    budgets.delete("foo")
    _running(pods, 3)
    evict(name)
    eventually(lambda: pods.gone(name))


def test_a_services_status(api: Any, namespace: str) -> None:
    """Of a class that nobody serves; the condition has no time, as that of who sets none."""
    services = Typed(api, "v1", "services", namespace)
    label = f"test-service-static={namespace}"
    start = services.within("").list(labelSelector=label)["metadata"]["resourceVersion"]

    def seen(holds: Callable[[Object], Any], *kinds: str) -> Object:
        with services.watch(start, labelSelector=label) as events:
            return next(found for kind, found in events if (not kinds or kind in kinds) and holds(found))

    body = {
        "type": "LoadBalancer", "loadBalancerClass": "example.com/internal-vip",
        "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80}],
    }  # fmt: skip
    meta = {"name": "s", "labels": {"test-service-static": namespace}}
    made = services.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": body})
    seen(lambda found: found["metadata"]["uid"] == made["metadata"]["uid"], "ADDED")
    assert services.as_json().get("s", "status")["status"] == {"loadBalancer": {}}
    given = {"metadata": {"annotations": {"patchedstatus": "true"}}}
    address = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    services.patch("s", {**given, "status": address}, MERGE, "status")
    found = seen(lambda found: found["metadata"].get("annotations") == {"patchedstatus": "true"})
    assert found["status"] == {"loadBalancer": {"ingress": [{"ip": "203.0.113.1", "ipMode": "VIP"}]}}
    told = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
    services.changed("s", lambda live: live["status"].update(conditions=[told]), "status")
    found = seen(lambda found: condition(found, "StatusUpdate"))
    assert {**told, "lastTransitionTime": None}.items() >= condition(found, "StatusUpdate").items()
    read = services.as_json().get("s", "status")
    assert condition(read, "StatusUpdate") == {**told, "lastTransitionTime": None}
    patch = {"metadata": {"creationTimestamp": None, "labels": {"test-service": "patched"}}}
    services.patch("s", {**patch, "spec": {}, "status": {"loadBalancer": {}}}, STRATEGIC)
    found = seen(lambda found: found["metadata"]["labels"].get("test-service") == "patched")
    assert condition(found, "StatusUpdate")
    services.delete("s")
    seen(bool, "DELETED")


def test_services_go_by_their_labels(api: Any, namespace: str) -> None:
    services = Typed(api, "v1", "services", namespace)
    for number, label in enumerate(("one", "one", "other")):
        meta = {"name": f"s{number}", "labels": {"e2e-test-service": label}}
        body = {"type": "ClusterIP", "ports": [{"port": 80}]}
        services.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": body})
    services.delete_collection(labelSelector="e2e-test-service=one")
    assert [one["metadata"]["name"] for one in services.list()["items"]] == ["s2"]


def _in_a_namespace(api: Any, **meta: Any) -> tuple[str, Typed, Typed]:
    """Make a namespace with a running pod; return its name and clients of pods and config maps."""
    name = api("POST", "/api/v1/namespaces", {"metadata": {"generateName": "it-"}}).json["metadata"]["name"]
    eventually(lambda: not Typed(api, "v1", "serviceaccounts", name).gone("default"))
    pods = Typed(api, "v1", "pods", name)
    spec = {"containers": [{"name": "nginx", "image": "e2e/pause"}]}
    pods.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **meta}, "spec": spec})
    pods.until("p", lambda found: found["status"].get("phase") == "Running")
    return name, pods, Typed(api, "v1", "configmaps", name)


def test_a_namespaces_pods_go_first(api: Any) -> None:
    """While one is held the namespace tells so, and nothing else of it goes."""
    name, pods, maps = _in_a_namespace(api, finalizers=["e2e.example.com/finalizer"])
    namespaces = Typed(api, "v1", "namespaces")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"key": "value"}}
    maps.create(body)
    namespaces.delete(name)
    told = namespaces.until(name, lambda found: condition(found, "NamespaceDeletionContentFailure"))
    assert told["status"]["phase"] == "Terminating"
    pods.until("p", lambda found: found["metadata"].get("deletionTimestamp"))
    assert maps.get("m")["data"] == {"key": "value"}
    pods.changed("p", lambda live: live["metadata"].update(finalizers=[]))
    eventually(lambda: pods.gone("p"))
    eventually(lambda: namespaces.gone(name))


def test_a_namespace_comes_again_empty(api: Any) -> None:
    name, pods, _ = _in_a_namespace(api)
    services = Typed(api, "v1", "services", name)
    spec = {"selector": {"foo": "bar"}, "ports": [{"port": 80, "targetPort": 80}]}
    services.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec})
    namespaces = Typed(api, "v1", "namespaces")
    namespaces.delete(name)
    eventually(lambda: namespaces.gone(name))
    namespaces.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    assert pods.gone("p")
    assert services.gone("s")
    namespaces.delete(name)
