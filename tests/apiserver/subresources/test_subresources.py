"""Binding, eviction, tokens, scale, finalize and the parts of pods."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apis.protobuf import codec

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def binding(name: str, node: str = "n1", **meta: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, **meta},
        "target": {"kind": "Node", "name": node},
    }  # fmt: skip


async def test_binding(api: Any, make_pod: Any) -> None:
    await api.create(PODS, make_pod())
    answer = await api("POST", PODS + "/p/binding", binding("p", annotations={"x": "y"}))
    assert (answer.status, answer.json["status"]) == (201, "Success")
    bound = await api.get(PODS + "/p")
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["metadata"]["annotations"]["x"] == "y"
    condition = bound["status"]["conditions"][-1]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    answer = await api("POST", PODS + "/p/binding", binding("p", "n2"))
    assert (answer.status, answer.message) == (
        409,
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"',
    )


async def test_legacy_bindings_resource(api: Any, make_pod: Any) -> None:
    await api.create(PODS, make_pod())
    assert (await api("POST", "/api/v1/namespaces/default/bindings", binding("p"))).status == 201
    assert (await api.get(PODS + "/p"))["spec"]["nodeName"] == "n1"


async def test_binding_needs_a_target(api: Any, make_pod: Any) -> None:
    await api.create(PODS, make_pod())
    answer = await api("POST", PODS + "/p/binding", binding("p", ""))
    assert (answer.status, answer.message) == (400, "target.name: Required value")


async def ready_pod(api: Any, make_pod: Any, name: str = "p") -> None:
    made = await api.create(PODS, make_pod(name, nodeName="n1"))
    made["status"] |= {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await api.put(f"{PODS}/{name}/status", made)


async def budget(api: Any, **status: Any) -> None:
    path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}
    made = await api.create(path, {"metadata": {"name": "b"}, "spec": spec})
    made["status"] = {
        "observedGeneration": 1,
        "currentHealthy": 1,
        "desiredHealthy": 1,
        "expectedPods": 1,
        **status,
    }
    await api.put(path + "/b/status", made)


EVICT = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}


async def test_eviction_is_refused_by_a_budget(api: Any, make_pod: Any) -> None:
    await ready_pod(api, make_pod)
    await budget(api, disruptionsAllowed=0)
    answer = await api("POST", PODS + "/p/eviction", EVICT)
    assert (answer.status, answer.json["reason"]) == (429, "TooManyRequests")
    assert answer.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert answer.json["details"]["causes"] == [
        {
            "reason": "DisruptionBudget",
            "message": "The disruption budget b needs 1 healthy pods and has 1 currently",
        }
    ]


async def test_eviction_takes_a_disruption(api: Any, make_pod: Any) -> None:
    await ready_pod(api, make_pod)
    await budget(api, disruptionsAllowed=1)
    assert (await api("POST", PODS + "/p/eviction", EVICT)).status == 201
    found = await api.get("/apis/policy/v1/namespaces/default/poddisruptionbudgets/b")
    assert found["status"]["disruptionsAllowed"] == 0
    assert list(found["status"]["disruptedPods"]) == ["p"]
    assert (await api.get(PODS + "/p"))["metadata"]["deletionTimestamp"]


async def test_eviction_without_budget(api: Any, make_pod: Any) -> None:
    await api.create(PODS, make_pod())
    assert (await api("POST", PODS + "/p/eviction", EVICT)).status == 201
    assert (await api("GET", PODS + "/p")).status == 404


async def test_an_evicted_pod_says_why(api: Any, make_pod: Any) -> None:
    """Before it goes, and once only; a dry run and a wrong precondition say nothing."""
    await ready_pod(api, make_pod)
    stale = {"deleteOptions": {"preconditions": {"resourceVersion": "1"}}}
    for query, body in (("?dryRun=All", {}), ("", stale), ("", {"deleteOptions": {"dryRun": ["All"]}})):
        await api("POST", f"{PODS}/p/eviction{query}", EVICT | body)
        types = [one["type"] for one in (await api.get(PODS + "/p"))["status"]["conditions"]]
        assert "DisruptionTarget" not in types
    version = (await api.get(PODS + "/p"))["metadata"]["resourceVersion"]
    exact = {"deleteOptions": {"preconditions": {"resourceVersion": version}}}
    assert (await api("POST", PODS + "/p/eviction", EVICT | exact)).status == 201
    found = await api.get(PODS + "/p")
    assert found["metadata"]["deletionTimestamp"]
    condition = found["status"]["conditions"][-1]
    assert condition.pop("lastTransitionTime")
    assert condition == {
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastProbeTime": None, "observedGeneration": 1,
    }  # fmt: skip
    await api("POST", PODS + "/p/eviction", EVICT)
    again = (await api.get(PODS + "/p"))["status"]["conditions"]
    assert [one["type"] for one in again].count("DisruptionTarget") == 1


@pytest.mark.parametrize("packed", [False, True])
async def test_eviction_by_old_clients(api: Any, make_pod: Any, packed: bool) -> None:
    await ready_pod(api, make_pod)
    body = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}}
    kind = "application/vnd.kubernetes.protobuf" if packed else "application/json"
    sent = codec.encode(body) if packed else body
    assert (await api("POST", PODS + "/p/eviction", sent, content_type=kind)).status == 201


async def test_scale(api: Any) -> None:
    labels = {"app": "d"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    await api.create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec})
    scale = await api.get(DEPLOYMENTS + "/d/scale")
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["selector"]) == ("Scale", 1, "app=d")
    scale["spec"]["replicas"] = 3
    assert (await api.put(DEPLOYMENTS + "/d/scale", scale))["spec"]["replicas"] == 3
    answer = await api("PUT", DEPLOYMENTS + "/d/scale", scale)
    assert answer.status == 409
    answer = await api.patch(DEPLOYMENTS + "/d/scale", {"spec": {"replicas": 0}})
    assert answer.status == 200
    found = await api.get(DEPLOYMENTS + "/d")
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (0, 3)


async def test_namespace_ends_with_its_last_finalizer(api: Any) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "x"}})
    gone = (await api("DELETE", "/api/v1/namespaces/x")).json
    assert gone["status"]["phase"] == "Terminating"
    answer = await api("POST", "/api/v1/namespaces/x/configmaps", {"metadata": {"name": "c"}})
    assert answer.status == 403
    assert answer.message == (
        'configmaps "c" is forbidden: unable to create new content in namespace x because it is being terminated'
    )
    gone["spec"] = {}
    await api.put("/api/v1/namespaces/x/finalize", gone)
    assert (await api("GET", "/api/v1/namespaces/x")).status == 404


async def test_ephemeral_containers(api: Any, make_pod: Any) -> None:
    await api.create(PODS, make_pod())
    extra = {"name": "debug", "image": "busybox"}
    patch = {"spec": {"ephemeralContainers": [extra]}}
    answer = await api.patch(PODS + "/p/ephemeralcontainers", patch, "strategic")
    assert answer.status == 200, answer.raw
    found = answer.json["spec"]["ephemeralContainers"][0]
    assert (found["name"], found["imagePullPolicy"]) == ("debug", "Always")
    answer = await api.patch(
        PODS + "/p/ephemeralcontainers", [{"op": "remove", "path": "/spec/ephemeralContainers"}], "json"
    )
    assert answer.status == 422


async def test_resize(api: Any, make_pod: Any) -> None:
    body = make_pod()
    body["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    await api.create(PODS, body)
    patch = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "200m"}}}]}}
    answer = await api.patch(PODS + "/p/resize", patch, "strategic")
    assert answer.status == 200, answer.raw
    assert answer.json["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "200m"}


async def token(api: Any, **spec: Any) -> Any:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    return await api(
        "POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    )


async def test_tokens_work_until_they_expire(api: Any) -> None:
    made = (await token(api, expirationSeconds=600)).json["status"]
    review = await api.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, user=made["token"])
    info = review["status"]["userInfo"]
    assert info["username"] == "system:serviceaccount:default:default"
    assert info["groups"] == [
        "system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"
    ]  # fmt: skip
    api.clock.advance(661)  # a minute of grace, as clocks differ
    assert (await api("GET", "/api", user=made["token"])).status == 401


async def test_a_token_dies_with_its_pod(api: Any, make_pod: Any) -> None:
    await api.create(PODS, make_pod())
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
    made = (await token(api, boundObjectRef=bound)).json["status"]["token"]
    assert (await api("GET", "/api", user=made)).status == 200
    await api("DELETE", PODS + "/p")
    assert (await api("GET", "/api", user=made)).status == 401


@pytest.mark.parametrize(
    ("spec", "status", "text"),
    [
        ({"expirationSeconds": 10}, 422, "may not specify a duration less than 10 minutes"),
        (
            {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "none"}},
            404,
            'pods "none" not found',
        ),
    ],
)
async def test_token_refusals(api: Any, spec: dict[str, Any], status: int, text: str) -> None:
    answer = await token(api, **spec)
    assert answer.status == status
    assert text in answer.message


async def test_approval_only_through_its_subresource(api: Any) -> None:
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    answer = await api("GET", path + "/none/approval")
    assert answer.status == 404


async def test_the_columns_of_a_scale(api: Any) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    await api.create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec})
    table = await api.get(DEPLOYMENTS + "/d/scale", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [column["name"] for column in table["columnDefinitions"]] == [
        "Name", "Desired", "Available", "Age"
    ]  # fmt: skip
    assert table["rows"][0]["cells"][:3] == ["d", 1, 0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["other"],
            "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize",
        ),
        (["c", "d"], "spec.containers: Forbidden: containers may not be added or removed on resize"),
    ],
)
async def test_a_resize_of_other_containers(api: Any, make_pod: Any, names: list[str], message: str) -> None:
    made = await api.create(PODS, make_pod())
    (container,) = made["spec"]["containers"]
    made["spec"]["containers"] = [{**container, "name": name} for name in names]
    answer = await api("PUT", PODS + "/p/resize", made)
    assert (answer.status, message in answer.message) == (422, True), answer.message


async def test_what_a_whole_pod_asks_for_cannot_be_left_out(api: Any, make_pod: Any) -> None:
    body = make_pod()
    body["spec"]["resources"] = {"requests": {"cpu": "100m"}}
    made = await api.create(PODS, body)
    del made["spec"]["resources"]
    answer = await api("PUT", PODS + "/p/resize", made)
    text = "spec.resources: Forbidden: pod-level resources cannot be removed"
    assert (answer.status, text in answer.message) == (422, True), answer.message


@pytest.mark.parametrize(
    ("method", "subresource", "body"),
    [
        ("POST", "binding", binding("p")),
        ("POST", "eviction", EVICT),
        ("PATCH", "status", {"status": {"phase": "Failed"}}),
        ("PATCH", "resize", {"metadata": {"labels": {"a": "b"}}}),
        ("PUT", "status", {"metadata": {"name": "p"}, "status": {"phase": "Failed"}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_answered_is_not_done(
    api: Any, make_pod: Any, method: str, subresource: str, body: Any
) -> None:
    made = await api.create(PODS, make_pod())
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    answer = await api(method, f"{PODS}/p/{subresource}", body, accept="text/html", content_type=kind)
    assert answer.status == 406
    assert await api.get(PODS + "/p") == made
