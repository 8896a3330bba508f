"""What every pod's worker shares: the node's runtime, API client, caches and settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Set
from typing import Protocol

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.client.rest import Client
from tiphys.kubelet.admission import Rejection
from tiphys.kubelet.allocation.allocator import Allocator
from tiphys.kubelet.cm.cgroups import Cgroups
from tiphys.kubelet.cm.devices import Extras
from tiphys.kubelet.images.manager import Images, Recorder
from tiphys.kubelet.kuberuntime.downward import PodAddresses
from tiphys.kubelet.kuberuntime.sandbox import NodeSettings
from tiphys.kubelet.objects import ObjectCache
from tiphys.kubelet.pleg import PodCache
from tiphys.kubelet.restarts import Pace
from tiphys.kubelet.runtime import Runtime, RuntimePod
from tiphys.kubelet.tracing import Tracing
from tiphys.kubelet.volumes.manager import Volumes


class Devices(Protocol):
    """Who hands out the node's devices (``cm.device_plugins``)."""

    def counts(self) -> dict[str, tuple[int, int]]: ...
    async def assign(self, pod: Object) -> Rejection | None: ...
    def release(self, uid: str) -> None: ...
    def keep_only(self, uids: Set[str]) -> None: ...
    async def extras(self, uid: str, container: str) -> Extras: ...


class NoDevices:
    """A node without device plugins."""

    def counts(self) -> dict[str, tuple[int, int]]:
        return {}

    async def assign(self, pod: Object) -> Rejection | None:
        return None

    def release(self, uid: str) -> None:
        return None

    def keep_only(self, uids: Set[str]) -> None:
        return None

    async def extras(self, uid: str, container: str) -> Extras:
        return Extras()


@dataclass(slots=True)
class NodeContext:
    """One for each kubelet; read by its pod workers."""

    name: str
    client: Client
    runtime: Runtime
    clock: Clock
    recorder: Recorder
    cache: PodCache
    objects: ObjectCache
    volumes: Volumes
    images: Images
    cgroups: Cgroups
    settings: NodeSettings
    services: Callable[[], list[Object]]
    """All Services of the cluster, for variables."""
    allocator: Allocator
    look_at_node: Callable[[], Awaitable[None]]
    """Have the allocator know the node's labels as they are now."""
    devices: Devices
    on_gone: Callable[[str], None]
    """A worker has finished with a pod for good: its UID."""
    node_hosts: str = "/etc/hosts"
    host_ips: tuple[str, ...] = ()
    tracing: Tracing | None = None
    pace: Pace | None = None
    """Of restarts, if it is not the usual one."""
    whole_pods: bool = True
    """Whether statuses tell what pods have as a whole."""

    def addresses(self, pod: Object, runtime: RuntimePod) -> PodAddresses:
        """Return the pod's addresses as far as they are known."""
        if pod["spec"].get("hostNetwork"):
            return PodAddresses(self.host_ips, self.host_ips)
        ips = runtime.sandbox.ips if runtime.sandbox else ()
        return PodAddresses(ips, self.host_ips)
