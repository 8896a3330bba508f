"""Row: what one write of each common kind costs the API server in processor time.

One process, no network, no TLS, a store in memory: identity, rights, flow control, schema, defaults, managed
fields, admission, validation, encoding, watch cache and metrics are all there. Unlike a rate, this says much
the same on a busy machine; the best slice says the most.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bench import objects
from tiphys.apiserver.options import ApiServerOptions, TokenEntry
from tiphys.apiserver.server import ApiServer
from tiphys.cmd.apiserver import tune_interpreter
from tiphys.storage.memory import MemoryStore
from tiphys.wire.message import Request

Row = dict[str, object]
_TOKEN = "bench"
_SLICE = 100
_SLICES = 10
_PODS = f"/api/v1/namespaces/{objects.NAMESPACE}/pods"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True)
class Sent:
    """One request."""

    method: str
    path: str
    body: dict[str, Any]
    content_type: str = "application/json"


@dataclass
class Client:
    """One component: its requests have one header block, as a connection's have."""

    server: ApiServer
    agent: str
    memo: dict[Any, Any] = field(default_factory=dict)

    def request(self, sent: Sent) -> Request:
        headers = {
            "accept": "application/json",
            "authorization": f"Bearer {_TOKEN}",
            "content-type": sent.content_type,
            "user-agent": self.agent,
        }
        body = objects.body(sent.body)
        return Request(sent.method, sent.path, "", headers, body, raw_path=sent.path, memo=self.memo)

    async def send(self, sent: Sent) -> dict[str, Any]:
        """Raises RuntimeError when it is refused."""
        response = await self.server.handler(self.request(sent))
        assert isinstance(response.body, bytes)
        if response.status >= 400:
            raise RuntimeError(response.body.decode())
        return dict(json.loads(response.body))

    async def measure(self, name: str, requests: Iterator[Sent]) -> Row:
        """Send slices of requests and return the microseconds that one took."""
        slices = []
        for _ in range(_SLICES):
            made = [self.request(next(requests)) for _ in range(_SLICE)]
            before = time.process_time()
            responses = [await self.server.handler(request) for request in made]
            slices.append((time.process_time() - before) * 1e6 / _SLICE)
            refused = next((answer for answer in responses if answer.status >= 400), None)
            if refused is not None:
                raise RuntimeError(f"{name}: {refused.body!r}")
        slices.sort()
        return {"row": "write_costs", "write": name, "best_us": round(slices[0], 1),
                "median_us": round(slices[len(slices) // 2], 1)}  # fmt: skip


_COUNT = _SLICE * _SLICES


def _owned_pod(index: int) -> dict[str, Any]:
    """Return a pod as the ReplicaSet controller makes it."""
    pod = objects.pod(index, padded=False, prefix="owned")
    owner = {
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"app-{index % 50}-5d4f8c7b9",
        "uid": f"0e2f3c9a-0000-4000-8000-{index % 50:012d}", "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    pod["metadata"]["ownerReferences"] = [owner]
    return pod


def _lone_pod(index: int) -> dict[str, Any]:
    """Return a pod that is like no other: one made by hand, say."""
    pod = objects.pod(index, padded=False, prefix="lone")
    pod["metadata"]["labels"]["lone"] = str(index)
    return pod


def _status(pod: dict[str, Any], round_: int) -> Sent:
    """Return a kubelet's patch: the first says that the pod runs, the next that it is ready or not."""
    ready, at = "True" if round_ % 2 else "False", f"2026-01-01T00:00:{round_ % 60:02d}Z"
    conditions = [
        {"type": kind, "status": ready if "eady" in kind else "True", "lastTransitionTime": at}
        for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
    ]
    container = {
        "name": "main", "image": "registry.example/app:1", "imageID": "registry.example/app@sha256:1a2b",
        "containerID": "containerd://" + f"{round_:064x}", "ready": ready == "True", "restartCount": 0,
        "started": True, "state": {"running": {"startedAt": at}}, "lastState": {},
    }  # fmt: skip
    status = {
        "phase": "Running", "conditions": conditions, "containerStatuses": [container],
        "hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}], "podIP": "10.1.0.7",
        "podIPs": [{"ip": "10.1.0.7"}], "startTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    if round_:
        status = {"conditions": conditions, "containerStatuses": [container]}
    meta = pod["metadata"]
    body = {"metadata": {"uid": meta["uid"]}, "status": status}
    return Sent("PATCH", f"{_PODS}/{meta['name']}/status", body, _STRATEGIC)


def _heartbeat(name: str, round_: int) -> Sent:
    conditions = [
        {"type": kind, "status": "False", "reason": f"KubeletHas{kind}", "message": f"kubelet has {kind}",
         "lastHeartbeatTime": f"2026-01-01T00:{round_ // 60 % 60:02d}:{round_ % 60:02d}Z",
         "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    ]  # fmt: skip
    return Sent("PATCH", f"/api/v1/nodes/{name}/status", {"status": {"conditions": conditions}}, _STRATEGIC)


def _lease(index: int) -> dict[str, Any]:
    name = f"node-{index}"
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": f"0e2f3c9a-0000-4000-8000-{index:012d}"}
    spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": "2026-01-01T00:00:00.000000Z"}
    return {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease", "ownerReferences": [owner]}, "spec": spec,
    }  # fmt: skip


def _event(index: int) -> dict[str, Any]:
    name = f"owned-{index}"
    return {
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": f"{name}.{index:016x}", "namespace": objects.NAMESPACE},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": name, "namespace": objects.NAMESPACE,
                           "uid": f"0e2f3c9a-0000-4000-8000-{index:012d}", "resourceVersion": str(index)},
        "type": "Normal", "reason": "Pulled", "message": f"Container image for {name} already present",
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
        "source": {"component": "kubelet", "host": "node-1"}, "reportingComponent": "kubelet",
        "reportingInstance": "node-1",
    }  # fmt: skip


def _binding(pod: dict[str, Any], index: int) -> Sent:
    meta = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    body = {
        "apiVersion": "v1", "kind": "Binding", "metadata": meta,
        "target": {"apiVersion": "v1", "kind": "Node", "name": f"node-{index % 100}"},
    }  # fmt: skip
    return Sent("POST", f"{_PODS}/{meta['name']}/binding", body)


async def _creations(admin: Client) -> AsyncIterator[Row]:
    maps = f"/api/v1/namespaces/{objects.NAMESPACE}/configmaps"
    events = f"/api/v1/namespaces/{objects.NAMESPACE}/events"
    made: list[tuple[str, str, Callable[[int], dict[str, Any]]]] = [
        ("create_configmap", maps, objects.config_map),
        ("create_pod", _PODS, _owned_pod),
        ("create_lone_pod", _PODS, _lone_pod),
        ("create_event", events, _event),
    ]
    for name, path, make in made:
        yield await admin.measure(name, (Sent("POST", path, make(index)) for index in range(_COUNT)))


async def _changes(server: ApiServer, pods: list[dict[str, Any]]) -> AsyncIterator[Row]:
    scheduler, kubelet = Client(server, "kube-scheduler/v1"), Client(server, "kubelet/v1")
    for index in range(_SLICE):
        await kubelet.send(Sent("POST", "/api/v1/nodes", objects.node(index)))
        await kubelet.send(Sent("POST", _LEASES, _lease(index)))
    yield await scheduler.measure("bind_pod", (_binding(pod, index) for index, pod in enumerate(pods)))
    yield await kubelet.measure("run_pod_status", (_status(pod, 0) for pod in pods))
    again = (_status(pod, round_) for round_ in range(1, 99) for pod in pods[:_SLICE])
    yield await kubelet.measure("pod_status", again)
    beats = (_heartbeat(f"node-{index}", round_) for round_ in range(99) for index in range(_SLICE))
    yield await kubelet.measure("node_status", beats)
    times = (f"2026-01-01T00:{round_ // 60:02d}:{round_ % 60:02d}.000000Z" for round_ in range(1, 3600))
    merge = "application/merge-patch+json"
    patches = (
        Sent("PATCH", f"{_LEASES}/node-{index}", {"spec": {"renewTime": time_}}, merge)
        for time_ in times for index in range(_SLICE)
    )  # fmt: skip
    yield await kubelet.measure("lease_patch", patches)
    yield await kubelet.measure("lease_put", _renewals(server))


def _renewals(server: ApiServer) -> Iterator[Sent]:
    """Yield leases as client-go writes them: read before, put back whole with another time."""
    row = server.table.by_path("coordination.k8s.io", "v1", "leases")
    assert row is not None
    for round_ in range(99):
        for index in range(_SLICE):
            key = server.objects.key_of(row, "kube-node-lease", f"node-{index}")
            lease = json.loads(server.objects.at_hand(row, key).raw)
            lease["spec"]["renewTime"] = f"2026-02-01T00:{round_:02d}:00.000000Z"
            yield Sent("PUT", f"{_LEASES}/node-{index}", lease)


async def write_costs() -> AsyncIterator[Row]:
    """Processor time of one write, by kind of write."""
    entry = TokenEntry(_TOKEN, "bench", "bench", ("system:masters",))
    server = ApiServer(MemoryStore(), ApiServerOptions(tokens=(entry,)))
    await server.start()
    tune_interpreter()
    try:
        admin = Client(server, "bench/v1")
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": objects.NAMESPACE}}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await admin.send(Sent("POST", "/api/v1/namespaces", space))
        await admin.send(Sent("POST", f"/api/v1/namespaces/{objects.NAMESPACE}/serviceaccounts", account))
        async for row in _creations(Client(server, "kube-controller-manager/v1")):
            yield row
        pods = [json.loads(server.objects.at_hand(_pod_row(server), key).raw) for key in _pod_keys(server)]
        async for row in _changes(server, pods):
            yield row
    finally:
        await server.stop()


def _pod_row(server: ApiServer) -> Any:
    return server.table.by_path("", "v1", "pods")


def _pod_keys(server: ApiServer) -> list[str]:
    return [server.objects.key_of(_pod_row(server), objects.NAMESPACE, f"owned-{i}") for i in range(_COUNT)]
