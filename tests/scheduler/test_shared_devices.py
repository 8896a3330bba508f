"""Devices that several claims share by capacity, and devices that must be made ready for a node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from scheduler_builders import columns, info, node, pod

from tiphys.apimachinery.meta import GVR, Object
from tiphys.client.kinds import DEVICE_CLASSES, NODES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
from tiphys.scheduler.arguments import Arguments, read_arguments
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.config import Configuration, ProfileSettings
from tiphys.scheduler.devices.allocate import allocate
from tiphys.scheduler.devices.capacity import consumption, fits, read_capacities
from tiphys.scheduler.devices.inventory import read_pools
from tiphys.scheduler.devices.result import allocation
from tiphys.scheduler.framework import decide
from tiphys.scheduler.plugins.dynamic import choose_devices, readiness
from tiphys.scheduler.profile import default_profile
from tiphys.scheduler.scheduler import Scheduler, SchedulerOptions
from tiphys.testing import Cluster

DRIVER = "nic.example.com"
CLASSES: dict[str, Object] = {"nic": {"metadata": {"name": "nic"}, "spec": {}}}


def device(name: str = "eth0", *, bandwidth: Any = "10G", shared: bool = True, **more: Any) -> dict[str, Any]:
    capacity = bandwidth if isinstance(bandwidth, dict) else {"value": bandwidth}
    return {"name": name, "allowMultipleAllocations": shared, "capacity": {"bandwidth": capacity}, **more}


def slice_(*devices: dict[str, Any], on: str = "a", **spec: Any) -> Object:
    pool = {"name": on, "generation": 1, "resourceSliceCount": 1}
    where = {"nodeName": on} if on else {"allNodes": True}
    return {
        "metadata": {"name": f"slice-{on}"},
        "spec": {"driver": DRIVER, "pool": pool, "devices": list(devices), **where, **spec},
    }


def asks(bandwidth: str = "", **more: Any) -> dict[str, Any]:
    capacity = {"capacity": {"requests": {"bandwidth": bandwidth}}} if bandwidth else {}
    return {"name": "nic", "exactly": {"deviceClassName": "nic", **capacity, **more}}


def claim(name: str, *requests: dict[str, Any], **more: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"devices": {"requests": list(requests)}},
        "status": {},
        **more,
    }


# -- what a request consumes

RANGE = {
    "value": "10G",
    "requestPolicy": {"default": "1G", "validRange": {"min": "1G", "max": "8G", "step": "2G"}},
}
VALUES = {"value": "10G", "requestPolicy": {"default": "5G", "validValues": ["2G", "5G"]}}
OPEN = {"value": "10G", "requestPolicy": {"default": "2G", "validRange": {"min": "2G"}}}
CONSUMED: dict[str, tuple[Any, str, str | None]] = {
    "as asked": ({"value": "10G"}, "3G", "3G"),
    "all of it": ({"value": "10G"}, "10G", "10G"),
    "more than there is": ({"value": "10G"}, "11G", None),
    "nothing said: the whole": ({"value": "10G"}, "", "10G"),
    "nothing said: the default": (RANGE, "", "1G"),
    "raised to the least": (RANGE, "100M", "1G"),
    "a step": (RANGE, "3G", "3G"),
    "up to the next step": (RANGE, "3500M", "5G"),
    "beyond the most": (RANGE, "7500M", None),
    "no steps": (OPEN, "2500M", "2500M"),
    "the least that is enough": (VALUES, "3G", "5G"),
    "no value is enough": (VALUES, "6G", None),
}


@pytest.mark.parametrize("case", CONSUMED.values(), ids=CONSUMED.keys())
def test_what_is_consumed(case: tuple[Any, str, str | None]) -> None:
    capacity, asked, expected = case
    capacities = read_capacities(DRIVER, device(bandwidth=capacity))
    taken = consumption(capacities, asks(asked)["exactly"], DRIVER)
    text = None if taken is None else str(taken[DRIVER, "bandwidth"])
    assert text == expected


def test_a_device_without_the_capacity_will_not_do() -> None:
    capacities = read_capacities(DRIVER, device())
    assert consumption(capacities, {"capacity": {"requests": {"memory": "1"}}}, DRIVER) is None
    qualified = {"capacity": {"requests": {f"{DRIVER}/bandwidth": "1G"}}}
    assert consumption(capacities, qualified, DRIVER)


def test_sums_must_fit() -> None:
    capacities = read_capacities(DRIVER, device())
    three = consumption(capacities, asks("3G")["exactly"], DRIVER)
    assert three is not None
    assert fits(capacities, [three] * 3)
    assert not fits(capacities, [three] * 4)


# -- sharing


def given(claims: list[Object], *slices: Object, cluster: Columns | None = None) -> list[list[str]] | None:
    shares = cluster.devices.shares if cluster else {}
    found = allocate(claims, node("a"), read_pools(slices), CLASSES, set(), shares=shares)
    return None if found is None else [[one.device.id[2] for one in own] for own in found]


TWO = slice_(device("eth0"), device("eth1", bandwidth="5G"))
SHARING: dict[str, tuple[list[Object], list[list[str]] | None]] = {
    "side by side": ([claim("a", asks("6G")), claim("b", asks("4G"))], [["eth0"], ["eth0"]]),
    "where there is room": ([claim("a", asks("6G")), claim("b", asks("5G"))], [["eth0"], ["eth1"]]),
    "nowhere": ([claim("a", asks("6G")), claim("b", asks("6G"))], None),
    "another order than asked": ([claim("a", asks("5G")), claim("b", asks("10G"))], [["eth1"], ["eth0"]]),
    "twice by one request": ([claim("a", asks("5G", count=3))], [["eth0", "eth0", "eth1"]]),
    "four times are too many": ([claim("a", asks("5G", count=4))], None),
    "each once where all are asked": ([claim("a", asks("1G", allocationMode="All"))], [["eth0", "eth1"]]),
}


@pytest.mark.parametrize("case", SHARING.values(), ids=SHARING.keys())
def test_devices_are_shared(case: tuple[list[Object], list[list[str]] | None]) -> None:
    claims, expected = case
    assert given(claims, TWO) == expected


def test_who_has_a_device_alone_must_find_it_large_enough() -> None:
    alone = slice_(device("eth0", bandwidth="1G", shared=False), device("eth1", shared=False))
    assert given([claim("a", asks("2G"))], alone) == [["eth1"]]
    assert given([claim("a", asks("2G")), claim("b", asks("2G"))], alone) is None


def test_the_status_says_what_is_consumed() -> None:
    asked = claim("c", asks("1G", count=2))
    pools = read_pools([slice_(device(bandwidth=RANGE))])
    (granted,) = allocate([asked], node("a"), pools, CLASSES, set()) or [[]]
    made = allocation(asked, granted, CLASSES, node("a"))
    first, second = made["devices"]["results"]
    assert first["consumedCapacity"] == second["consumedCapacity"] == {"bandwidth": "1G"}
    assert first["shareID"] != second["shareID"]
    assert allocation(asked, granted, CLASSES, node("a")) == made


def test_what_is_consumed_is_gone_until_its_claim_is() -> None:
    cluster = columns(node("a"))
    cluster.devices.set_class(None, CLASSES["nic"])
    cluster.devices.set_slice(None, slice_(device()))
    first, second = claim("first", asks("6G")), claim("second", asks("5G"))
    for one in (first, second):
        cluster.devices.set_claim(None, one)

    def using(name: str) -> Any:
        return info(name, resourceClaims=[{"name": "nic", "resourceClaimName": name}])

    assert decide(using("first"), cluster, default_profile()).node == "a"
    ((key, got),) = choose_devices(using("first"), cluster, "a").claims
    assert got is not None
    cluster.devices.assume(key, got)
    assert not decide(using("second"), cluster, default_profile()).node
    written = {**first, "status": {"allocation": got}}
    cluster.devices.set_claim(first, written)
    assert not decide(using("second"), cluster, default_profile()).node, "counted once, and still"
    assert given([claim("small", asks("4G"))], slice_(device()), cluster=cluster)
    cluster.devices.set_claim(written, None)
    assert decide(using("second"), cluster, default_profile()).node == "a"


# -- devices that must be made ready

CONDITIONS = {"bindingConditions": ["attached"], "bindingFailureConditions": ["broken"]}
RESULT = {"driver": DRIVER, "pool": "a", "device": "eth0", **CONDITIONS}


def attached(**conditions: str) -> list[dict[str, Any]]:
    said = [{"type": name, "status": status} for name, status in conditions.items()]
    return [{"driver": DRIVER, "pool": "a", "device": "eth0", "conditions": said}]


READINESS: dict[str, tuple[list[dict[str, Any]], tuple[bool, str]]] = {
    "nothing said": ([], (False, "")),
    "not yet": (attached(attached="False"), (False, "")),
    "ready": (attached(attached="True", broken="False"), (True, "")),
    "failed": (
        attached(attached="True", broken="True"),
        (False, f"device {DRIVER}/a/eth0: condition broken is true"),
    ),
    "of another device": ([{**attached(attached="True")[0], "device": "eth1"}], (False, "")),
}


@pytest.mark.parametrize("case", READINESS.values(), ids=READINESS.keys())
def test_when_devices_are_ready(case: tuple[list[dict[str, Any]], tuple[bool, str]]) -> None:
    said, expected = case
    status = {"allocation": {"devices": {"results": [RESULT]}}, "devices": said}
    assert readiness(claim("c", asks(), status=status)) == expected


def test_what_asks_for_nothing_is_ready() -> None:
    plain = {"driver": DRIVER, "pool": "a", "device": "eth0"}
    assert readiness(claim("c", status={"allocation": {"devices": {"results": [plain]}}})) == (True, "")


def test_a_device_may_bind_its_claim_to_the_node() -> None:
    pools = read_pools([slice_(device(**CONDITIONS, bindsToNode=True), on="")])
    asked = claim("c", asks("1G"))
    (granted,) = allocate([asked], node("a"), pools, CLASSES, set()) or [[]]
    made = allocation(asked, granted, CLASSES, node("a"))
    ((field,),) = (term["matchFields"] for term in made["nodeSelector"]["nodeSelectorTerms"])
    assert field == {"key": "metadata.name", "operator": "In", "values": ["a"]}
    (result,) = made["devices"]["results"]
    assert {name: result[name] for name in CONDITIONS} == CONDITIONS


@pytest.mark.parametrize(
    ("text", "seconds", "faults"),
    [
        ("90s", 90.0, []),
        ("500ms", 0.5, ["p[0].args.bindingTimeout: Invalid value: 500ms: must be at least 1 second"]),
        ("soon", 0.0, ['p[0].args.bindingTimeout: Invalid value: "soon": time: invalid duration "soon"']),
    ],
)
def test_how_long_devices_may_take(text: str, seconds: float, faults: list[str]) -> None:
    found: list[str] = []
    read = read_arguments([{"name": "DynamicResources", "args": {"bindingTimeout": text}}], "p", found)
    assert (read.device_timeout_s, found) == (seconds, faults)


# -- in a cluster


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(nodes=0, controllers=False, scheduler=False) as made:
        client = made.client
        await made.wait_for(GVR("", "v1", "namespaces"), "default")
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        meta = {"name": "default", "namespace": "default"}
        await client.create(GVR("", "v1", "serviceaccounts"), {**account, "metadata": meta})
        await client.create(NODES, {"apiVersion": "v1", "kind": "Node", **node("a")})
        await client.patch(NODES, "a", "", {"spec": {"taints": None}})
        version = "resource.k8s.io/v1"
        await client.create(DEVICE_CLASSES, {"apiVersion": version, "kind": "DeviceClass", **CLASSES["nic"]})
        offered = slice_(device(**CONDITIONS, bindsToNode=True))
        await client.create(RESOURCE_SLICES, {"apiVersion": version, "kind": "ResourceSlice", **offered})
        asked = claim("c", asks("1G"))
        del asked["metadata"]["uid"]
        await client.create(RESOURCE_CLAIMS, {"apiVersion": version, "kind": "ResourceClaim", **asked})
        user = pod("user", resourceClaims=[{"name": "nic", "resourceClaimName": "c"}])
        del user["metadata"]["uid"]
        await client.create(PODS, user)
        yield made


@asynccontextmanager
async def scheduling(cluster: Cluster, within_s: float = 600.0) -> AsyncIterator[None]:
    settings = ProfileSettings(arguments=Arguments(device_timeout_s=within_s))
    options = SchedulerOptions(binders=2, configuration=Configuration((settings,)))
    scheduler = Scheduler(cluster.client_for("system:kube-scheduler"), options)
    running = asyncio.create_task(scheduler.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def allocated(found: Object | None) -> bool:
    return bool(((found or {}).get("status") or {}).get("allocation"))


async def say(cluster: Cluster, **conditions: str) -> None:
    """Speak as the driver does about the claim's one device."""
    live = await cluster.wait_for(RESOURCE_CLAIMS, "c", "default", allocated)
    assert live is not None
    (result,) = live["status"]["allocation"]["devices"]["results"]
    said = attached(**conditions)[0]
    moment = "2026-01-01T00:00:00Z"
    said["conditions"] = [
        {**one, "reason": "Driver", "message": "", "lastTransitionTime": moment} for one in said["conditions"]
    ]
    said["shareID"] = result["shareID"]
    await cluster.client.patch(
        RESOURCE_CLAIMS, "c", "default", {"status": {"devices": [said]}}, subresource="status"
    )


async def test_a_pod_is_bound_once_its_devices_are_ready(cluster: Cluster) -> None:
    async with scheduling(cluster):
        await say(cluster, attached="False")
        waiting = await cluster.client.get(PODS, "user", "default")
        assert not waiting["spec"].get("nodeName")
        await say(cluster, attached="True")
        await cluster.wait_for(
            PODS, "user", "default", lambda item: bool(item and item["spec"].get("nodeName"))
        )


@pytest.mark.parametrize("why", ["failed", "late"])
async def test_devices_that_do_not_become_ready_are_given_back(cluster: Cluster, why: str) -> None:
    async with scheduling(cluster, 600.0 if why == "failed" else 0.2):
        live = await cluster.wait_for(RESOURCE_CLAIMS, "c", "default", allocated)
        assert live is not None
        if why == "failed":
            await say(cluster, broken="True")
        given_back = await cluster.wait_for(RESOURCE_CLAIMS, "c", "default", lambda item: not allocated(item))
        assert given_back is not None
        assert not given_back["status"].get("reservedFor")
    assert not (await cluster.client.get(PODS, "user", "default"))["spec"].get("nodeName")
