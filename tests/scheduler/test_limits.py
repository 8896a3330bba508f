"""VolumeRestrictions, VolumeZone and NodeVolumeLimits."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_builders import columns, info, node

from tiphys.scheduler.columns import Columns
from tiphys.scheduler.framework import decide
from tiphys.scheduler.plugins.limits import ONCE_POD, TOO_MANY, WRONG_ZONE, attached_by
from tiphys.scheduler.podinfo import PodInfo
from tiphys.scheduler.preemption import plan_preemption
from tiphys.scheduler.profile import default_profile

ZONE, OLD_ZONE = "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
DRIVER = "disks.example.com"


def claim(name: str, *, volume: str = "", mode: str = "ReadWriteOnce", kind: str = "") -> dict[str, Any]:
    bound = {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name, "annotations": bound},
        "spec": {"volumeName": volume, "accessModes": [mode], "storageClassName": kind},
    }


def volume(name: str, *, handle: str = "", labels: dict[str, str] | None = None) -> dict[str, Any]:
    csi = {"csi": {"driver": DRIVER, "volumeHandle": handle}} if handle else {}
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], **csi},
    }


def using(*claims: str, **spec: Any) -> PodInfo:
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    return info("web", volumes=volumes, **spec)


def cluster(nodes: list[dict[str, Any]], *objects: dict[str, Any]) -> Columns:
    made = columns(*nodes)
    for one in objects:
        set_ = made.volumes.set_volume if "capacity" in one["spec"] else made.volumes.set_claim
        set_(None, one)
    return made


def message(pod: PodInfo, made: Columns) -> str:
    return decide(pod, made, default_profile()).message()


ONCE = [claim("data", volume="pv", mode="ReadWriteOncePod"), volume("pv")]


def test_a_claim_for_one_pod_serves_one() -> None:
    made = cluster([node("a"), node("b")], *ONCE)
    first = using("data")
    assert decide(first, made, default_profile()).node
    made.add_pod(first, "a")
    assert message(using("data"), made) == f"0/2 nodes are available: 2 {ONCE_POD}."
    made.remove_pod(first.uid)
    assert decide(using("data"), made, default_profile()).node
    assert not made.claim_users


def test_other_modes_are_shared() -> None:
    made = cluster([node("a")], claim("data", volume="pv"), volume("pv"))
    made.add_pod(using("data"), "a")
    assert decide(using("data"), made, default_profile()).node == "a"


def test_the_claims_user_is_preempted() -> None:
    made = cluster([node("a")], *ONCE)
    low, high = using("data"), using("data", priority=100)
    made.add_pod(low, "a")
    profile = default_profile()
    planned = plan_preemption(high, made, profile, decide(high, made, profile))
    assert (planned.node, [one.uid for one in planned.victims]) == ("a", [low.uid])
    assert made.claim_users["default/data"] == 1


ZONES: dict[str, tuple[dict[str, str], list[dict[str, str]], str]] = {
    "the same zone": ({ZONE: "z1"}, [{ZONE: "z2"}, {ZONE: "z1"}], "b"),
    "one of several zones": ({ZONE: "z1__z2"}, [{ZONE: "z3"}, {ZONE: "z2"}], "b"),
    "the older name on the node": ({ZONE: "z1"}, [{OLD_ZONE: "z2"}, {OLD_ZONE: "z1"}], "b"),
    "the older name on the volume": ({OLD_ZONE: "z1"}, [{ZONE: "z2"}, {ZONE: "z1"}], "b"),
    "the region too": (
        {ZONE: "z", REGION: "r1"}, [{ZONE: "z", REGION: "r2"}, {ZONE: "z", REGION: "r1"}], "b",
    ),
    "nodes that say nothing": ({ZONE: "z1"}, [{ZONE: "z2"}, {}], "b"),
    "no zone will do": ({ZONE: "z1"}, [{ZONE: "z2"}, {REGION: "z1"}], ""),
}  # fmt: skip


@pytest.mark.parametrize("case", ZONES.values(), ids=ZONES.keys())
def test_zones(case: tuple[dict[str, str], list[dict[str, str]], str]) -> None:
    on_volume, on_nodes, expected = case
    nodes = [node(name, labels=labels) for name, labels in zip("ab", on_nodes, strict=True)]
    made = cluster(nodes, claim("data", volume="pv"), volume("pv", labels=on_volume))
    decision = decide(using("data"), made, default_profile())
    assert decision.node == expected
    assert set(decision.reasons()) == {WRONG_ZONE}
    assert decision.resolvable() is None


def limited(count: int | None = 1, name: str = "a") -> dict[str, Any]:
    allocatable = {} if count is None else {"allocatable": {"count": count}}
    return {"metadata": {"name": name}, "spec": {"drivers": [{"name": DRIVER, **allocatable}]}}


def attachment(name: str, volume_name: str, on: str = "a") -> dict[str, Any]:
    source = {"persistentVolumeName": volume_name}
    return {"metadata": {"name": name}, "spec": {"attacher": DRIVER, "nodeName": on, "source": source}}


DISKS = [
    *(volume(f"pv{index}", handle=f"disk-{index}") for index in range(3)),
    *(claim(f"data{index}", volume=f"pv{index}") for index in range(3)),
]


def test_a_full_node_takes_no_more_volumes() -> None:
    made = cluster([node("a")], *DISKS)
    made.volumes.set_csi_node(None, limited())
    made.add_pod(using("data0"), "a")
    full = f"0/1 nodes are available: 1 {TOO_MANY}."
    assert message(using("data1"), made) == full
    assert decide(using("data0"), made, default_profile()).node == "a", "it is there already"
    assert decide(info(), made, default_profile()).node == "a", "no volume at all"
    made.volumes.set_csi_node(None, limited(2))
    assert message(using("data1", "data2"), made) == full
    assert decide(using("data1"), made, default_profile()).node == "a"
    made.volumes.set_csi_node(None, limited(None))
    assert decide(using("data1", "data2"), made, default_profile()).node == "a", "no limit is known"


def test_attached_volumes_count_though_no_pod_uses_them() -> None:
    made = cluster([node("a")], *DISKS)
    made.volumes.set_csi_node(None, limited())
    made.volumes.set_attachment(None, attachment("x", "pv0"))
    assert message(using("data1"), made) == f"0/1 nodes are available: 1 {TOO_MANY}."
    made.volumes.set_attachment(attachment("x", "pv0"), None)
    made.volumes.set_attachment(None, attachment("x", "pv0", on="elsewhere"))
    assert decide(using("data1"), made, default_profile()).node == "a"


def test_a_claim_without_a_volume_counts_for_its_class() -> None:
    made = cluster([node("a")], claim("new", kind="disks"), *DISKS)
    made.volumes.set_class(
        None,
        {"metadata": {"name": "disks"}, "provisioner": DRIVER, "volumeBindingMode": "WaitForFirstConsumer"},
    )
    assert attached_by(using("new"), made) == {(DRIVER, f"{DRIVER}-default/new")}
    made.volumes.set_csi_node(None, limited())
    assert decide(using("new"), made, default_profile()).node == "a"
    made.add_pod(using("data0"), "a")
    assert message(using("new"), made) == f"0/1 nodes are available: 1 {TOO_MANY}."


def test_the_holder_of_a_disk_is_preempted() -> None:
    made = cluster([node("a")], *DISKS)
    made.volumes.set_csi_node(None, limited())
    low, high = using("data0"), using("data1", priority=100)
    made.add_pod(low, "a")
    profile = default_profile()
    planned = plan_preemption(high, made, profile, decide(high, made, profile))
    assert [one.uid for one in planned.victims] == [low.uid]
