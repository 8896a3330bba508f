"""Pods from creation to end: a real API server, scheduler and kubelet over a runtime in memory."""

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "kubelet"))
from fake_cri import FakeRuntime
from fake_node import NoCgroups

from tiphys.apimachinery.errors import Conflict, Forbidden, Invalid, NotFound
from tiphys.client.kinds import (
    CONFIG_MAPS,
    NODES,
    PODS,
    RUNTIME_CLASSES,
    SECRETS,
)
from tiphys.kubelet import kubelet as kubelet_module
from tiphys.kubelet.kubelet import Kubelet
from tiphys.kubelet.options import KubeletOptions
from tiphys.testing import Cluster

pytestmark = pytest.mark.slow


def pod(name="p", *, labels=None, annotations=None, **spec):
    meta = {"name": name, "namespace": "default", "labels": labels or {}, "annotations": annotations or {}}
    containers = [{"name": "c", "image": "docker.io/library/img:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        # A token would lie on a tmpfs, which only root can mount.
        "spec": {
            "containers": containers,
            "terminationGracePeriodSeconds": 5,
            "automountServiceAccountToken": False,
            **spec,
        },
    }


@pytest.fixture
async def world(tmp_path, monkeypatch):
    """A cluster whose only node is a real kubelet."""
    monkeypatch.setattr(kubelet_module, "Cgroups", NoCgroups)
    runtime = FakeRuntime()
    for name in ("img:1", "img:2"):
        runtime.add_image(f"docker.io/library/{name}")
    options = KubeletOptions(
        node_name="real", root_dir=tmp_path / "kubelet", logs_dir=tmp_path / "logs", node_ips=("192.0.2.1",),
        resolv_conf="", server=None, relist_s=0.02, housekeeping_s=0.05,
    )  # fmt: skip
    async with Cluster(nodes=0) as cluster:
        kubelet = Kubelet(cluster.client, options, runtime=runtime, measure=dict)
        async with running(kubelet):
            await cluster.wait_for(NODES, "real", "", ready)
            cluster.runtime = runtime
            yield cluster


@asynccontextmanager
async def running(kubelet):
    task = asyncio.ensure_future(kubelet.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def ready(item):
    conditions = ((item or {}).get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def observed(item):
    return bool(item) and item["status"].get("observedGeneration") == item["metadata"]["generation"]


async def start(cluster, made):
    await cluster.client.create(PODS, made)
    return await cluster.wait_for(PODS, made["metadata"]["name"], "default", ready)


async def changed(client, name, change, subresource=""):
    """Read, change and replace a pod until nobody came between; return what the server made of it."""
    while True:
        live = await client.get(PODS, name, "default")
        change(live)
        try:
            return await client.update(PODS, live, subresource)
        except Conflict:
            continue


def _image(kind, image):
    return lambda live: live["spec"][kind][0].update(image=f"docker.io/library/{image}")


FOO = {"key": "foo", "operator": "Equal", "value": "bar", "effect": "NoSchedule"}
CHANGES = {
    # name: what is changed, whether the generation goes up
    "nothing": (lambda live: None, False),
    # Those that admission had added are not among them; it adds them again.
    "tolerations": (lambda live: live["spec"].update(tolerations=[FOO]), True),
    "deadline": (lambda live: live["spec"].update(activeDeadlineSeconds=5000), True),
    "image": (_image("containers", "img:2"), True),
    "image of an init container": (_image("initContainers", "img:2"), True),
    "annotations": (lambda live: live["metadata"].update(annotations={"key": "value"}), False),
    "generation": (lambda live: live["metadata"].update(generation=1), False),
}


async def test_generations(world):
    """One at first, one more for each change of the spec, none for other changes; the kubelet follows."""
    world.runtime.exit_on_start["first"] = 0
    made = await start(world, pod(initContainers=[{"name": "first", "image": "docker.io/library/img:1"}]))
    generation = made["metadata"]["generation"]
    assert generation == 1
    for name, (change, counts) in CHANGES.items():
        found = await changed(world.client, "p", change)
        generation += counts
        assert found["metadata"]["generation"] == generation, name
        await world.wait_for(PODS, "p", "default", observed)


async def test_a_generation_asked_for_is_not_given(world):
    """It is one, and two once the pod is on its way out."""
    made = pod()
    made["metadata"]["generation"] = 100
    assert (await start(world, made))["metadata"]["generation"] == 1
    path = "/api/v1/namespaces/default/pods/p"
    answer = await world.client.request("DELETE", path, query={"gracePeriodSeconds": "60"})
    assert (answer["kind"], answer["metadata"]["generation"]) == ("Pod", 2)
    assert (await world.client.get(PODS, "p", "default"))["metadata"]["generation"] == 2


QUALITIES = [
    ({}, "BestEffort"),
    ({"requests": {"cpu": "100m"}}, "Burstable"),
    ({name: {"cpu": "100m", "memory": "100Mi"} for name in ("requests", "limits")}, "Guaranteed"),
]


@pytest.mark.parametrize(("resources", "quality"), QUALITIES)
async def test_the_quality_is_told_with_the_creation(world, resources, quality):
    made = pod()
    made["spec"]["containers"][0]["resources"] = resources
    assert (await world.client.create(PODS, made))["status"]["qosClass"] == quality
    assert (await world.client.get(PODS, "p", "default"))["status"]["qosClass"] == quality


async def test_ephemeral_containers_come_later(world):
    """One by a patch as typed clients make it, one by replacing; read through the subresource."""
    client = world.client
    await start(world, pod())
    added = {
        "name": "debugger",
        "image": "docker.io/library/img:1",
        "resources": {},
        "stdin": True,
        "tty": True,
    }
    order = {"$setElementOrder/ephemeralContainers": [{"name": "debugger"}]}
    patch = {"spec": {**order, "ephemeralContainers": [added]}}
    where = {"type": "strategic", "subresource": "ephemeralcontainers"}
    await client.patch(PODS, "p", "default", patch, **where)

    def runs(item):
        statuses = item["status"].get("ephemeralContainerStatuses") or ()
        return any(one["name"] == "debugger" and one["state"].get("running") for one in statuses)

    assert (await world.wait_for(PODS, "p", "default", runs))["metadata"]["generation"] == 2

    async def names():
        found = await client.get(PODS, "p", "default", subresource="ephemeralcontainers")
        assert found["kind"] == "Pod"
        return [one["name"] for one in found["spec"]["ephemeralContainers"]]

    assert await names() == ["debugger"]
    second = {
        "name": "debugger2", "image": "docker.io/library/img:2", "imagePullPolicy": "IfNotPresent",
        "terminationMessagePolicy": "File",
    }  # fmt: skip
    await changed(
        client, "p", lambda live: live["spec"]["ephemeralContainers"].append(second), "ephemeralcontainers"
    )
    assert await names() == ["debugger", "debugger2"]


async def test_five_hundred_changes(world):
    """Each read and replaced, while the kubelet writes the status."""
    client = world.client
    await start(world, pod(activeDeadlineSeconds=5000))

    def sooner(live):
        live["spec"]["activeDeadlineSeconds"] -= 1

    for _ in range(499):
        found = await changed(client, "p", sooner)
    assert found["metadata"]["generation"] == 500
    converged = await world.wait_for(PODS, "p", "default", observed)
    assert converged["status"]["observedGeneration"] == 500
    assert converged["spec"]["activeDeadlineSeconds"] == 5000 - 499


async def say_not_ready(client, name):
    """Replace the status of a pod that is ready by one that is not; return what the server made of it."""
    while True:
        found = await client.get(PODS, name, "default", subresource="status")
        told = [
            item for item in found["status"]["conditions"] if item["type"] in ("Ready", "ContainersReady")
        ]
        assert [item["status"] for item in told] == ["True", "True"]
        for item in told:
            item["status"] = "False"
        try:
            made = await client.update(PODS, found, subresource="status")
        except Conflict:
            continue
        return made


def conditions_of(item):
    """Return the status of both conditions that say whether a pod is ready."""
    wanted = ("Ready", "ContainersReady")
    return {one["type"]: one["status"] for one in item["status"]["conditions"] if one["type"] in wanted}


async def test_from_creation_to_removal(world):
    """Made, found by its label before and after an update, at an address of its node's."""
    client = world.client
    made = await start(world, pod(labels={"name": "foo", "time": "now"}))
    assert made["spec"]["nodeName"] == "real"
    assert (made["status"]["hostIP"], made["status"]["hostIPs"]) == ("192.0.2.1", [{"ip": "192.0.2.1"}])
    assert made["status"]["podIP"].startswith("10.")
    assert made["status"]["qosClass"] == "BestEffort"
    found = await client.list(PODS, "default", label_selector="time=now")
    assert [item["metadata"]["name"] for item in found["items"]] == ["p"]
    await changed(client, "p", lambda live: live["metadata"]["labels"].update(time="later"))
    assert (await world.wait_for(PODS, "p", "default", ready))["status"]["phase"] == "Running"
    assert len((await client.list(PODS, "default", label_selector="time=later"))["items"]) == 1
    assert (await client.list(PODS, "default", label_selector="time=now"))["items"] == []


async def seen_by(client, version, selector, holds, *types):
    """Return the first object of a watch from a version on that is as asked."""
    async with (
        asyncio.timeout(20),
        client.watch(PODS, "default", resource_version=version, label_selector=selector) as events,
    ):
        async for event in events:
            if (not types or event.type in types) and holds(event.object):
                return event.object
    raise AssertionError("the watch ended")


async def test_a_pod_and_its_status(world):
    """The patch is a whole Pod as Go writes one; then its status is replaced, and its label deletes it."""
    client, selector = world.client, "test-pod-static=true"
    listed = await client.list(PODS, label_selector=selector)
    begun = listed["metadata"]["resourceVersion"]
    made = pod("pod-test", labels={"test-pod-static": "true"}, terminationGracePeriodSeconds=1)
    made["spec"]["containers"][0]["name"] = "pod-test"
    await client.create(PODS, made)
    await seen_by(client, begun, selector, lambda item: item["status"].get("phase") == "Running")
    live = await world.wait_for(PODS, "pod-test", "default", ready)
    assert live["status"]["phase"] == "Running"
    image = "docker.io/library/img:2"
    patch = {
        "metadata": {"creationTimestamp": None, "labels": {"test-pod": "patched"}},
        "spec": {
            "containers": [{"name": "pod-test", "image": image, "resources": {}}],
            "terminationGracePeriodSeconds": 1,
        },
        "status": {},
    }
    await client.patch(PODS, "pod-test", "default", patch, type="strategic")
    before = live["metadata"]["resourceVersion"]
    await seen_by(client, before, selector, lambda item: item["metadata"]["name"] == "pod-test", "MODIFIED")
    patched = await client.get(PODS, "pod-test", "default")
    assert patched["metadata"]["labels"]["test-pod"] == "patched"
    assert [one["image"] for one in patched["spec"]["containers"]] == [image]
    # The container starts anew, and nobody hears that it was not ready: who replaces the status finds it so.
    told = await say_not_ready(client, "pod-test")
    assert conditions_of(told) == {"Ready": "False", "ContainersReady": "False"}
    replaced = told["metadata"]["resourceVersion"]
    await client.delete_collection(PODS, "default", label_selector=selector, grace_period_s=1)
    gone = await seen_by(client, replaced, selector, bool, "DELETED")
    assert gone["metadata"]["labels"]["test-pod-static"] == "true"
    with pytest.raises(NotFound):
        await client.get(PODS, "pod-test", "default")


async def test_words_in_a_status(world):
    """Patched with an annotation, as a client may; the kubelet's own conditions come back beside others."""
    client = world.client
    await start(world, pod(labels={"e2e": "p"}, terminationGracePeriodSeconds=1))
    mine = {"type": "Mine", "status": "True", "reason": "Told"}
    written = {"message": "Patched by e2e test", "reason": "E2E"}
    patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": written}
    told = await client.patch(PODS, "p", "default", patch, type="merge", subresource="status")
    assert written.items() <= told["status"].items()
    patch = {"status": {"conditions": [mine]}}
    await client.patch(PODS, "p", "default", patch, type="strategic", subresource="status")
    await client.patch(PODS, "p", "default", {"metadata": {"labels": {"e2e": "q"}}}, type="merge")
    kept = await world.wait_for(PODS, "p", "default", ready)
    assert any(item["type"] == "Mine" and item["reason"] == "Told" for item in kept["status"]["conditions"])


async def test_a_collection_goes_together(world):
    """Three that run, with a second of grace each."""
    once = {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never"}
    for number in range(1, 4):
        await start(world, pod(f"test-pod-{number}", labels={"type": "Testing"}, **once))
    await world.client.delete_collection(PODS, "default", label_selector="type=Testing", grace_period_s=1)
    for number in range(1, 4):
        await world.wait_for(PODS, f"test-pod-{number}", "default", lambda item: item is None)
    assert not (await world.client.list(PODS, "default", label_selector="type=Testing"))["items"]


async def test_restarts_are_counted_one_by_one(world, monkeypatch):
    monkeypatch.setattr("tiphys.kubelet.restarts.INITIAL_S", 0.01)
    await start(world, pod())
    counts = []
    for _ in range(4):
        world.runtime.exit("c", 1)
        wanted = len(counts) + 1
        again = await world.wait_for(
            PODS, "p", "default",
            lambda item, wanted=wanted: item["status"]["containerStatuses"][0]["restartCount"] == wanted
            and ready(item),
        )  # fmt: skip
        counts.append(again["status"]["containerStatuses"][0]["restartCount"])
        assert again["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1
    assert counts == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("policy", "code", "phase", "restarts"),
    [
        ("Always", 0, "Running", 1),
        ("OnFailure", 1, "Running", 1),
        ("OnFailure", 0, "Succeeded", 0),
        ("Never", 1, "Failed", 0),
        ("Never", 0, "Succeeded", 0),
    ],
)
async def test_policies(world, policy, code, phase, restarts):
    await start(world, pod(restartPolicy=policy))
    world.runtime.exit("c", code)

    def settled(item):
        (status,) = item["status"]["containerStatuses"]
        return item["status"]["phase"] == phase and status["restartCount"] == restarts

    await world.wait_for(PODS, "p", "default", settled)


async def test_a_taint_taken_away_spares_the_pod(world):
    """Evicted in three seconds, if the taint stayed; it goes at once."""
    client = world.client
    tolerates = [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}]
    await start(world, pod("spared", tolerations=tolerates))
    await start(world, pod("steady", tolerations=[{"operator": "Exists"}]))
    before = (await client.get(NODES, "real"))["spec"].get("taints") or []
    taint = {"key": "k", "value": "v", "effect": "NoExecute"}
    await client.patch(NODES, "real", "", {"spec": {"taints": [*before, taint]}}, type="merge")
    await client.patch(NODES, "real", "", {"spec": {"taints": before}}, type="merge")
    await start(world, pod("other", tolerations=tolerates))
    await client.patch(
        NODES, "real", "", {"spec": {"taints": [*before, {**taint, "key": "j"}]}}, type="merge"
    )
    await world.wait_for(
        PODS, "spared", "default", lambda item: item is None or "deletionTimestamp" in item["metadata"]
    )
    assert ready(await client.get(PODS, "steady", "default"))


async def test_runtime_classes(world):
    client = world.client

    def named(name, **more):
        meta = {"name": name}
        return {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": meta,
            "handler": "runc",
            **more,
        }

    await client.create(RUNTIME_CLASSES, named("plain"))
    fixed = {"cpu": "10m", "memory": "1Mi"}
    await client.create(RUNTIME_CLASSES, named("heavy", overhead={"podFixed": fixed}))
    assert "overhead" not in (await start(world, pod("a", runtimeClassName="plain")))["spec"]
    assert (await start(world, pod("b", runtimeClassName="heavy")))["spec"]["overhead"] == fixed
    for name in ("none", "plain"):
        if name == "plain":
            await client.delete(RUNTIME_CLASSES, name)
        with pytest.raises(Forbidden, match=f'pod rejected: RuntimeClass "{name}" not found'):
            await client.create(PODS, pod("c", runtimeClassName=name))


@pytest.mark.parametrize(
    ("gvr", "kind", "value"), [(CONFIG_MAPS, "ConfigMap", "v"), (SECRETS, "Secret", "dg==")]
)
async def test_settings(world, gvr, kind, value):
    """Keys must be names; what is immutable stays until it is deleted; others change."""
    client = world.client

    def made(name, data, **more):
        meta = {"name": name, "namespace": "default"}
        return {"apiVersion": "v1", "kind": kind, "metadata": meta, "data": data, **more}

    with pytest.raises(Invalid, match=r"a valid config key must consist of"):
        await client.create(gvr, made("empty", {"": value}))
    live = await client.create(gvr, made("open", {"k": value}))
    changed = await client.update(gvr, {**live, "data": {"other": value}})
    assert changed["data"] == {"other": value}
    closed = await client.update(gvr, {**changed, "immutable": True})
    for attempt in ({**closed, "data": {"k": value}}, {**closed, "immutable": False}):
        with pytest.raises(Invalid, match="field is immutable when `immutable` is set"):
            await client.update(gvr, attempt)
    await client.patch(gvr, "open", "default", {"metadata": {"labels": {"still": "fine"}}}, type="merge")
    await client.delete(gvr, "open", "default")
