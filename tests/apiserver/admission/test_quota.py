"""Resource quotas."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tiphys.apis.core.quota import in_scope, missing_compute, usage_of

BASE = "/api/v1/namespaces/default"


async def quota(api: Any, **hard: str) -> None:
    hard = {key.replace("__", "."): value for key, value in hard.items()}
    made = await api.create(BASE + "/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    made["status"] = {"hard": hard, "used": dict.fromkeys(hard, "0")}
    await api.put(BASE + "/resourcequotas/q/status", made)


async def test_charging_and_refusing(api: Any, make_pod: Any) -> None:
    await quota(api, pods="1")
    await api.create(BASE + "/pods", make_pod())
    found = await api.get(BASE + "/resourcequotas/q")
    assert found["status"]["used"] == {"pods": "1"}
    answer = await api("POST", BASE + "/pods", make_pod("q"))
    assert (answer.status, answer.message) == (
        403,
        'pods "q" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1',
    )


async def test_many_at_once_have_what_room_there_is(api: Any) -> None:
    await quota(api, configmaps="20")
    bodies = ({"metadata": {"name": f"c{number}"}} for number in range(30))
    found = await asyncio.gather(*(api("POST", BASE + "/configmaps", body) for body in bodies))
    assert [answer.status for answer in found] == [201] * 20 + [403] * 10
    assert (await api.get(BASE + "/resourcequotas/q"))["status"]["used"] == {"configmaps": "20"}


async def test_compute_must_be_said(api: Any, make_pod: Any) -> None:
    await quota(api, limits__cpu="1", memory="1Gi")
    answer = await api("POST", BASE + "/pods", make_pod())
    assert answer.message == (
        'pods "p" is forbidden: failed quota: q: must specify limits.cpu for: c; memory for: c'
    )
    body = make_pod()
    body["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "600m", "memory": "1Mi"}}
    await api.create(BASE + "/pods", body)
    body["metadata"]["name"] = "q"
    answer = await api("POST", BASE + "/pods", body)
    assert answer.message.endswith(
        "exceeded quota: q, requested: limits.cpu=600m, used: limits.cpu=600m, limited: limits.cpu=1"
    )


def gpu_claim(name: str, owner: Any = None) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name}
    if owner is not None:
        meta["annotations"] = {"resource.kubernetes.io/extended-resource-claim": "true"}
        of = {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": True}
        meta["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", **of}]
    exactly = {"deviceClassName": "gpu"}
    return {"metadata": meta, "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}}}


async def test_devices_are_charged_under_the_names_of_extended_resources(api: Any, make_pod: Any) -> None:
    explicit, implicit = "requests.example.com/gpu", "requests.deviceclass.resource.kubernetes.io/gpu"
    device_class = {"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}}
    await api.create("/apis/resource.k8s.io/v1/deviceclasses", device_class)
    made = {"metadata": {"name": "q"}, "spec": {"hard": {explicit: "2", implicit: "2"}}}
    made = await api.create(BASE + "/resourcequotas", made)
    made["status"] = {"hard": made["spec"]["hard"], "used": {explicit: "0", implicit: "0"}}
    await api.put(BASE + "/resourcequotas/q/status", made)

    body = make_pod()
    body["spec"]["containers"][0]["resources"] = {"limits": {"example.com/gpu": "1"}}
    pod = await api.create(BASE + "/pods", body)
    claims = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
    await api.create(claims, gpu_claim("of-pod", pod))
    used = (await api.get(BASE + "/resourcequotas/q"))["status"]["used"]
    assert used == {explicit: "1", implicit: "1"}  # what a pod has paid for is not paid for again

    await api.create(claims, gpu_claim("plain"))
    answer = await api("POST", claims, gpu_claim("second", pod))
    want = f"requested: {implicit}=1,{explicit}=1, used: {implicit}=2,{explicit}=2"
    assert answer.status == 403
    assert want in answer.message


async def test_dry_run_charges_nothing(api: Any) -> None:
    await quota(api, configmaps="1")
    await api.create(BASE + "/configmaps?dryRun=All", {"metadata": {"name": "c"}})
    assert (await api.get(BASE + "/resourcequotas/q"))["status"]["used"] == {"configmaps": "0"}


@pytest.mark.parametrize(
    ("group", "plural", "obj", "want"),
    [
        ("", "services", {"spec": {"type": "NodePort", "ports": [{}, {}]}},
         {"count/services": "1", "services": "1", "services.nodeports": "2"}),
        ("", "persistentvolumeclaims",
         {"spec": {"storageClassName": "s", "resources": {"requests": {"storage": "1Gi"}}}},
         {"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "1Gi",
          "s.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
          "s.storageclass.storage.k8s.io/requests.storage": "1Gi"}),
        ("", "services", {"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False,
                                   "ports": [{"port": 1, "nodePort": 32001}, {"port": 2}]}},
         {"count/services": "1", "services": "1", "services.nodeports": "1", "services.loadbalancers": "1"}),
        ("", "persistentvolumeclaims", {"spec": {"resources": {"requests": {"storage": "1001m"}}}},
         {"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "2"}),
        ("", "pods", {"spec": {"containers": [{"resources": {"limits": {"cpu": "1"}}}],
                               "overhead": {"cpu": "1", "memory": "1Mi"}}},
         {"count/pods": "1", "pods": "1", "cpu": "1", "requests.cpu": "1", "memory": "1Mi",
          "requests.memory": "1Mi", "limits.cpu": "2"}),
        ("apps", "deployments", {}, {"count/deployments.apps": "1"}),
        ("", "pods", {"status": {"phase": "Failed"}}, {"count/pods": "1"}),
        ("", "pods", None, {}),
    ],
)  # fmt: skip
def test_usage(group: str, plural: str, obj: Any, want: dict[str, str]) -> None:
    assert {key: str(value) for key, value in usage_of(group, plural, obj).items()} == want


def container(name: str, cpu: str, **rest: Any) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": {"cpu": cpu}}, **rest}


def test_init_containers_count_when_they_are_hungrier() -> None:
    spec = {
        "initContainers": [container("s", "1", restartPolicy="Always"), container("i", "4")],
        "containers": [container("a", "1"), container("b", "1")],
    }
    assert str(usage_of("", "pods", {"spec": spec})["requests.cpu"]) == "5"
    assert missing_compute(spec, {"limits.cpu", "requests.cpu"}) == ["limits.cpu for: a,b,i,s"]


WHOLE: dict[str, tuple[dict[str, Any], list[str]]] = {
    # what the pod says as a whole -> what its containers leave out
    "memory": ({"requests": {"memory": "1Gi"}}, []),
    "a limit": ({"limits": {"hugepages-2Mi": "2Mi"}}, []),
    "nothing": ({"requests": {}}, ["cpu for: c"]),
    "something else": ({"requests": {"example.com/a": "1"}}, ["cpu for: c"]),
}


@pytest.mark.parametrize(("resources", "missing"), WHOLE.values(), ids=WHOLE)
def test_pods_that_ask_as_a_whole(resources: dict[str, Any], missing: list[str]) -> None:
    spec = {"containers": [{"name": "c"}], "resources": resources}
    assert missing_compute(spec, {"cpu"}) == missing


@pytest.mark.parametrize(
    ("scope", "spec", "want"),
    [
        ("Terminating", {"activeDeadlineSeconds": 1}, True),
        ("NotTerminating", {"activeDeadlineSeconds": 1}, False),
        ("BestEffort", {"containers": [{"name": "c"}]}, True),
        ("NotBestEffort", {"containers": [{"name": "c"}]}, False),
        ("PriorityClass", {"priorityClassName": "x"}, True),
    ],
)
def test_scopes(scope: str, spec: dict[str, Any], want: bool) -> None:
    assert in_scope({"spec": {"scopes": [scope]}}, "", "pods", {"spec": spec}) is want
    assert not in_scope({"spec": {"scopes": [scope]}}, "", "services", {})


async def test_what_is_limited_needs_a_quota(serving: Any, make_pod: Any, tmp_path: Path) -> None:
    file = tmp_path / "admission.yaml"
    file.write_text(
        """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - resource: pods
      matchScopes: [{scopeName: PriorityClass, operator: In, values: [high]}]
    - {resource: configmaps, matchContains: [count/configmaps]}
"""
    )
    options = {"admission_config": file, "disabled_admission": ("ServiceAccount",)}
    async with serving(**options) as api:
        body = {"metadata": {"name": "high"}, "value": 10}
        await api.create("/apis/scheduling.k8s.io/v1/priorityclasses", body)
        answer = await api("POST", BASE + "/pods", make_pod("p", priorityClassName="high"))
        assert (answer.status, answer.message) == (
            500, "insufficient quota to match these scopes: [{PriorityClass In [high]}]"
        )  # fmt: skip
        answer = await api("POST", BASE + "/configmaps", {"metadata": {"name": "m"}})
        assert (answer.status, answer.message) == (
            403, 'configmaps "m" is forbidden: insufficient quota to consume: count/configmaps'
        )  # fmt: skip
        await quota(api, **{"count/configmaps": "1"})
        await api.create(BASE + "/configmaps", {"metadata": {"name": "m"}})
        await api.create(BASE + "/pods", make_pod("p"))


async def test_events_and_reviews_are_never_counted(api: Any) -> None:
    await quota(api, **{"count/events": "0", "count/localsubjectaccessreviews.authorization.k8s.io": "0"})
    await api.create(
        BASE + "/events", {"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}}
    )
    attributes = {"verb": "get", "resource": "pods", "namespace": "default"}
    await api.create(
        "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews",
        {"spec": {"user": "u", "resourceAttributes": attributes}},
    )
