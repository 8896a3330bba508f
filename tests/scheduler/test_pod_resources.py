"""What pods ask for and may use, as ``/metrics/resources`` of a scheduler shows it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tiphys.apimachinery.families import text_of
from tiphys.client.kinds import PODS
from tiphys.scheduler.pod_resources import families, pod_limits
from tiphys.scheduler.scheduler import Scheduler, SchedulerOptions
from tiphys.testing import Cluster


def container(requests: dict[str, str], limits: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": requests, "limits": limits or {}}, **more}


def pod(*containers: dict[str, Any], phase: str = "Pending", **spec: Any) -> dict[str, Any]:
    spec = {"containers": list(containers), "schedulerName": "mine", **spec}
    meta = {"name": "foo", "namespace": "test"}
    return {"metadata": meta, "spec": spec, "status": {"phase": phase}}


def samples(*pods: dict[str, Any]) -> dict[tuple[str, str, str], float]:
    """Return (request or limit, resource, unit) and how much."""
    return {
        (family.name.rpartition("_")[2], one.labels["resource"], one.labels["unit"]): one.value
        for family in families(pods)
        for one in family.samples
    }


MIB = 2**20
ONE = container({"cpu": "1", "memory": "1Mi"}, {"cpu": "1500m"})
CASES: dict[str, tuple[dict[str, Any], dict[tuple[str, str, str], float]]] = {
    "no resources": (pod(container({})), {}),
    "zero is left out": (pod(container({"cpu": "0"})), {}),
    "cores and bytes": (
        pod(ONE),
        {("request", "cpu", "cores"): 1, ("request", "memory", "bytes"): MIB, ("limit", "cpu", "cores"): 1.5},
    ),
    "a container before the others asks for more": (
        pod(ONE, initContainers=[container({"cpu": "2", "memory": "1"})]),
        {("request", "cpu", "cores"): 2, ("request", "memory", "bytes"): MIB, ("limit", "cpu", "cores"): 1.5},
    ),
    "overhead adds to every request, and to limits that there are": (
        pod(ONE, overhead={"cpu": "250m", "memory": "1Mi"}),
        {
            ("request", "cpu", "cores"): 1.25, ("request", "memory", "bytes"): 2**21,
            ("limit", "cpu", "cores"): 1.75,
        },
    ),
    "units by name": (
        pod(
            container({
                "storage": "1", "ephemeral-storage": "2", "hugepages-2Mi": "4Mi",
                "attachable-volumes-aws": "3", "pods.com/x": "5",
            })
        ),
        {
            ("request", "storage", "bytes"): 1, ("request", "ephemeral-storage", "bytes"): 2,
            ("request", "hugepages-2Mi", "bytes"): 2**22, ("request", "attachable-volumes-aws", "integer"): 3,
            ("request", "pods.com/x", ""): 5,
        },
    ),
    "ended on its node": (pod(ONE, phase="Failed", nodeName="n"), {}),
    "ended without one": (
        pod(container({"cpu": "1"}), phase="Succeeded"), {("request", "cpu", "cores"): 1},
    ),
    "pod-level": (
        pod(ONE, resources={"requests": {"cpu": "3"}, "limits": {"cpu": "4"}}),
        {("request", "cpu", "cores"): 3, ("request", "memory", "bytes"): MIB, ("limit", "cpu", "cores"): 4},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_shown(name: str) -> None:
    given, expected = CASES[name]
    assert samples(given) == expected


def test_labels() -> None:
    asks = container({"cpu": "1"}, {"cpu": "1"})
    text = text_of(families([pod(asks, nodeName="n", priority=0)])).decode()
    assert (
        'kube_pod_resource_request{namespace="test",node="n",pod="foo",priority="0",resource="cpu",'
        'scheduler="mine",unit="cores"} 1' in text
    )
    assert "# TYPE kube_pod_resource_limit gauge" in text
    text = text_of(families([pod(container({"cpu": "1"}))])).decode()
    assert 'node="",pod="foo",priority=""' in text


def test_sidecars_count_beside_containers() -> None:
    spec = pod(ONE, initContainers=[container({}, {"cpu": "1"}, restartPolicy="Always")])["spec"]
    assert pod_limits(spec) == {"cpu": 2500}


async def test_a_scheduler_shows_its_pods_while_it_schedules() -> None:
    async with Cluster(nodes=1) as cluster:
        scheduler = Scheduler(cluster.client, SchedulerOptions(scheduler_name="second"))
        assert not list(scheduler.pod_resources())
        asks = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}
        spec = {"containers": [asks], "schedulerName": "second"}
        await cluster.client.create(PODS, {"metadata": {"name": "a", "namespace": "default"}, "spec": spec})
        async with asyncio.TaskGroup() as group:
            running = group.create_task(scheduler.run())
            await cluster.wait_for(
                PODS, "a", "default", lambda one: bool(one and one["spec"].get("nodeName"))
            )
            assert 'pod="a"' in text_of(scheduler.pod_resources()).decode()
            running.cancel()
