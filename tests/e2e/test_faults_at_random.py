"""Processes of a real cluster are killed or suspended at random under a load; what has to hold all the same.

Whatever is struck comes back by itself. Every acknowledged write is there, a watch that goes on where it
broke off shows each once and in order, containers that were not struck are not restarted, services answer,
and no process is left that nothing accounts for.

One short round by default; ``make chaos`` runs more, with another seed each time (``SEED=``, ``ROUNDS=``).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from cluster import RunningCluster, eventually
from manifests import container, deployment, pod, service, web_container
from node_processes import Process, containers, forked, guard, is_there, name_of, shims

from tiphys.apimachinery.errors import AlreadyExists, NotFound, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.client.kinds import CONFIG_MAPS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError

pytestmark = pytest.mark.e2e

SEED = os.environ.get("TIPHYS_FAULTS_SEED") or "11"
ROUNDS = int(os.environ.get("TIPHYS_FAULTS_ROUNDS") or "1")
FAULTS = 3
"""In a round."""
LOST = (TransportError, TimeoutError)


# -- the load


async def insisting(call: Callable[[], Awaitable[Any]]) -> Any:
    """Ask until there is an answer that says something about the request."""
    while True:
        try:
            async with asyncio.timeout(10):
                return await call()
        except StatusError as error:
            if error.code < 500 and error.code != 429:
                raise
        except LOST:
            pass
        await asyncio.sleep(0.1)


class Load:
    """Writes ConfigMaps, follows them by one watch, and remembers what both were told."""

    def __init__(self, client: Client, namespace: str, present: dict[str, str]) -> None:
        self._client, self._namespace = client, namespace
        self.wanted = dict(present)
        """The version that each should have, by what was acknowledged."""
        self.shown = dict(present)
        """The same, by the watch."""
        self.versions: list[int] = []
        self._changed = asyncio.Event()

    async def follow(self, start: str) -> None:
        """Watch from a version on, for ever; judge each event by those before."""
        while True:
            with suppress(*LOST):
                try:
                    async with self._client.watch(
                        CONFIG_MAPS, self._namespace, resource_version=start
                    ) as events:
                        async for event in events:
                            start = event.object["metadata"]["resourceVersion"]
                            self._note(event.type, event.object)
                except StatusError as error:
                    if error.code < 500 and error.code != 429:
                        raise
            await asyncio.sleep(0.1)

    def _note(self, type_: str, obj: Object) -> None:
        if type_ == "BOOKMARK":
            return
        name, version = obj["metadata"]["name"], obj["metadata"]["resourceVersion"]
        assert not self.versions or int(version) > self.versions[-1], f"{type_} {name} again, or late"
        assert (type_ == "ADDED") is (name not in self.shown), (
            f"{type_} {name}, which has {self.shown.get(name)}"
        )
        self.versions.append(int(version))
        if type_ == "DELETED":
            del self.shown[name]
        else:
            self.shown[name] = version
        self._changed.set()

    async def write(self, prefix: str) -> None:
        """Make one after the other, change it, and delete every third."""
        number = 0
        while True:
            name, number = f"{prefix}-{number}", number + 1
            self.wanted[name] = (await self._create(name))["metadata"]["resourceVersion"]
            patch = {"data": {"n": "2"}}
            changed = await insisting(
                lambda name=name, patch=patch: self._client.patch(CONFIG_MAPS, name, self._namespace, patch)
            )
            self.wanted[name] = changed["metadata"]["resourceVersion"]
            if number % 3 == 0:
                with suppress(NotFound):  # done, and only the answer was lost
                    await insisting(lambda name=name: self._client.delete(CONFIG_MAPS, name, self._namespace))
                del self.wanted[name]
            await asyncio.sleep(0.02)

    async def _create(self, name: str) -> Object:
        meta = {"name": name, "namespace": self._namespace}
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"n": "1"}}
        try:
            return dict(await insisting(lambda: self._client.create(CONFIG_MAPS, made)))
        except AlreadyExists:  # by an attempt whose answer was lost
            return dict(await insisting(lambda: self._client.get(CONFIG_MAPS, name, self._namespace)))

    async def settle(self, name: str) -> None:
        """Wait until the watch has shown all; then it, a list, and what was acknowledged must agree."""
        self.wanted[name] = (await self._create(name))["metadata"]["resourceVersion"]
        async with asyncio.timeout(60):
            while name not in self.shown:
                self._changed.clear()
                await self._changed.wait()
        listed = await insisting(lambda: self._client.list(CONFIG_MAPS, namespace=self._namespace))
        found = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in listed["items"]}
        assert self.shown == found
        # The write that was broken off by the end of the round may be done or not.
        missing = {n: v for n, v in self.wanted.items() if n in found and int(found[n]) < int(v)}
        assert not missing, "acknowledged and gone"
        assert len(self.wanted.keys() ^ found.keys()) <= 1, self.wanted.keys() ^ found.keys()
        self.wanted = dict(found)


# -- the faults


def draw(cluster: RunningCluster, chance: random.Random) -> list[tuple[str, signal.Signals]]:
    """Return what to strike, and how; not a guard with its supervisor: together they do not come back."""
    names = [*sorted(cluster.pids()), "guard", "shim", "container"]
    chosen = chance.sample(names, FAULTS)
    if {"guard", "supervisor"} <= set(chosen):
        chosen.remove("guard")
    faults = []
    for name in chosen:
        lasting = name not in ("shim", "container") and chance.random() < 0.3
        faults.append((name, signal.SIGSTOP if lasting else signal.SIGKILL))
    return faults


def strike(
    cluster: RunningCluster, faults: list[tuple[str, signal.Signals]], chance: random.Random
) -> set[str]:
    """Do it. Returns the uids of the pods that lose containers by it."""
    hurt: set[str] = set()
    old: dict[str, int] = {}
    for name, how in faults:
        if name in ("shim", "container"):
            victim = _one_of(cluster, name, chance)
            hurt.add(victim.pod)
            os.kill(victim.pid, how)
        else:
            old[name] = _pid(cluster, name)
            os.kill(old[name], how)
        print(f"{how.name} {name}")
    for name, pid in old.items():
        eventually(lambda name=name, pid=pid: _pid(cluster, name) not in (0, pid), 60)
    return hurt


def _pid(cluster: RunningCluster, name: str) -> int:
    return guard(cluster) if name == "guard" else cluster.pids().get(name, 0)


def _one_of(cluster: RunningCluster, kind: str, chance: random.Random) -> Process:
    ours = {item["metadata"]["uid"] for item in _pods(cluster)}
    found = shims(cluster) if kind == "shim" else containers(cluster)
    return chance.choice(sorted((one for one in found if one.pod in ours), key=lambda one: one.pid))


# -- what holds


def _pods(cluster: RunningCluster) -> list[Object]:
    return list(cluster.json("get", "pods")["items"])


def _running(cluster: RunningCluster) -> dict[str, list[tuple[str, int]]]:
    """Return each pod's containers, with their restarts, by uid."""
    return {
        item["metadata"]["uid"]: [
            (status.get("containerID", ""), status["restartCount"])
            for status in item["status"].get("containerStatuses") or ()
        ]
        for item in _pods(cluster)
    }


def check(cluster: RunningCluster, before: dict[str, list[tuple[str, int]]], hurt: set[str]) -> None:
    eventually(lambda: cluster.try_kubectl("get", "--raw", "/readyz").out == "ok")
    cluster.kubectl("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=60s")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.ready("probe-node-1", "probe-node-2")
    after = _running(cluster)
    for uid in before.keys() - hurt:
        assert after.get(uid) == before[uid], f"containers of pod {uid} were not struck and are others now"
    address = cluster.path("service/web", ".spec.clusterIP")
    name = f"web.{cluster.namespace}.svc.cluster.local"
    for probe in ("probe-node-1", "probe-node-2"):
        eventually(lambda probe=probe: "v1" in cluster.sh(probe, f"timeout 5 wget -qO- http://{address}/"))
        eventually(lambda probe=probe: address in cluster.sh(probe, f"timeout 5 nslookup {name}"))

    def all_accounted_for() -> bool:
        odd = _unaccounted(cluster)
        assert not odd, odd
        return True

    eventually(all_accounted_for)


def _unaccounted(cluster: RunningCluster) -> list[object]:
    """Return processes that there should not be, or that should be and are not."""
    components = cluster.pids()
    known = forked(cluster)
    odd: list[object] = [name for name, pid in components.items() if not is_there(pid)]
    meant = Counter(map(name_of, components))
    odd += [f"{name} twice" for name, count in known.items() if count > meant[name]]
    live = {
        item["metadata"]["uid"]
        for item in cluster.json("get", "pods", "--all-namespaces")["items"]
        if item["status"].get("phase") in ("Running", "Pending")
    }
    odd += [one for one in containers(cluster) if one.pod not in live]
    odd += [one for one in shims(cluster) if one.pod not in live]
    return odd


def prepare(cluster: RunningCluster) -> Object:
    """Make the workloads; returns the ConfigMaps that are there."""
    probes = [
        pod(f"probe-{node}", container("exec sleep 100000"), nodeName=node) for node in ("node-1", "node-2")
    ]
    cluster.apply(deployment("web", 4, web_container()), service("web"), *probes)
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.ready("probe-node-1", "probe-node-2")
    eventually(lambda: cluster.json("get", "configmaps")["items"])  # the root certificate
    return dict(
        json.loads(cluster.kubectl("get", "--raw", f"/api/v1/namespaces/{cluster.namespace}/configmaps"))
    )


async def test_faults_at_random(cluster: RunningCluster) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    listed = await asyncio.to_thread(prepare, cluster)
    client = Client.from_kubeconfig(cluster.folder / "kubeconfig")
    present = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in listed["items"]}
    load = Load(client, cluster.namespace, present)
    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(load.follow(listed["metadata"]["resourceVersion"]))
            for number in range(ROUNDS):
                before = await asyncio.to_thread(_running, cluster)
                faults = await asyncio.to_thread(draw, cluster, chance)
                writing = group.create_task(load.write(f"r{number}"))
                hurt = await asyncio.to_thread(strike, cluster, faults, chance)
                await asyncio.to_thread(check, cluster, before, hurt)
                writing.cancel()
                await asyncio.wait([writing])
                await load.settle(f"end-{number}")
            watching.cancel()
    finally:
        await client.close()
    assert len(load.versions) > ROUNDS * 10
