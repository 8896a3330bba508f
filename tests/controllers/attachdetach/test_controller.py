"""From a pod to an attachment, to the node's status, and back."""

import pytest
from tests.samples import Since

from tiphys.client.kinds import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, VOLUME_ATTACHMENTS
from tiphys.controllers import metrics
from tiphys.controllers.attachdetach.controller import AttachDetachController
from tiphys.controllers.attachdetach.plan import attachment_name, unique_name

DRIVER = "disks.example.com"


def put(world):
    def made(api_version, kind, name, namespace="", **body):
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        return {"apiVersion": api_version, "kind": kind, "metadata": meta, **body}

    for name in ("a", "b"):
        world.api.put(NODES, made("v1", "Node", name, spec={}, status={}))
    csi = {"driver": DRIVER, "volumeHandle": "disk"}
    spec = {"accessModes": ["ReadWriteOnce"], "csi": csi}
    world.api.put(PERSISTENT_VOLUMES, made("v1", "PersistentVolume", "pv", spec=spec))
    world.api.put(
        PERSISTENT_VOLUME_CLAIMS,
        made("v1", "PersistentVolumeClaim", "data", "default", spec={"volumeName": "pv"}),
    )

    def pod(name, node):
        volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
        return made(
            "v1",
            "Pod",
            name,
            "default",
            spec={"nodeName": node, "volumes": volumes},
            status={"phase": "Pending"},
        )

    return pod


async def test_attached_listed_kept_and_detached(world):
    pod = put(world)
    async with world.running(AttachDetachController):
        world.api.put(PODS, pod("web", "a"))
        await world.settle()
        (attachment,) = world.api.all(VOLUME_ATTACHMENTS)
        assert attachment["metadata"]["name"] == attachment_name("disk", DRIVER, "a")
        assert attachment["spec"] == {
            "attacher": DRIVER,
            "nodeName": "a",
            "source": {"persistentVolumeName": "pv"},
        }
        world.api.put(VOLUME_ATTACHMENTS, {**attachment, "status": {"attached": True}})
        await world.settle()
        node = world.api.get(NODES, "a")
        assert node["status"]["volumesAttached"] == [{"name": unique_name(DRIVER, "disk"), "devicePath": ""}]
        assert ("SuccessfulAttachVolume", 'AttachVolume.Attach succeeded for volume "pv" ') in world.events()

        world.api.put(PODS, pod("other", "b"))
        await world.settle()
        assert len(world.api.all(VOLUME_ATTACHMENTS)) == 1
        assert [reason for reason, _ in world.events()].count("FailedAttachVolume") == 1

        world.api.remove(PODS, "web", "default")
        await world.settle()
        (moved,) = world.api.all(VOLUME_ATTACHMENTS)
        assert moved["spec"]["nodeName"] == "b"
        assert world.api.get(NODES, "a")["status"]["volumesAttached"] == []


async def test_a_pod_without_claims_makes_nobody_look(world):
    pod = put(world)
    async with world.running(AttachDetachController):
        (controller,) = world.controllers
        asked = []
        add = controller.queue.add
        controller.queue.add = lambda key: asked.append(key) or add(key)
        plain = pod("plain", "a")
        plain["spec"]["volumes"] = [{"name": "token", "projected": {"sources": []}}]
        world.api.put(PODS, plain)
        await world.settle()
        assert asked == []
        world.api.put(PODS, pod("web", "b"))
        await world.settle()
        assert set(asked) == {"b"}


async def test_a_claim_that_gets_its_volume_concerns_the_nodes_of_its_pods(world):
    pod = put(world)
    claim = world.api.get(PERSISTENT_VOLUME_CLAIMS, "data", "default")
    world.api.put(PERSISTENT_VOLUME_CLAIMS, {**claim, "spec": {}})
    world.api.put(PODS, pod("web", "a"))
    other = pod("other", "b")
    other["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = "another"
    world.api.put(PODS, other)
    async with world.running(AttachDetachController):
        assert world.api.all(VOLUME_ATTACHMENTS) == []
        world.api.put(PERSISTENT_VOLUME_CLAIMS, claim)
        await world.settle()
        assert [item["spec"]["nodeName"] for item in world.api.all(VOLUME_ATTACHMENTS)] == ["a"]


async def test_a_node_that_is_gone_holds_nothing(world):
    pod = put(world)
    async with world.running(AttachDetachController):
        world.api.put(PODS, pod("web", "a"))
        await world.settle()
        assert world.api.all(VOLUME_ATTACHMENTS)
        world.api.remove(NODES, "a")
        await world.settle()
        assert not world.api.all(VOLUME_ATTACHMENTS)


def mounted(world, name="a", **status):
    node = world.api.get(NODES, name)
    in_use = {"volumesInUse": [unique_name(DRIVER, "disk")], **status}
    world.api.put(NODES, {**node, "status": {**node["status"], **in_use}})


async def test_what_a_node_that_is_gone_had_mounted_is_waited_for(world):
    pod = put(world)
    async with world.running(AttachDetachController):
        world.api.put(PODS, pod("web", "a"))
        await world.settle()
        mounted(world)
        await world.settle()
        world.api.remove(PODS, "web", "default")
        world.api.remove(NODES, "a")
        await world.settle()
        await world.advance(350)
        assert world.api.all(VOLUME_ATTACHMENTS)
        await world.advance(20)
        assert not world.api.all(VOLUME_ATTACHMENTS)


@pytest.mark.parametrize(
    ("reason", "gone"), [("timeout", False), ("timeout", True), ("out-of-service", False)]
)
async def test_what_is_taken_by_force_is_counted(world, reason, gone):
    pod, since = put(world), Since(metrics.REGISTRY)
    name = "attach_detach_controller_attachdetach_controller_forced_detaches"
    async with world.running(AttachDetachController):
        world.api.put(PODS, pod("web", "a"))
        await world.settle()
        mounted(world)
        await world.settle()
        world.api.remove(PODS, "web", "default")
        await world.settle()
        assert since(name, reason=reason) == 0
        if gone:
            world.api.remove(NODES, "a")
        elif reason == "out-of-service":
            taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
            world.api.put(NODES, {**world.api.get(NODES, "a"), "spec": {"taints": [taint]}})
        await world.settle()
        await world.advance(370)
        await world.advance(20)
        assert not world.api.all(VOLUME_ATTACHMENTS)
    assert since(name, reason=reason) == 1


async def test_what_is_shown_of_volumes(world):
    pod = put(world)
    plugin = f"kubernetes.io/csi:{DRIVER}"
    async with world.running(AttachDetachController):
        (controller,) = world.controllers

        def shown():
            return {
                tuple(sample.labels[key] for key in sorted(sample.labels)): sample.value
                for family in controller.collect()
                for sample in family.samples
            }

        assert shown() == {}
        for name in ("web", "same"):
            world.api.put(PODS, pod(name, "a"))
        await world.settle()
        wanted = {("a", plugin): 2, (plugin, "desired_state_of_world"): 1}
        assert shown() == wanted
        (attachment,) = world.api.all(VOLUME_ATTACHMENTS)
        world.api.put(VOLUME_ATTACHMENTS, {**attachment, "status": {"attached": True}})
        await world.settle()
        assert shown() == {**wanted, (plugin, "actual_state_of_world"): 1}
        for name in ("web", "same"):
            world.api.remove(PODS, name, "default")
        world.api.put(PODS, {**pod("done", "a"), "status": {"phase": "Succeeded"}})
        await world.settle()
        assert shown() == {}


async def test_nobody_knows_what_a_node_had_mounted_that_went_before(world):
    put(world)
    world.api.remove(NODES, "a")
    spec = {"attacher": DRIVER, "nodeName": "a", "source": {"persistentVolumeName": "pv"}}
    left = {"metadata": {"name": attachment_name("disk", DRIVER, "a")}, "spec": spec}
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment"}
    world.api.put(VOLUME_ATTACHMENTS, {**kind, **left})
    async with world.running(AttachDetachController):
        await world.advance(350)
        assert world.api.all(VOLUME_ATTACHMENTS)
        await world.advance(20)
        assert not world.api.all(VOLUME_ATTACHMENTS)


@pytest.mark.parametrize(("ready", "goes"), [("True", False), ("Unknown", True)])
async def test_only_a_node_that_is_not_well_is_not_waited_for(world, ready, goes):
    pod = put(world)
    async with world.running(AttachDetachController):
        world.api.put(PODS, pod("web", "a"))
        await world.settle()
        mounted(world, conditions=[{"type": "Ready", "status": ready}])
        world.api.remove(PODS, "web", "default")
        await world.settle()
        await world.advance(400)
        assert bool(world.api.all(VOLUME_ATTACHMENTS)) is not goes


async def test_a_node_out_of_service_is_not_waited_for(world):
    pod = put(world)
    async with world.running(AttachDetachController):
        world.api.put(PODS, pod("web", "a"))
        await world.settle()
        mounted(world)
        world.api.remove(PODS, "web", "default")
        await world.settle()
        assert world.api.all(VOLUME_ATTACHMENTS)
        node = world.api.get(NODES, "a")
        taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
        world.api.put(NODES, {**node, "spec": {"taints": [taint]}})
        await world.settle()
        assert not world.api.all(VOLUME_ATTACHMENTS)


async def test_of_nodes_and_pods_that_are_gone_nothing_is_kept(world):
    pod = put(world)
    async with world.running(AttachDetachController):
        (controller,) = world.controllers
        world.api.put(PODS, pod("web", "a"))
        await world.settle()
        world.api.put(PODS, pod("other", "b"))
        await world.settle()
        assert list(controller._told) == [("b", "pv")]
        world.api.remove(PODS, "other", "default")
        await world.settle()
        assert not controller._told
        world.api.put(PODS, pod("other", "b"))
        mounted(world)
        await world.settle()
        assert controller._told
        for name in ("a", "b"):
            world.api.remove(NODES, name)
        await world.settle()
        assert list(controller._gone) == ["a"], "what it had mounted still counts"
        assert not controller._told
        for name in ("web", "other"):
            world.api.remove(PODS, name, "default")
        await world.advance(370)
        assert not world.api.all(VOLUME_ATTACHMENTS)
        assert not controller._gone
