"""Simulated nodes: pods bound to them run at once, without containers.

For tests and benchmarks of everything above the kubelet. One informer serves all simulated nodes. A pod
becomes Running and Ready with an address of its node's range; a pod that should end (restartPolicy other
than Always and the annotation ``tiphys.dev/exit-code``) ends with that code; a deleted pod is gone at
once, or has failed where a finalizer holds it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from tiphys.apimachinery.clock import Clock, RealClock, rfc3339, rfc3339_micro
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import AlreadyExists, Conflict, NotFound, ServiceUnavailable
from tiphys.apimachinery.meta import Object, get_condition, object_key, split_key
from tiphys.apimachinery.release import RELEASE
from tiphys.apis.defaulting import peek
from tiphys.client.controller import run_controller
from tiphys.client.informer import Informer, InformerSet
from tiphys.client.kinds import LEASES, NODES, PODS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.client.workqueue import WorkQueue
from tiphys.testing.usage import Meters

EXIT_CODE = "tiphys.dev/exit-code"
_LEASE_NAMESPACE = "kube-node-lease"
_LEASE_SECONDS = 40
_RENEW_EVERY_S = 10.0
_REGISTER_AGAIN_S = 0.2
_WORKERS = 16


@dataclass(frozen=True, slots=True)
class NodeShape:
    """What every simulated node offers."""

    cpu: str = "8"
    memory: str = "32Gi"
    pods: str = "110"


def node_name(index: int) -> str:
    return f"node-{index}"


def node_object(index: int, shape: NodeShape, now: str) -> Object:
    """Return node number ``index`` (from 1), Ready."""
    name = node_name(index)
    amounts = {"cpu": shape.cpu, "memory": shape.memory, "pods": shape.pods, "ephemeral-storage": "100Gi"}
    address = f"172.28.{index // 256}.{index % 256}"
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "simulated node is ready",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": f"10.{64 + index // 256}.{index % 256}.0/24"},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "conditions": [ready],
            "declaredFeatures": [
                "InPlacePodLevelResourcesVerticalScaling", "RestartAllContainersOnContainerExits",
            ],
            "nodeInfo": {
                "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "simulated://1",
                "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": RELEASE, "machineID": "",
                "operatingSystem": "linux", "osImage": "simulated", "systemUUID": "",
            },
        },
    }  # fmt: skip


def pod_status(pod: Object, pod_ip: str, host_ip: str, now: str) -> dict[str, Any]:
    """Return the status of a pod that runs (or has ended, if it says it should)."""
    annotations = pod["metadata"].get("annotations") or {}
    ends = EXIT_CODE in annotations and pod["spec"].get("restartPolicy", "Always") != "Always"
    code = int(annotations.get(EXIT_CODE, 0))
    phase = ("Failed" if code else "Succeeded") if ends else "Running"
    finished = {
        "exitCode": code,
        "reason": "Error" if code else "Completed",
        "startedAt": now,
        "finishedAt": now,
    }
    state = {"terminated": finished} if ends else {"running": {"startedAt": now}}
    ready = "False" if ends else "True"
    values = {"Initialized": "True", "Ready": ready, "ContainersReady": ready, "PodScheduled": "True"}
    return {
        "phase": phase,
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "startTime": now,
        "conditions": [
            {"type": type_, "status": value, "lastProbeTime": None, "lastTransitionTime": now}
            for type_, value in values.items()
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container.get("image", ""),
                "imageID": "",
                "containerID": f"simulated://{pod['metadata']['uid']}/{container['name']}",
                "ready": not ends,
                "started": not ends,
                "restartCount": 0,
                "state": state,
            }
            for container in pod["spec"]["containers"]
        ],
    }


def is_doubted(pod: Object) -> bool:
    """Whether the controller manager said that a pod is not ready, as it does of nodes that fell silent.

    A kubelet that lives takes that back. What others say of readiness, tests above all, it lets stand.
    """
    if (get_condition(pod, "Ready") or {}).get("status") != "False":
        return False
    return any(
        "f:status" in peek(entry, "fieldsV1", "f:status", "f:conditions", 'k:{"type":"Ready"}')
        for entry in pod["metadata"].get("managedFields") or ()
        if entry.get("manager") == "kube-controller-manager"
    )


class SimulatedNodes:
    """Registers ``count`` nodes and plays their kubelets until cancelled."""

    def __init__(
        self, client: Client, count: int, *, shape: NodeShape | None = None, clock: Clock | None = None
    ) -> None:
        self._client = client
        self._count = count
        self._shape = shape or NodeShape()
        self._clock = clock or RealClock()
        self._nodes = {node_name(index): index for index in range(1, count + 1)}
        self._informers = InformerSet(client)
        self._pods: Informer = self._informers.get(PODS, field_selector="spec.nodeName!=")
        self._queue = WorkQueue("simulated-nodes", clock=self._clock)
        self._next_address = dict.fromkeys(self._nodes, 1)
        self._stopped: set[str] = set()
        self._meters = {name: Meters() for name in self._nodes}

    async def register(self) -> None:
        """Create the nodes (those that exist are taken over)."""
        async with asyncio.TaskGroup() as group:
            for index in self._nodes.values():
                group.create_task(self._register_one(index))

    async def run(self) -> None:
        self._pods.add_handler(self._on_pod)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            group.create_task(self._renew_forever())
            group.create_task(run_controller(self._queue, self._reconcile, workers=_WORKERS))

    async def _register_one(self, index: int) -> None:
        while True:
            try:
                return await self._try_to_register(index)
            except TransportError:
                await asyncio.sleep(_REGISTER_AGAIN_S)

    async def _try_to_register(self, index: int) -> None:
        node = node_object(index, self._shape, rfc3339(self._clock.now()))
        name = node_name(index)
        try:
            await self._client.create(NODES, node)
        except AlreadyExists:
            await self._client.patch(NODES, name, "", {"status": node["status"]}, subresource="status")
        # Every new node is tainted not-ready; these are ready from the start, with or without controllers.
        await self._client.patch(NODES, name, "", {"spec": {"taints": None}})

    def has(self, name: str) -> bool:
        return name in self._nodes

    def stop(self, name: str) -> None:
        """Let a node's kubelet fall silent: no heartbeat, no answer to what becomes of its pods."""
        self._stopped.add(name)

    async def start(self, name: str) -> None:
        """Bring a silent kubelet back: it says that it is ready and catches up on its pods."""
        self._stopped.discard(name)
        await self._register_one(self._nodes[name])
        for pod in self._pods.list():
            self._on_pod(None, pod)

    def usage(self, name: str) -> str:
        """Return what a node's kubelet would say at ``/metrics/resource``."""
        running = [
            pod
            for pod in self._pods.list()
            if pod["spec"].get("nodeName") == name and (pod.get("status") or {}).get("phase") == "Running"
        ]
        return self._meters[name].read(running, self._clock.now().timestamp())

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        node = pod["spec"].get("nodeName") if pod is not None else None
        if pod is not None and node in self._nodes and node not in self._stopped:
            self._queue.add(object_key(pod))

    async def _reconcile(self, key: str) -> float | None:
        pod = self._pods.get(key)
        if pod is None or pod["spec"]["nodeName"] in self._stopped:
            return None
        namespace, name = split_key(key)
        uid = pod["metadata"]["uid"]
        try:
            if pod["metadata"].get("deletionTimestamp"):
                await self._end(pod, name, namespace)
                await self._client.delete(PODS, name, namespace, grace_period_s=0, uid=uid)
            elif (pod.get("status") or {}).get("phase", "Pending") == "Pending":
                await self._start(pod, name, namespace)
            elif is_doubted(pod):
                await self._say_ready(pod, name, namespace)
        except (NotFound, Conflict):
            return None
        return None

    async def _end(self, pod: Object, name: str, namespace: str) -> None:
        """Report a pod that finalizers hold as ended: it was killed."""
        ended = (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")
        if pod["metadata"].get("finalizers") and not ended:
            patch = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"phase": "Failed"}}
            await self._client.patch(PODS, name, namespace, patch, type="strategic", subresource="status")

    async def _start(self, pod: Object, name: str, namespace: str) -> None:
        node = pod["spec"]["nodeName"]
        index, number = self._nodes[node], self._next_address[node]
        self._next_address[node] = number % 254 + 1
        host_ip = f"172.28.{index // 256}.{index % 256}"
        pod_ip = (
            host_ip if pod["spec"].get("hostNetwork") else f"10.{64 + index // 256}.{index % 256}.{number}"
        )
        status = pod_status(pod, pod_ip, host_ip, rfc3339(self._clock.now()))
        patch = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        await self._client.patch(PODS, name, namespace, patch, type="strategic", subresource="status")

    async def _say_ready(self, pod: Object, name: str, namespace: str) -> None:
        now = rfc3339(self._clock.now())
        status = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}]}
        patch = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        await self._client.patch(PODS, name, namespace, patch, type="strategic", subresource="status")

    async def _renew_forever(self) -> None:
        while True:
            for name in self._nodes.keys() - self._stopped:
                with suppress(TransportError, ServiceUnavailable):  # a lease outlives a server's restart
                    await self._renew(name)
            await asyncio.sleep(_RENEW_EVERY_S)

    async def _renew(self, name: str) -> None:
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": _LEASE_SECONDS,
            "renewTime": rfc3339_micro(self._clock.now()),
        }
        metadata = {"name": name, "namespace": _LEASE_NAMESPACE}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            await self._client.patch(LEASES, name, _LEASE_NAMESPACE, {"spec": spec})
        except NotFound:
            try:
                await self._client.create(LEASES, lease)
            except (AlreadyExists, NotFound):
                return
