"""``metrics.k8s.io`` over a whole server whose nodes say what a test lets them say."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tiphys.apis.protobuf import codec
from tiphys.apiserver.usage.api import duration

ROOT = "/apis/metrics.k8s.io/v1beta1"
SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"


class Kubelets:
    """What each node says: CPU seconds and bytes of its containers."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.cpu_s = 0.0
        self.broken = ""

    async def __call__(self, node: Any) -> str:
        name = node["metadata"]["name"]
        if name == self.broken:
            raise OSError("refused")
        at = int(self.clock.now().timestamp() * 1000)
        where = f'container="c",namespace="default",pod="pod-{name}"'
        return (
            f"node_cpu_usage_seconds_total {self.cpu_s * 2} {at}\n"
            f"node_memory_working_set_bytes 4194304 {at}\n"
            f"container_cpu_usage_seconds_total{{{where}}} {self.cpu_s} {at}\n"
            f"container_memory_working_set_bytes{{{where}}} 1048576 {at}\n"
        )


async def settle(api: Any) -> Kubelets:
    """Make two nodes with a pod each, and look at them twice."""
    scraper = api.server.scraper
    kubelets = scraper._source = Kubelets(api.clock)
    for name in ("n1", "n2"):
        await api.create("/api/v1/nodes", {"metadata": {"name": name, "labels": {"zone": name[-1]}}})
        await api.create("/api/v1/namespaces/default/pods", {
            "metadata": {"name": f"pod-{name}", "labels": {"app": name}},
            "spec": {"nodeName": name, "containers": [{"name": "c", "image": "i"}]},
        })  # fmt: skip
        await run_pod(api, f"pod-{name}")
    await api.settle()
    await scraper.scrape()
    api.clock.advance(10)
    kubelets.cpu_s += 2.5
    await scraper.scrape()
    return kubelets


async def run_pod(api: Any, name: str) -> None:
    status = {"phase": "Running", "containerStatuses": [{
        "name": "c", "image": "i", "imageID": "", "ready": True, "restartCount": 0,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}  # fmt: skip
    answer = await api.patch(f"/api/v1/namespaces/default/pods/{name}/status", {"status": status})
    assert answer.status == 200


def names(found: Any) -> list[str]:
    return [item["metadata"]["name"] for item in found["items"]]


async def test_nodes_and_pods(api: Any) -> None:
    await settle(api)
    nodes = await api.get(f"{ROOT}/nodes")
    assert nodes["kind"] == "NodeMetricsList"
    assert names(nodes) == ["n1", "n2"]
    node = await api.get(f"{ROOT}/nodes/n1")
    assert node["usage"] == {"cpu": "500m", "memory": "4Mi"}
    assert (node["kind"], node["apiVersion"]) == ("NodeMetrics", "metrics.k8s.io/v1beta1")
    assert (node["window"], node["timestamp"]) == ("10s", "2026-01-01T00:00:10Z")
    assert node["metadata"]["labels"]["zone"] == "1"
    pod = await api.get(f"{ROOT}/namespaces/default/pods/pod-n1")
    assert pod["containers"] == [{"name": "c", "usage": {"cpu": "250m", "memory": "1Mi"}}]
    assert pod["metadata"]["namespace"] == "default"
    assert names(await api.get(f"{ROOT}/pods")) == ["pod-n1", "pod-n2"]
    assert names(await api.get(f"{ROOT}/namespaces/kube-system/pods")) == []


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("nodes?labelSelector=zone=2", ["n2"]),
        ("pods?labelSelector=app!=n1", ["pod-n2"]),
        ("pods?fieldSelector=metadata.name=pod-n1", ["pod-n1"]),
        ("pods?fieldSelector=metadata.name!=pod-n1", ["pod-n2"]),
        ("nodes?fieldSelector=metadata.name=none", []),
    ],
)
async def test_selectors(api: Any, path: str, found: list[str]) -> None:
    await settle(api)
    assert names(await api.get(f"{ROOT}/{path}")) == found


async def test_a_table(api: Any) -> None:
    await settle(api)
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    table = await api.get(f"{ROOT}/nodes", accept=accept)
    assert [one["name"] for one in table["columnDefinitions"]] == ["Name", "cpu", "memory", "Window"]
    assert table["rows"][0]["cells"] == ["n1", "500m", "4Mi", "10s"]
    assert table["rows"][0]["object"]["metadata"]["name"] == "n1"
    one = await api.get(f"{ROOT}/namespaces/default/pods/pod-n2", accept=accept)
    assert one["rows"][0]["cells"] == ["pod-n2", "250m", "1Mi", "10s"]


async def test_other_forms(api: Any) -> None:
    await settle(api)
    in_yaml = await api("GET", f"{ROOT}/nodes/n1", accept="application/yaml")
    assert in_yaml.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(in_yaml.raw)["kind"] == "NodeMetrics"
    accept = "application/json;as={};v=v1;g=meta.k8s.io"
    many = await api.get(f"{ROOT}/nodes", accept=accept.format("PartialObjectMetadataList"))
    assert (many["kind"], {one["kind"] for one in many["items"]}) == (
        "PartialObjectMetadataList", {"PartialObjectMetadata"},
    )  # fmt: skip
    one = await api.get(f"{ROOT}/nodes/n1", accept=accept.format("PartialObjectMetadata"))
    assert (one["kind"], one["metadata"]["name"], "usage" in one) == ("PartialObjectMetadata", "n1", False)
    for path, form in (("nodes", "PartialObjectMetadata"), ("nodes/n1", "PartialObjectMetadataList")):
        answer = await api("GET", f"{ROOT}/{path}", accept=accept.format(form))
        assert (answer.status, answer.message[:13]) == (406, "you requested")


@pytest.mark.parametrize("path", ["nodes", "nodes/n1", "pods", "namespaces/default/pods/pod-n2"])
async def test_protobuf(api: Any, path: str) -> None:
    """What upstream's controllers ask for first."""
    await settle(api)
    accept = "application/vnd.kubernetes.protobuf"
    plain, packed = await api.get(f"{ROOT}/{path}"), await api("GET", f"{ROOT}/{path}", accept=accept)
    assert (packed.status, packed.headers["content-type"]) == (200, accept)
    assert codec.decode(packed.raw) == plain


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "nodes/none", 404, 'nodemetrics.metrics.k8s.io "none" not found'),
        ("GET", "namespaces/default/pods/none", 404, 'podmetrics.metrics.k8s.io "default/none" not found'),
        ("DELETE", "nodes/n1", 405, "does not allow this method"),
        (
            "GET",
            "nodes?watch=true",
            405,
            'watch is not supported on resources of kind "nodes.metrics.k8s.io"',
        ),
        ("GET", "things", 404, "could not find"),
        ("GET", "namespaces/default/nodes", 404, "could not find"),
        ("GET", "pods?fieldSelector=spec.x=y", 400, "not supported"),
    ],
)
async def test_refusals(api: Any, method: str, path: str, status: int, text: str) -> None:
    await settle(api)
    answer = await api(method, f"{ROOT}/{path}")
    assert answer.status == status
    assert text in (answer.message if answer.json else answer.raw.decode()) or status == 404


async def test_what_has_not_been_seen_twice_is_not_there(api: Any) -> None:
    await settle(api)
    await api.create("/api/v1/nodes", {"metadata": {"name": "n3"}})
    await api.settle()
    await api.server.scraper.scrape()
    assert names(await api.get(f"{ROOT}/nodes")) == ["n1", "n2"]


async def test_a_node_that_does_not_answer_is_forgotten(api: Any) -> None:
    kubelets = await settle(api)
    kubelets.broken = "n1"
    await api.server.scraper.scrape()
    assert names(await api.get(f"{ROOT}/nodes")) == ["n2"]
    assert names(await api.get(f"{ROOT}/pods")) == ["pod-n2"]
    await api("DELETE", "/api/v1/nodes/n2")
    await api.settle()
    assert names(await api.get(f"{ROOT}/nodes")) == []


async def test_a_pod_is_shown_when_all_its_containers_are_known(api: Any) -> None:
    await settle(api)
    status = {"containerStatuses": [
        {"name": name, "image": "i", "imageID": "", "ready": True, "restartCount": 0,
         "state": {"running": {}}} for name in ("c", "d")]}  # fmt: skip
    await api.patch("/api/v1/namespaces/default/pods/pod-n1/status", {"status": status})
    assert names(await api.get(f"{ROOT}/pods")) == ["pod-n2"]


async def test_clients_find_it(api: Any) -> None:
    service = await api.get(SERVICE)
    assert service["spec"]["groupPriorityMinimum"] == 100
    assert "service" not in service["spec"]
    (condition,) = service["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("True", "Local")
    groups = {one["name"] for one in (await api.get("/apis"))["groups"]}
    assert "metrics.k8s.io" in groups
    listed = await api.get(ROOT)
    assert [one["kind"] for one in listed["resources"]] == ["NodeMetrics", "PodMetrics"]
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    found = await api.get("/apis", accept=accept)
    (group,) = [one for one in found["items"] if one["metadata"]["name"] == "metrics.k8s.io"]
    assert [one["resource"] for one in group["versions"][0]["resources"]] == ["nodes", "pods"]


async def test_it_takes_a_right_to_read(api: Any) -> None:
    assert (await api("GET", f"{ROOT}/nodes", user="alice")).status == 403
    role = await api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/system:aggregated-metrics-reader")
    assert role["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"


async def test_another_server_may_take_its_place(api: Any) -> None:
    service = await api.get(SERVICE)
    service["spec"]["service"] = {"namespace": "kube-system", "name": "metrics-server"}
    service["spec"]["insecureSkipTLSVerify"] = True
    await api.put(SERVICE, service)
    await api.settle()
    assert (await api("GET", f"{ROOT}/nodes")).status == 503
    await api("DELETE", SERVICE)
    for _ in range(10):
        await api.settle()
    assert (await api.get(f"{ROOT}/nodes"))["items"] == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(10.0, "10s"), (10.062, "10.062s"), (15.5004, "15.5s"), (60.0, "1m0s"), (75.25, "1m15.25s")],
)
def test_windows(seconds: float, text: str) -> None:
    assert duration(seconds) == text
