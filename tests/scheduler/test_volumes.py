"""VolumeBinding: what claims say about the pod, about nodes, and what binding would write."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_builders import columns, info, node

from tiphys.scheduler.columns import Columns
from tiphys.scheduler.framework import decide
from tiphys.scheduler.plugins.volumes import VolumeChoice, choose_volumes
from tiphys.scheduler.podinfo import PodInfo
from tiphys.scheduler.profile import default_profile

BOUND = {"pv.kubernetes.io/bind-completed": "yes"}
START = "0/2 nodes are available:"


def claim(name: str = "data", *, volume: str = "", size: str = "1Gi", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name, "namespace": "default", "uid": f"claim-{name}",
            "annotations": BOUND if volume else {}, **more.get("metadata", {}),
        },
        "spec": {
            "volumeName": volume, "storageClassName": more.get("kind", ""), "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
        },
        "status": {"phase": more.get("phase", "Bound" if volume else "Pending")},
    }  # fmt: skip


def volume(name: str, *, disk: str = "", size: str = "2Gi", kind: str = "", **spec: Any) -> dict[str, Any]:
    where = [{"matchExpressions": [{"key": "disk", "operator": "In", "values": [disk]}]}]
    affinity = {"nodeAffinity": {"required": {"nodeSelectorTerms": where}}} if disk else {}
    return {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
            "storageClassName": kind, **affinity, **spec,
        },
    }  # fmt: skip


def storage_class(name: str, provisioner: str = "example.com/disks", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name}, "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer", **more,
    }  # fmt: skip


def cluster(*objects: dict[str, Any]) -> Columns:
    made = columns(node("a", labels={"disk": "ssd"}), node("b", labels={"disk": "hdd"}))
    for one in objects:
        if "storageClassName" in one:
            made.volumes.set_capacity(None, one)
        elif "storageCapacity" in one.get("spec", {}):
            made.volumes.set_driver(None, one)
        elif "provisioner" in one:
            made.volumes.set_class(None, one)
        elif "capacity" in one["spec"]:
            made.volumes.set_volume(None, one)
        else:
            made.volumes.set_claim(None, one)
    return made


def using(*claims: str) -> PodInfo:
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims or ("data",)]
    return info("web", volumes=volumes)


def left(disk: str | None, size: str = "", *, largest: str = "", kind: str = "made") -> dict[str, Any]:
    """Return what a driver says is left on nodes with that disk (None: it does not say where)."""
    made: dict[str, Any] = {
        "metadata": {"name": f"{kind}-{disk}", "namespace": "csi"},
        "storageClassName": kind,
    }
    if disk is not None:
        made["nodeTopology"] = {"matchLabels": {"disk": disk}}
    return {
        **made,
        **({"capacity": size} if size else {}),
        **({"maximumVolumeSize": largest} if largest else {}),
    }


def driver(*, says: bool = True) -> dict[str, Any]:
    return {"metadata": {"name": "example.com/disks"}, "spec": {"storageCapacity": says}}


STATIC = storage_class("static", "kubernetes.io/no-provisioner")
MESSAGES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "missing": ([], 'persistentvolumeclaim "data" not found.'),
    "unbound": ([claim()], "pod has unbound immediate PersistentVolumeClaims."),
    "lost": (
        [claim(volume="pv", phase="Lost")],
        'persistentvolumeclaim "data" bound to non-existent persistentvolume "pv".',
    ),
    "being deleted": (
        [claim(volume="pv", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})],
        'persistentvolumeclaim "data" is being deleted.',
    ),
    "volume gone": (
        [claim(volume="pv")],
        "2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s).",
    ),
    "volume elsewhere": (
        [claim(volume="pv"), volume("pv", disk="tape")],
        "2 node(s) didn't match PersistentVolume's node affinity.",
    ),
    "nothing to bind": (
        [claim(kind="static"), STATIC, volume("pv", kind="other")],
        "2 node(s) didn't find available persistent volumes to bind.",
    ),
    "too small": (
        [claim(kind="static", size="3Gi"), STATIC, volume("pv", kind="static")],
        "2 node(s) didn't find available persistent volumes to bind.",
    ),
    "no space left": (
        [
            claim(kind="made", size="3Gi"),
            storage_class("made"),
            driver(),
            left("ssd", "2Gi"),
            left("hdd", "1Gi"),
        ],
        "2 node(s) did not have enough free storage.",
    ),
    "space elsewhere, in another class, or nowhere": (
        [
            claim(kind="made"), storage_class("made"), driver(),
            left("tape", "9Gi"), left(None, "9Gi"), left("ssd", "9Gi", kind="other"), left("hdd"),
        ],
        "2 node(s) did not have enough free storage.",
    ),
    "space, but not for one volume": (
        [claim(kind="made", size="3Gi"), storage_class("made"), driver(), left("ssd", "9Gi", largest="2Gi")],
        "2 node(s) did not have enough free storage.",
    ),
    "taken by another": (
        [claim(kind="static"), STATIC, volume("pv", kind="static", claimRef={"name": "x", "namespace": "y"})],
        "2 node(s) didn't find available persistent volumes to bind.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MESSAGES.values(), ids=MESSAGES.keys())
def test_says_why_volumes_keep_a_pod_waiting(case: tuple[list[dict[str, Any]], str]) -> None:
    objects, message = case
    decision = decide(using(), cluster(*objects), default_profile())
    assert decision.message() == f"{START} {message}"
    assert decision.resolvable() is None


MINE = {"namespace": "default", "name": "data"}
CHOICES: dict[str, tuple[list[dict[str, Any]], tuple[str, ...], str, VolumeChoice]] = {
    "bound volume decides the node": (
        [claim(volume="pv"), volume("pv", disk="hdd")],
        ("data",),
        "b",
        VolumeChoice(),
    ),
    "the free volume decides": (
        [claim(kind="static"), STATIC, volume("pv", disk="ssd", kind="static")],
        ("data",),
        "a",
        VolumeChoice(bind=(("default/data", "pv"),)),
    ),
    "the smallest that is enough, each once": (
        [claim(kind="static"), claim("more", kind="static"), STATIC]
        + [volume(f"pv{size}", disk="ssd", size=f"{size}Gi", kind="static") for size in (9, 3, 5)],
        ("data", "more"),
        "a",
        VolumeChoice(bind=(("default/data", "pv3"), ("default/more", "pv5"))),
    ),
    "the one kept for it, though another is smaller": (
        [
            claim(kind="static"), STATIC, volume("pv", disk="ssd", kind="static"),
            volume("mine", disk="hdd", size="9Gi", kind="static", claimRef=MINE),
        ],
        ("data",),
        "b",
        VolumeChoice(bind=(("default/data", "mine"),)),
    ),
    "none but the one kept for it": (
        [
            claim(kind="made"), storage_class("made"), volume("pv", disk="hdd", kind="made"),
            volume("mine", disk="tape", kind="made", claimRef=MINE), driver(), left("hdd", "3Gi"),
        ],
        ("data",),
        "b",
        VolumeChoice(provision=("default/data",)),
    ),
    "the smaller claim is served first": (
        [claim(kind="static", size="2Gi"), claim("more", kind="static"), STATIC]
        + [volume(f"pv{size}", disk="ssd", size=f"{size}Gi", kind="static") for size in (9, 3, 5)],
        ("data", "more"),
        "a",
        VolumeChoice(bind=(("default/more", "pv3"), ("default/data", "pv5"))),
    ),
    "where its provisioner is at work": (
        [
            claim(kind="made", metadata={"annotations": {"volume.kubernetes.io/selected-node": "b"}}),
            storage_class("made"), volume("pv", kind="made"),
        ],
        ("data",),
        "b",
        VolumeChoice(provision=("default/data",)),
    ),
    "attributes of another class": (
        [
            claim(kind="static"), STATIC, volume("pv", disk="ssd", kind="static"),
            volume("pa", disk="hdd", size="1Gi", kind="static", volumeAttributesClassName="fast"),
        ],
        ("data",),
        "a",
        VolumeChoice(bind=(("default/data", "pv"),)),
    ),
    "made where there is space": (
        [
            claim(kind="made", size="3Gi"), storage_class("made"), driver(),
            left("hdd", "3Gi"), left("ssd", "1Gi"),
        ],
        ("data",),
        "b",
        VolumeChoice(provision=("default/data",)),
    ),
    "a volume that is there needs no space": (
        [claim(kind="made"), storage_class("made"), driver(), volume("pv", disk="ssd", kind="made")],
        ("data",),
        "a",
        VolumeChoice(bind=(("default/data", "pv"),)),
    ),
    "made where its class allows": (
        [
            claim(kind="made"),
            storage_class(
                "made", allowedTopologies=[{"matchLabelExpressions": [{"key": "disk", "values": ["hdd"]}]}]
            ),
        ],
        ("data",),
        "b",
        VolumeChoice(provision=("default/data",)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHOICES.values(), ids=CHOICES.keys())
def test_chooses_node_and_volumes_together(
    case: tuple[list[dict[str, Any]], tuple[str, ...], str, VolumeChoice],
) -> None:
    objects, claims, expected, choice = case
    made, pod, profile = cluster(*objects), using(*claims), default_profile()
    for turn in range(2):
        assert decide(pod, made, profile, turn=turn).node == expected
    assert choose_volumes(pod, made, expected) == choice


def test_masks_follow_the_volume() -> None:
    made, profile = cluster(claim(volume="pv"), volume("pv", disk="hdd")), default_profile()
    assert decide(using(), made, profile).node == "b"
    made.volumes.set_volume(None, volume("pv", disk="ssd"))
    assert decide(using(), made, profile).node == "a"


def test_space_counts_only_for_drivers_that_speak_of_it() -> None:
    objects = [claim(kind="made", size="3Gi"), storage_class("made"), left("ssd", "1Gi")]
    for silent in ([], [driver(says=False)]):
        assert decide(using(), cluster(*objects, *silent), default_profile()).node
    made, profile = cluster(*objects, driver()), default_profile()
    assert not decide(using(), made, profile).node
    made.volumes.set_capacity(left("ssd", "1Gi"), left("ssd", "4Gi"))
    assert decide(using(), made, profile).node == "a"
    made.volumes.set_capacity(left("ssd", "4Gi"), None)
    assert not decide(using(), made, profile).node


def test_ephemeral_claims_must_be_the_pods_own() -> None:
    pod = info("web", volumes=[{"name": "tmp", "ephemeral": {"volumeClaimTemplate": {}}}])
    message = decide(pod, cluster(), default_profile()).message()
    waits = "waiting for ephemeral volume controller to create the persistentvolumeclaim"
    assert message == f'{START} {waits} "web-tmp".'
    strange = cluster(claim("web-tmp", volume="pv"), volume("pv"))
    message = decide(pod, strange, default_profile()).message()
    assert message == f"{START} PVC default/web-tmp was not created for pod default/web (pod is not owner)."
