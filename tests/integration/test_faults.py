"""A control plane whose processes are killed at random under a workload, and what has to hold all the same.

Every acknowledged write is there, nothing was written twice, resourceVersions only grow, a watch that goes on
where it broke off misses nothing and repeats nothing, and there are never more pods than were asked for.
"""

import asyncio
import json
import os
import random
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.apimachinery.errors import AlreadyExists, Conflict, ServiceUnavailable, StatusError, TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.client.kinds import CONFIG_MAPS, DEPLOYMENTS, JOBS, PODS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.storage.check import check_file
from tiphys.testing import SimulatedNodes
from tiphys.testing.etcd import EtcdProcess, free_ports

pytestmark = pytest.mark.slow

MOST = 8
COMPLETIONS = 12
GONE = (TransportError, StatusError, TimeoutError)


class Plane:
    """API server, controller manager and scheduler as processes."""

    def __init__(self, folder: Path, store: str) -> None:
        self._folder = folder
        self._port = free_ports(1)[0]
        token = secrets.token_urlsafe(16)
        (folder / "tokens.csv").write_text(f'{token},chaos,chaos,"system:masters"\n')
        self.kubeconfig = folder / "kubeconfig"
        cluster = {"server": f"https://127.0.0.1:{self._port}", "insecure-skip-tls-verify": True}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "clusters": [{"name": "x", "cluster": cluster}],
            "users": [{"name": "x", "user": {"token": token}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))
        component = ["--kubeconfig", str(self.kubeconfig), "--secure-port", "0", "--leader-elect=false"]
        self._flags = {
            "apiserver": [
                "--store", store, "--secure-port", str(self._port), "--cert-dir", str(folder),
                "--token-auth-file", str(folder / "tokens.csv"),
            ],
            "controller-manager": component,
            "scheduler": component,
        }  # fmt: skip
        self._lock = asyncio.Lock()

    @property
    def names(self) -> list[str]:
        return list(self._flags)

    async def __aenter__(self) -> "Plane":
        script = Path(__file__).with_name("fault_nursery.py")
        pipe = asyncio.subprocess.PIPE
        self._nursery = await asyncio.create_subprocess_exec(
            sys.executable, str(script), stdin=pipe, stdout=pipe, cwd=self._folder
        )
        for name in self._flags:
            await self.start(name)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._nursery.stdin is not None
        self._nursery.stdin.close()
        await self._nursery.wait()

    async def _tell(self, *command: Any) -> None:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        async with self._lock:
            self._nursery.stdin.write(json.dumps(command).encode() + b"\n")
            assert await self._nursery.stdout.readline() == b"done\n"

    async def start(self, name: str) -> None:
        await self._tell("start", name, self._flags[name])

    async def kill(self, name: str) -> None:
        await self._tell("kill", name)


class Seen:
    """What a watch showed that goes on where it broke off and never lists again."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Object]] = []
        self.changed = asyncio.Event()

    async def follow(self, client: Client, gvr: Any, start: str) -> None:
        version = start
        while True:
            with suppress(TransportError, TimeoutError, ServiceUnavailable):
                async with client.watch(gvr, "default", resource_version=version) as stream:
                    async for event in stream:
                        version = event.object["metadata"]["resourceVersion"]
                        if event.type != "BOOKMARK":
                            self.events.append((event.type, event.object))
                            self.changed.set()
            await asyncio.sleep(0.05)

    def of(self, name: str) -> list[tuple[str, Object]]:
        return [(type_, obj) for type_, obj in self.events if obj["metadata"]["name"] == name]


async def insisting(call: Callable[[], Any]) -> Any:
    """Ask until there is an answer."""
    while True:
        try:
            async with asyncio.timeout(10):
                return await call()
        except GONE as error:
            if isinstance(error, StatusError) and error.code in (404, 409, 422):
                raise
            await asyncio.sleep(0.05)


def config_map(name: str, **data: str) -> Object:
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def template(labels: dict[str, str], **spec: Any) -> Object:
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def deployment() -> Object:
    labels = {"app": "web"}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template(labels)}
    meta = {"name": "web", "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def job() -> Object:
    pod = template({"app": "once"}, restartPolicy="Never")
    pod["metadata"]["annotations"] = {"tiphys.dev/exit-code": "0"}
    spec = {"completions": COMPLETIONS, "parallelism": 3, "template": pod}
    meta = {"name": "once", "namespace": "default"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}


class Workload:
    """Writes, and remembers what was acknowledged."""

    def __init__(self, client: Client, chance: random.Random) -> None:
        self._client = client
        self._chance = chance
        self.created: dict[str, str] = {}
        self.counted = self.tried = 0
        self.versions: list[int] = []
        self.wanted = 3

    def _acknowledged(self, obj: Object) -> None:
        self.versions.append(int(obj["metadata"]["resourceVersion"]))

    async def create(self) -> None:
        """Create one ConfigMap after the other, each exactly once, whatever becomes of the answers."""
        number = 0
        while True:
            name = f"made-{number}"
            try:
                made = await insisting(lambda name=name: self._client.create(CONFIG_MAPS, config_map(name)))
                self._acknowledged(made)
                self.created[name] = made["metadata"]["resourceVersion"]
            except AlreadyExists:  # the answer to an earlier attempt got lost
                found = await insisting(lambda name=name: self._client.get(CONFIG_MAPS, name, "default"))
                self.created[name] = found["metadata"]["resourceVersion"]
            number += 1

    async def count(self) -> None:
        """Count up in one object: nothing counted may be lost, nothing counted twice."""
        while True:
            found = await insisting(lambda: self._client.get(CONFIG_MAPS, "counter", "default"))
            assert int(found["data"]["n"]) >= self.counted, "an acknowledged write is gone"
            self.counted = int(found["data"]["n"])
            found["data"]["n"] = str(self.counted + 1)
            self.tried += 1
            with suppress(Conflict, *GONE):
                async with asyncio.timeout(10):
                    changed = await self._client.update(CONFIG_MAPS, found)
                self._acknowledged(changed)
                self.counted += 1

    async def scale(self) -> None:
        """Want another number of replicas now and then."""
        while True:
            await self.want(self._chance.randint(1, MOST))
            await asyncio.sleep(self._chance.uniform(0.1, 0.6))

    async def want(self, replicas: int) -> None:
        patch = {"spec": {"replicas": replicas}}
        await insisting(lambda: self._client.patch(DEPLOYMENTS, "web", "default", patch))
        self.wanted = replicas


async def until(seen: Seen, holds: Callable[[], Any]) -> None:
    """Wait for what a watch shows. Raises AssertionError with the last that came."""
    try:
        async with asyncio.timeout(60):
            while not holds():
                seen.changed.clear()
                await seen.changed.wait()
    except TimeoutError:
        last = [(type_, obj["metadata"]["name"], obj.get("status")) for type_, obj in seen.events[-10:]]
        raise AssertionError(f"it never came to be; the watch has shown {last}") from None


def living(pods: Seen, app: str) -> dict[str, Object]:
    """Return the last state of the pods that are there and meant to stay."""
    found: dict[str, Object] = {}
    for type_, obj in pods.events:
        if obj["metadata"]["labels"].get("app") != app:
            continue
        if type_ == "DELETED" or "deletionTimestamp" in obj["metadata"]:
            found.pop(obj["metadata"]["name"], None)
        else:
            found[obj["metadata"]["name"]] = obj
    return found


def is_running(pod: Object) -> bool:
    return bool(pod["status"].get("phase") == "Running" and pod["spec"].get("nodeName"))


def check_history(maps: Seen, pods: Seen, load: Workload) -> None:
    """Judge what the watches showed against what was acknowledged."""
    for seen in (maps, pods):
        versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in seen.events]
        assert versions == sorted(set(versions)), "a watch went back or told twice"
    assert len(set(load.versions)) == len(load.versions), "two writes have one resourceVersion"
    for name, version in load.created.items():
        found = maps.of(name)
        assert [(type_, obj["metadata"]["resourceVersion"]) for type_, obj in found] == [("ADDED", version)]
    counts = [int(obj["data"]["n"]) for _, obj in maps.of("counter")]
    assert counts == list(range(counts[0], counts[0] + len(counts))), "a count was lost or done twice"
    assert load.counted <= counts[-1] <= load.tried
    most, alive = 0, set()
    for type_, obj in pods.events:
        if obj["metadata"]["labels"].get("app") == "web":
            ending = type_ == "DELETED" or "deletionTimestamp" in obj["metadata"]
            (alive.discard if ending else alive.add)(obj["metadata"]["name"])
            most = max(most, len(alive))
    assert most <= MOST, "more pods than were ever asked for"
    ended = [obj["metadata"]["name"] for _, obj in pods.events if obj["status"].get("phase") == "Succeeded"]
    assert len(set(ended)) == COMPLETIONS


@asynccontextmanager
async def running(plane: Plane) -> AsyncIterator[Client]:
    """Yield a client of a control plane with two nodes."""
    async with AsyncExitStack() as stack:
        client = Client.from_kubeconfig(plane.kubeconfig)
        stack.push_async_callback(client.close)
        players = Client.from_kubeconfig(plane.kubeconfig)
        stack.push_async_callback(players.close)
        nodes = SimulatedNodes(players, 2)
        while True:
            try:
                await nodes.register()
                break
            except* TiphysError:
                await asyncio.sleep(0.05)
        async with asyncio.TaskGroup() as group:
            playing = group.create_task(nodes.run())
            yield client
            playing.cancel()


async def disturb(plane: Plane, client: Client, chance: random.Random, kills: int) -> None:
    """Kill processes, the API server the most often, some of them before they have come up again."""
    for _ in range(kills):
        name = chance.choice(["apiserver", *plane.names])
        await plane.kill(name)
        await asyncio.sleep(chance.choice([0, 0, 0.2]))
        await plane.start(name)
        if chance.random() < 0.7:
            await insisting(lambda: client.get(CONFIG_MAPS, "counter", "default"))
        await asyncio.sleep(chance.uniform(0, 0.8))


KINDS = [pytest.param("sqlite", id="sqlite"), pytest.param("etcd", id="etcd", marks=pytest.mark.etcd)]


@pytest.mark.parametrize("kind", KINDS)
async def test_killed_at_random_under_load(tmp_path: Path, kind: str) -> None:
    chance = random.Random(int(os.environ.get("TIPHYS_FAULTS_SEED", "7")))
    kills = int(os.environ.get("TIPHYS_FAULTS_KILLS", "16"))
    async with AsyncExitStack() as stack:
        store = f"sqlite:{tmp_path / 'store.db'}"
        if kind == "etcd":
            etcd = EtcdProcess(tmp_path / "etcd")
            await etcd.start()
            stack.push_async_callback(etcd.end)
            store = f"etcd:{etcd.url}"
        plane = await stack.enter_async_context(Plane(tmp_path, store))
        client = await stack.enter_async_context(running(plane))
        first = await insisting(lambda: client.create(CONFIG_MAPS, config_map("counter", n="0")))
        for gvr, obj in ((DEPLOYMENTS, deployment()), (JOBS, job())):
            with suppress(AlreadyExists):
                await insisting(lambda gvr=gvr, obj=obj: client.create(gvr, obj))
        maps, pods, sets, load = Seen(), Seen(), Seen(), Workload(client, chance)
        start = first["metadata"]["resourceVersion"]
        kinds = ((maps, CONFIG_MAPS), (pods, PODS), (sets, DEPLOYMENTS))
        following = [seen.follow(client, gvr, start) for seen, gvr in kinds]
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(work) for work in following]
            working = [group.create_task(work) for work in (load.create(), load.count(), load.scale())]
            await disturb(plane, client, chance, kills)
            for task in working:
                task.cancel()
            await asyncio.wait(working)
            await load.want(5)
            await insisting(lambda: client.create(CONFIG_MAPS, config_map("last")))
            await settle(client, maps, pods, sets)
            for task in watching:
                task.cancel()
    check_history(maps, pods, load)
    assert len(load.created) > kills
    if kind == "sqlite":
        assert check_file(tmp_path / "store.db") == []


def is_settled(deployment: Object) -> bool:
    status = deployment.get("status") or {}
    counts = {status.get("replicas"), status.get("readyReplicas"), deployment["spec"]["replicas"]}
    return counts == {5} and status.get("observedGeneration") == deployment["metadata"]["generation"]


async def settle(client: Client, maps: Seen, pods: Seen, sets: Seen) -> None:
    """Wait until all is as asked, in the watches and in a list."""
    await until(sets, lambda: sets.events and is_settled(sets.events[-1][1]))

    def settled() -> bool:
        web = living(pods, "web")
        done = {name for name, pod in living(pods, "once").items() if pod["status"]["phase"] == "Succeeded"}
        return len(web) == 5 and all(map(is_running, web.values())) and len(done) == COMPLETIONS

    await until(pods, settled)
    await until(maps, lambda: maps.of("last"))
    listed = await insisting(lambda: client.list(PODS, "default", label_selector="app=web"))
    staying = [pod for pod in listed["items"] if "deletionTimestamp" not in pod["metadata"]]
    assert {pod["metadata"]["name"] for pod in staying} == set(living(pods, "web"))
