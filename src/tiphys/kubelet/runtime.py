"""What the kubelet knows of a container runtime: its state as plain values, and the calls it takes.

Owns the words between the kubelet and CRI: labels that tie containers to pods, snapshots of pods. The pure
parts read only these values; ``cri.client`` and the tests' fake implement ``Runtime``. Configurations are
dicts with CRI's own field names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"

CONTAINER_HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod"
CONTAINER_RESOURCES = "tiphys.io/resources"
LIFE = "tiphys.io/life"

Config = dict[str, Any]


class RuntimeFailure(TiphysError):
    """The runtime refused a call; ``code`` is gRPC's (``NOT_FOUND``)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.said = message
        """The runtime's own words."""

    def __str__(self) -> str:
        grpc_code = "".join(part.title() for part in self.code.split("_"))
        return f"rpc error: code = {grpc_code} desc = {self.said}"


class RuntimeUnavailable(RuntimeFailure):
    """The runtime is not there (starting, restarting, gone): worth another try."""


RUNTIME_ERRORS = (RuntimeFailure, OSError)
"""What an action on the node may fail with; another try may help."""


class ContainerState(Enum):
    """CRI's container states."""

    CREATED = 0
    RUNNING = 1
    EXITED = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod sandbox; ``ips`` is empty on the host's network."""

    id: str
    pod_uid: str
    name: str
    namespace: str
    attempt: int
    ready: bool
    created_at: datetime
    ips: tuple[str, ...] = ()
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """A container, alive or dead, as the runtime reports it."""

    id: str
    name: str
    pod_uid: str
    sandbox_id: str
    attempt: int
    state: ContainerState
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    log_path: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def restart_count(self) -> int:
        """How often this container was started before."""
        text = self.annotations.get(RESTART_COUNT, "")
        return int(text) if text.isdigit() else self.attempt

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self.state is ContainerState.RUNNING


@dataclass(frozen=True, slots=True)
class RuntimePod:
    """All the runtime has of one pod, newest first."""

    uid: str
    name: str = ""
    namespace: str = ""
    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()

    @property
    def sandbox(self) -> Sandbox | None:
        """The newest sandbox."""
        return self.sandboxes[0] if self.sandboxes else None

    def latest(self, name: str) -> Container | None:
        """Return the newest container of that name."""
        return next((item for item in self.containers if item.name == name), None)

    def all_of(self, name: str) -> list[Container]:
        """Return every container of that name, newest first."""
        return [item for item in self.containers if item.name == name]

    @property
    def alive(self) -> bool:
        """Whether anything of the pod still runs."""
        return any(item.running for item in self.containers) or any(item.ready for item in self.sandboxes)


def assemble(sandboxes: Iterable[Sandbox], containers: Iterable[Container]) -> dict[str, RuntimePod]:
    """Group by pod UID, newest first."""
    by_uid: dict[str, tuple[list[Sandbox], list[Container]]] = {}
    names: dict[str, tuple[str, str]] = {}
    for sandbox in sandboxes:
        by_uid.setdefault(sandbox.pod_uid, ([], []))[0].append(sandbox)
        names[sandbox.pod_uid] = (sandbox.name, sandbox.namespace)
    for container in containers:
        by_uid.setdefault(container.pod_uid, ([], []))[1].append(container)
    pods = {}
    for uid, (own_sandboxes, own_containers) in by_uid.items():
        own_sandboxes.sort(key=lambda item: (item.created_at, item.attempt), reverse=True)
        own_containers.sort(key=lambda item: (item.created_at, item.attempt), reverse=True)
        name, namespace = names.get(uid, ("", ""))
        pods[uid] = RuntimePod(uid, name, namespace, tuple(own_sandboxes), tuple(own_containers))
    return pods


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the node's store."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size_bytes: int
    uid: int | None = None
    username: str = ""

    @property
    def ref(self) -> str:
        """What ``imageID`` of a container status says: a digest reference where there is one."""
        return self.digests[0] if self.digests else self.id


@dataclass(frozen=True, slots=True)
class ExecResult:
    """The end of a command run in a container."""

    exit_code: int
    output: bytes
    """All that it said, its errors behind the rest."""
    stderr: bytes = b""


@dataclass(frozen=True, slots=True)
class RuntimeHandler:
    """A handler that runtime classes may name, and what it can do; "" is the default one."""

    name: str
    recursive_read_only_mounts: bool = False
    user_namespaces: bool = False


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """Name, version, the two conditions CRI reports, and what newer runtimes say they can do."""

    name: str
    version: str
    ready: bool
    network_ready: bool
    message: str = ""
    network_message: str = ""
    handlers: tuple[RuntimeHandler, ...] = ()
    supplemental_groups_policy: bool | None = None
    """None: the runtime does not say."""


@dataclass(frozen=True, slots=True)
class ContainerStats:
    """Usage of one container; None where the runtime does not say."""

    id: str
    name: str
    pod_uid: str
    timestamp_ns: int
    cpu_nanoseconds: int | None = None
    memory_working_set_bytes: int | None = None
    memory_usage_bytes: int | None = None
    memory_rss_bytes: int | None = None
    filesystem_bytes: int | None = None


class Runtime(Protocol):
    """The calls that the kubelet makes. All raise ``RuntimeFailure``."""

    async def info(self) -> RuntimeInfo: ...
    async def list_sandboxes(self, pod_uid: str = "") -> Sequence[Sandbox]: ...
    async def list_containers(self, pod_uid: str = "") -> Sequence[Container]: ...
    async def sandbox_status(self, sandbox_id: str) -> Sandbox: ...
    async def container_status(self, container_id: str) -> Container: ...
    async def run_sandbox(self, config: Config, handler: str = "") -> str: ...
    async def stop_sandbox(self, sandbox_id: str) -> None: ...
    async def remove_sandbox(self, sandbox_id: str) -> None: ...
    async def create_container(self, sandbox_id: str, config: Config, sandbox_config: Config) -> str: ...
    async def start_container(self, container_id: str) -> None: ...
    async def stop_container(self, container_id: str, timeout_s: int) -> None: ...
    async def remove_container(self, container_id: str) -> None: ...
    async def update_resources(self, container_id: str, linux: Config) -> None: ...
    async def checkpoint_container(self, container_id: str, location: str, timeout_s: int) -> None: ...
    async def reopen_log(self, container_id: str) -> None: ...
    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: int) -> ExecResult: ...
    async def stream_url(self, call: str, request: Config) -> str: ...
    async def container_stats(self) -> Sequence[ContainerStats]: ...
    async def list_images(self) -> Sequence[Image]: ...
    async def image_status(self, image: str) -> Image | None: ...
    async def pull_image(self, image: str, auth: Config | None, sandbox_config: Config) -> str: ...
    async def remove_image(self, image: str) -> None: ...
    async def image_fs_bytes(self) -> int: ...
    async def mount_image(self, image: Image, target: Path) -> None: ...
