"""What a node says of itself."""

from dataclasses import replace
from datetime import timedelta

import pytest
from pods import NOW

from tiphys.apimachinery.featuregates import resolve
from tiphys.kubelet.eviction.plan import parse_thresholds
from tiphys.kubelet.nodestatus.machine import Machine
from tiphys.kubelet.nodestatus.node_object import (
    NodeFindings,
    allocatable,
    capacity,
    extended_allocatable,
    new_node,
    node_status,
    readiness_problem,
    significant,
    transitions,
)
from tiphys.kubelet.options import KubeletOptions, ServerOptions
from tiphys.kubelet.runtime import Image, RuntimeHandler, RuntimeInfo

MACHINE = Machine(2, 2**30, 2**40, "amd64", "6.1", "Debian", "mid", "bid", "sid")
OPTIONS = KubeletOptions(
    "n1", node_ips=("192.0.2.1",), labels={"a": "b"}, taints=({"key": "k", "effect": "NoSchedule"},)
)
SOFT = parse_thresholds("", "memory.available<50%", "memory.available=1m")
GOOD = RuntimeInfo("containerd", "1.6", True, True)


def test_new_node():
    node = new_node(MACHINE, OPTIONS)
    labels = node["metadata"]["labels"]
    assert (labels["kubernetes.io/hostname"], labels["kubernetes.io/arch"], labels["a"]) == (
        "n1",
        "amd64",
        "b",
    )
    assert node["spec"]["taints"] == [{"key": "k", "effect": "NoSchedule"}]


def test_a_node_of_a_cloud_waits_for_the_clouds_controller():
    """Which looks after none that does not bear the taint, and says what addresses it has."""
    cloud = replace(OPTIONS, cloud=True, provider_id="x://1")
    node = new_node(MACHINE, cloud)
    taint = {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}
    assert node["spec"] == {"taints": [{"key": "k", "effect": "NoSchedule"}, taint], "providerID": "x://1"}
    assert "alpha.kubernetes.io/provided-node-ip" not in node["metadata"]["annotations"]
    given = replace(cloud, addresses_given=True)
    noted = new_node(MACHINE, given)["metadata"]["annotations"]
    assert noted["alpha.kubernetes.io/provided-node-ip"] == "192.0.2.1"

    def addresses(options, *there):
        old = {"addresses": [{"type": "ExternalIP", "address": ip} for ip in there]}
        made = node_status(MACHINE, options, NodeFindings(GOOD, []), old, NOW)
        return [item["address"] for item in made["addresses"]]

    assert addresses(cloud) == []
    assert addresses(given) == ["192.0.2.1", "n1"]
    assert addresses(cloud, "198.51.100.1") == addresses(given, "198.51.100.1") == ["198.51.100.1"]
    assert addresses(OPTIONS, "198.51.100.1") == ["192.0.2.1", "n1"]


def test_status():
    images = [Image("i", ("small",), (), 1), Image("j", ("big",), ("d",), 9)]
    made = node_status(MACHINE, OPTIONS, NodeFindings(GOOD, images), {}, NOW)
    assert made["capacity"]["cpu"] == "2"
    assert made["capacity"]["memory"] == "1048576Ki"
    assert made["allocatable"]["memory"] == "946176Ki"
    assert made["addresses"] == [
        {"type": "InternalIP", "address": "192.0.2.1"},
        {"type": "Hostname", "address": "n1"},
    ]
    assert [item["type"] for item in made["conditions"]] == [
        "MemoryPressure",
        "DiskPressure",
        "PIDPressure",
        "Ready",
    ]
    assert made["nodeInfo"]["containerRuntimeVersion"] == "containerd://1.6"
    assert made["nodeInfo"]["kubeletVersion"] == "v1.36.0"
    assert made["images"][0] == {"names": ["d", "big"], "sizeBytes": 9}
    assert made["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10250}}
    assert not {"runtimeHandlers", "features"} & set(made)


WHOLE = "InPlacePodLevelResourcesVerticalScaling"


def test_what_others_may_count_on():
    off = ServerOptions(gates=resolve(dict.fromkeys(("ExtendWebSocketsToKubelet", WHOLE), False)))
    always = ["RestartAllContainersOnContainerExits"]
    usual = sorted(["ExtendWebSocketsToKubelet", WHOLE, *always])
    for options, declared in (
        (OPTIONS, usual), (replace(OPTIONS, server=off), always),
    ):  # fmt: skip
        made = node_status(MACHINE, options, NodeFindings(GOOD), {}, NOW)
        assert made["declaredFeatures"] == declared


def test_what_the_runtime_can_do():
    handlers = (RuntimeHandler("kata"), RuntimeHandler("", True, True))
    able = replace(GOOD, handlers=handlers, supplemental_groups_policy=False)
    made = node_status(MACHINE, OPTIONS, NodeFindings(able), {}, NOW)
    assert made["features"] == {"supplementalGroupsPolicy": False}
    assert made["runtimeHandlers"] == [
        {"name": "", "features": {"recursiveReadOnlyMounts": True, "userNamespaces": True}},
        {"name": "kata", "features": {"recursiveReadOnlyMounts": False, "userNamespaces": False}},
    ]


@pytest.mark.parametrize(
    ("findings", "problem"),
    [
        (NodeFindings(GOOD), ""),
        (NodeFindings(None, (), "no socket"), "container runtime is down: no socket"),
        (
            NodeFindings(replace(GOOD, network_ready=False, network_message="no cni")),
            "container runtime network not ready: NetworkReady=false"
            " reason:NetworkPluginNotReady message:no cni",
        ),
    ],
)
def test_readiness(findings, problem):
    assert readiness_problem(findings) == problem


def test_what_is_short_is_told():
    made = node_status(MACHINE, OPTIONS, NodeFindings(GOOD, pressures=frozenset({"DiskPressure"})), {}, NOW)
    told = {item["type"]: (item["status"], item["reason"]) for item in made["conditions"]}
    assert told == {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory"),
        "DiskPressure": ("True", "KubeletHasDiskPressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID"),
        "Ready": ("True", "KubeletReady"),
    }


@pytest.mark.parametrize(
    ("options", "cpu", "memory", "storage"),
    [
        ({}, "2", "946176Ki", str(2**40 - 2**40 // 10)),
        ({"thresholds": ()}, "2", "1048576Ki", str(2**40)),
        ({"thresholds": parse_thresholds("memory.available<50%")}, "2", "524288Ki", str(2**40)),
        ({"thresholds": SOFT}, "2", "1048576Ki", str(2**40)),
        ({"thresholds": (), "reserved": ({"cpu": "1"}, {"cpu": "250m"})}, "750m", "1048576Ki", str(2**40)),
        ({"thresholds": (), "reserved": ({"memory": "9Gi", "other": "1"},)}, "2", "0Ki", str(2**40)),
    ],
    ids=["as usual", "everything", "half", "soft ones keep nothing back", "reserved", "more than there is"],
)  # fmt: skip
def test_allocatable(options, cpu, memory, storage):
    made = allocatable(capacity(MACHINE, OPTIONS), replace(OPTIONS, **options))
    assert (made["cpu"], made["memory"], made["ephemeral-storage"]) == (cpu, memory, storage)


def conditions(**values):
    return {"conditions": [{"type": kind, "status": value} for kind, value in values.items()]}


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        ({}, conditions(Ready="False", DiskPressure="False"), ["NodeNotReady", "NodeHasNoDiskPressure"]),
        (conditions(Ready="False"), conditions(Ready="True"), ["NodeReady"]),
        (conditions(Ready="True"), conditions(Ready="True"), []),
        (conditions(PIDPressure="False"), conditions(PIDPressure="True"), ["NodeHasInsufficientPID"]),
        ({}, conditions(Foreign="True"), []),
    ],
    ids=["at first", "changed", "as before", "short", "another's"],
)
def test_transitions(before, after, reasons):
    assert transitions(before, after) == reasons


def test_only_real_changes_matter():
    first = node_status(MACHINE, OPTIONS, NodeFindings(GOOD), {}, NOW)
    later = node_status(MACHINE, OPTIONS, NodeFindings(GOOD), first, NOW + timedelta(seconds=10))
    assert first != later
    assert significant(first) == significant(later)
    broken = node_status(MACHINE, OPTIONS, NodeFindings(None), first, NOW + timedelta(seconds=10))
    assert significant(broken) != significant(first)


@pytest.mark.parametrize(
    ("total", "given", "changes"),
    [
        ({"cpu": "1"}, {"cpu": "900m"}, {}),
        ({"example.com/dongle": "5"}, {}, {"example.com/dongle": "5"}),
        ({"example.com/dongle": "5"}, {"example.com/dongle": "5"}, {}),
        ({"example.com/dongle": "5"}, {"example.com/dongle": "4"}, {"example.com/dongle": "5"}),
        ({}, {"example.com/dongle": "5"}, {"example.com/dongle": None}),
        ({"example.com/own": "5"}, {"example.com/own": "4"}, {}),
    ],
)
def test_extended_resources_that_somebody_wrote_into_capacity(total, given, changes):
    own = {"cpu": "1", "example.com/own": "5"}
    assert extended_allocatable({"capacity": total, "allocatable": given}, own) == changes
