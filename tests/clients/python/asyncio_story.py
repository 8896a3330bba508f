"""kubernetes_asyncio: typed calls, watches that go on, the dynamic client, leader election."""

import asyncio
import json
import os
from contextlib import suppress

from kubernetes_asyncio import client, config, dynamic, watch
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.leaderelection import electionconfig, leaderelection
from kubernetes_asyncio.leaderelection.resourcelock.leaselock import LeaseLock

NAMESPACE = "default"


async def typed(api):
    core = client.CoreV1Api(api)
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="story"), data={"a": "b"})
    made = await core.create_namespaced_config_map(NAMESPACE, body)
    made.data = {"a": "c"}
    assert (await core.replace_namespaced_config_map("story", NAMESPACE, made)).data == {"a": "c"}
    made.metadata.resource_version = "1"
    with suppress(ApiException):
        await core.replace_namespaced_config_map("story", NAMESPACE, made)
        raise AssertionError("a version of long ago was taken")
    patch = [{"op": "add", "path": "/data/b", "value": "d"}]
    patched = await core.patch_namespaced_config_map("story", NAMESPACE, patch)
    assert patched.data == {"a": "c", "b": "d"}
    await core.delete_namespaced_config_map("story", NAMESPACE)


async def watched(api):
    core = client.CoreV1Api(api)
    start = (await core.list_namespaced_config_map(NAMESPACE)).metadata.resource_version
    seen = []

    async def follow():
        listing, label = core.list_namespaced_config_map, "story=watched"
        async with watch.Watch().stream(
            listing, NAMESPACE, resource_version=start, label_selector=label
        ) as stream:
            async for event in stream:
                seen.append((event["type"], event["object"].metadata.name))
                if event["type"] == "DELETED":
                    return

    following = asyncio.create_task(follow())
    for name in ("one", "two"):
        await asyncio.sleep(0.7)
        meta = client.V1ObjectMeta(name=name, labels={"story": "watched"})
        await core.create_namespaced_config_map(NAMESPACE, client.V1ConfigMap(metadata=meta))
    await core.delete_namespaced_config_map("one", NAMESPACE)
    with suppress(TimeoutError):
        await asyncio.wait_for(following, 20)
    assert seen == [("ADDED", "one"), ("ADDED", "two"), ("DELETED", "one")], seen


async def dynamically(api):
    async with dynamic.DynamicClient(api) as anything:
        deployments = await anything.resources.get(api_version="apps/v1", kind="Deployment")
        labels = {"app": "d"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
        made = await deployments.server_side_apply(
            body=body, name="d", namespace=NAMESPACE, field_manager="story"
        )
        assert made.metadata.managedFields[0].operation == "Apply"
        scaled = await deployments.scale.patch(
            name="d", namespace=NAMESPACE, body={"spec": {"replicas": 2}},
            content_type="application/merge-patch+json",
        )  # fmt: skip
        assert scaled.spec.replicas == 2
        await deployments.delete(name="d", namespace=NAMESPACE)


async def elected(api):
    """Two candidates: the second leads once the first stands back."""
    led = []

    async def candidate(name):
        done = asyncio.Event()

        async def lead():
            led.append(name)
            done.set()

        lock = LeaseLock("story", NAMESPACE, name, api)
        election = leaderelection.LeaderElection(
            electionconfig.Config(
                lock, lease_duration=3, renew_deadline=2, retry_period=1, onstarted_leading=lead,
                onstopped_leading=None,
            )
        )  # fmt: skip
        running = asyncio.create_task(election.run())
        await asyncio.wait_for(done.wait(), 30)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    await candidate("first")
    await candidate("second")
    assert led == ["first", "second"]
    lease = await client.CoordinationV1Api(api).read_namespaced_lease("story", NAMESPACE)
    assert lease.spec.holder_identity == "second"


async def main():
    await config.load_kube_config(os.environ["KUBECONFIG"])
    done = []
    async with client.ApiClient() as api:
        for step in (typed, watched, dynamically, elected):
            await step(api)
            done.append(step.__name__)
    print(json.dumps(done))


asyncio.run(main())
