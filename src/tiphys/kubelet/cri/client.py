"""``Runtime`` over CRI: gRPC on a unix socket.

Owns the channel, deadlines, and turning CRI messages into ``kubelet.runtime`` values. gRPC's errors never
leave: they become ``RuntimeFailure``, or ``RuntimeUnavailable`` while the runtime is down; the channel
reconnects by itself when it returns.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from tiphys.apimachinery import tracing
from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.kubelet import counts
from tiphys.kubelet.cri.messages import CRI
from tiphys.kubelet.images.mount import mount_image, snapshotter_of
from tiphys.kubelet.runtime import (
    CONTAINER_NAME,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    Config,
    Container,
    ContainerState,
    ContainerStats,
    ExecResult,
    Image,
    RuntimeFailure,
    RuntimeHandler,
    RuntimeInfo,
    RuntimeUnavailable,
    Sandbox,
)

_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_CALL_S = 120.0
_PULL_S = 3600.0
_SANDBOX_S = 240.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_API_VERSION = "v1"
_READY = 0
_NODE = 2
_WORDS = re.compile(r"(?<!^)(?=[A-Z])")


@cache
def operation_of(method: str) -> str:
    """Return what upstream counts a call of CRI as. Pure."""
    name = _WORDS.sub("_", method).lower().replace("pod_sandbox", "podsandbox")
    return name.removesuffix("_resources")


def _time(nanoseconds: int) -> datetime | None:
    """Containerd keeps unset times at 0 and, before the start, at year 1."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000) if nanoseconds > 0 else None


def _value(message: Any, name: str) -> int | None:
    return int(getattr(message, name).value) if message.HasField(name) else None


class CriClient:
    """One runtime endpoint. Use as an async context manager, or call ``close``."""

    def __init__(self, endpoint: str, clock: Clock | None = None) -> None:
        """``endpoint`` is ``unix:///path/containerd.sock``, or the path alone."""
        self._clock = clock or RealClock()
        self.endpoint = endpoint if "://" in endpoint else f"unix://{endpoint}"
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[tuple[str, str], Any] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel. Idempotent."""
        channel, self._channel = self._channel, None
        self._calls.clear()
        if channel is not None:
            await channel.close(None)

    def _call(self, service: str, name: str) -> Any:
        call = self._calls.get((service, name))
        if call is None:
            if self._channel is None:
                options = [
                    # A socket's path is no valid authority for servers written in Go.
                    ("grpc.default_authority", "localhost"),
                    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
                    ("grpc.initial_reconnect_backoff_ms", 100),
                    ("grpc.min_reconnect_backoff_ms", 100),
                    ("grpc.max_reconnect_backoff_ms", 1000),
                    ("grpc.use_local_subchannel_pool", 1),
                ]
                self._channel = grpc.aio.insecure_channel(self.endpoint, options=options)
            method = CRI.method(service, name)
            call = self._channel.unary_unary(
                method.path, request_serializer=method.serialize, response_deserializer=method.deserialize
            )
            self._calls[service, name] = call
        return call

    async def call(self, service: str, name: str, *, timeout_s: float | None = _CALL_S, **fields: Any) -> Any:
        """Call any unary method with its request's fields; nested messages may be dicts.

        Raises:
            RuntimeUnavailable: nobody answers at the socket.
            RuntimeFailure: the runtime refused, or the deadline passed.
        """
        request = CRI.method(service, name).request(**fields)
        try:
            with counts.operation(operation_of(name), self._clock):
                if tracing.current() is None:
                    return await self._call(service, name)(request, timeout=timeout_s)
                with tracing.step(f"runtime.{_API_VERSION}.{service}/{name}", kind=tracing.CLIENT):
                    metadata = tuple(tracing.headers().items())
                    return await self._call(service, name)(request, timeout=timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            kind = RuntimeUnavailable if code == "UNAVAILABLE" else RuntimeFailure
            raise kind(code, error.details() or code) from error

    async def _runtime(self, name: str, *, timeout_s: float | None = _CALL_S, **fields: Any) -> Any:
        return await self.call("RuntimeService", name, timeout_s=timeout_s, **fields)

    async def _image(self, name: str, *, timeout_s: float = _CALL_S, **fields: Any) -> Any:
        return await self.call("ImageService", name, timeout_s=timeout_s, **fields)

    async def wait_ready(self, timeout_s: float) -> RuntimeInfo:
        """Wait until the runtime answers. Raises RuntimeFailure once ``timeout_s`` has passed."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        return await self.info()
                    except RuntimeUnavailable:
                        await asyncio.sleep(0.05)
        except TimeoutError as error:
            text = f"no container runtime answers at {self.endpoint} after {timeout_s:g} s"
            raise RuntimeUnavailable("UNAVAILABLE", text) from error

    async def info(self) -> RuntimeInfo:
        """Return who the runtime is and its conditions. Raises RuntimeFailure if it does not speak CRI v1."""
        version = await self._runtime("Version", timeout_s=5, version="0.1.0")
        if version.runtime_api_version != _API_VERSION:
            text = f"the runtime speaks CRI {version.runtime_api_version}, not {_API_VERSION}"
            raise RuntimeFailure("FAILED_PRECONDITION", text)
        answer = await self._runtime("Status", timeout_s=5)
        conditions = {item.type: item for item in answer.status.conditions}
        runtime, network = conditions.get("RuntimeReady"), conditions.get("NetworkReady")
        return RuntimeInfo(
            name=version.runtime_name,
            version=version.runtime_version,
            ready=bool(runtime and runtime.status),
            network_ready=bool(network and network.status),
            message=runtime.message if runtime else "",
            network_message=network.message if network else "",
            handlers=tuple(
                RuntimeHandler(
                    item.name, item.features.recursive_read_only_mounts, item.features.user_namespaces
                )
                for item in answer.runtime_handlers
            ),
            supplemental_groups_policy=(
                answer.features.supplemental_groups_policy if answer.HasField("features") else None
            ),
        )

    async def list_sandboxes(self, pod_uid: str = "") -> list[Sandbox]:
        """Return sandboxes without addresses (``sandbox_status`` has them)."""
        selector: dict[str, Any] = {"filter": {"label_selector": {POD_UID: pod_uid}}} if pod_uid else {}
        answer = await self._runtime("ListPodSandbox", **selector)
        return [_sandbox(item) for item in answer.items if POD_UID in item.labels]

    async def list_containers(self, pod_uid: str = "") -> list[Container]:
        """Return containers without times and exit codes (``container_status`` has them)."""
        selector: dict[str, Any] = {"filter": {"label_selector": {POD_UID: pod_uid}}} if pod_uid else {}
        answer = await self._runtime("ListContainers", **selector)
        return [_listed(item) for item in answer.containers if POD_UID in item.labels]

    async def sandbox_status(self, sandbox_id: str) -> Sandbox:
        answer = await self._runtime("PodSandboxStatus", pod_sandbox_id=sandbox_id)
        return _sandbox(answer.status)

    async def container_status(self, container_id: str) -> Container:
        return _detailed((await self._runtime("ContainerStatus", container_id=container_id)).status)

    async def run_sandbox(self, config: Config, handler: str = "") -> str:
        """Make and start a sandbox with one of the runtime's handlers; "" is its default."""
        answer = await self._runtime(
            "RunPodSandbox", timeout_s=_SANDBOX_S, config=config, runtime_handler=handler
        )
        return str(answer.pod_sandbox_id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._runtime("StopPodSandbox", timeout_s=_SANDBOX_S, pod_sandbox_id=sandbox_id)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._runtime("RemovePodSandbox", pod_sandbox_id=sandbox_id)

    async def create_container(self, sandbox_id: str, config: Config, sandbox_config: Config) -> str:
        answer = await self._runtime(
            "CreateContainer", pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox_config
        )
        return str(answer.container_id)

    async def start_container(self, container_id: str) -> None:
        await self._runtime("StartContainer", container_id=container_id)

    async def stop_container(self, container_id: str, timeout_s: int) -> None:
        await self._runtime(
            "StopContainer", timeout_s=timeout_s + _CALL_S, container_id=container_id, timeout=timeout_s
        )

    async def remove_container(self, container_id: str) -> None:
        await self._runtime("RemoveContainer", container_id=container_id)

    async def update_resources(self, container_id: str, linux: Config) -> None:
        await self._runtime("UpdateContainerResources", container_id=container_id, linux=linux)

    async def reopen_log(self, container_id: str) -> None:
        await self._runtime("ReopenContainerLog", container_id=container_id)

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: int) -> ExecResult:
        """Run to the end; a command over its time (0: any) raises RuntimeFailure with DEADLINE_EXCEEDED."""
        answer = await self._runtime(
            "ExecSync",
            timeout_s=timeout_s + 10 if timeout_s else None,
            container_id=container_id,
            cmd=list(command),
            timeout=timeout_s,
        )
        return ExecResult(answer.exit_code, answer.stdout + answer.stderr, answer.stderr)

    async def stream_url(self, call: str, request: Config) -> str:
        """Return where to stream: ``call`` is Exec, Attach or PortForward."""
        return str((await self._runtime(call, **request)).url)

    async def checkpoint_container(self, container_id: str, location: str, timeout_s: int) -> None:
        fields: dict[str, Any] = {"container_id": container_id, "location": location, "timeout": timeout_s}
        await self._runtime("CheckpointContainer", timeout_s=timeout_s, **fields)

    async def container_stats(self) -> list[ContainerStats]:
        answer = await self._runtime("ListContainerStats")
        return [_stats(item) for item in answer.stats]

    async def list_images(self) -> list[Image]:
        return [_to_image(item) for item in (await self._image("ListImages")).images]

    async def image_status(self, image: str) -> Image | None:
        """Return the image, or None if it is not on this node."""
        answer = await self._image("ImageStatus", image={"image": image})
        return _to_image(answer.image) if answer.HasField("image") and answer.image.id else None

    async def pull_image(self, image: str, auth: Config | None, sandbox_config: Config) -> str:
        fields: dict[str, Any] = {"image": {"image": image}, "sandbox_config": sandbox_config}
        if auth:
            fields["auth"] = auth
        return str((await self._image("PullImage", timeout_s=_PULL_S, **fields)).image_ref)

    async def remove_image(self, image: str) -> None:
        await self._image("RemoveImage", image={"image": image})

    async def image_fs_bytes(self) -> int:
        answer = await self._image("ImageFsInfo")
        return sum(int(item.used_bytes.value) for item in answer.image_filesystems)

    async def mount_image(self, image: Image, target: Path) -> None:
        """Mount an image's files read-only. Raises RuntimeFailure."""
        answer = await self._image("ImageFsInfo")
        folders = [item.fs_id.mountpoint for item in answer.image_filesystems]
        socket = Path(self.endpoint.removeprefix("unix://"))
        await mount_image(socket, image, snapshotter_of(folders[0] if folders else ""), target)


def _sandbox(item: Any) -> Sandbox:
    ips: tuple[str, ...] = ()
    host_network = False
    if hasattr(item, "network"):
        first = [item.network.ip] if item.network.ip else []
        ips = (*first, *(more.ip for more in item.network.additional_ips))
        host_network = item.linux.namespaces.options.network == _NODE
    return Sandbox(
        id=item.id,
        pod_uid=item.labels.get(POD_UID, ""),
        name=item.labels.get(POD_NAME, ""),
        namespace=item.labels.get(POD_NAMESPACE, ""),
        attempt=item.metadata.attempt,
        ready=item.state == _READY,
        created_at=_time(item.created_at) or _EPOCH,
        ips=ips,
        host_network=host_network,
    )


def _listed(item: Any) -> Container:
    return Container(
        id=item.id,
        name=item.labels.get(CONTAINER_NAME, ""),
        pod_uid=item.labels.get(POD_UID, ""),
        sandbox_id=item.pod_sandbox_id,
        attempt=item.metadata.attempt,
        state=ContainerState(item.state),
        created_at=_time(item.created_at) or _EPOCH,
        image=item.image.image,
        image_id=item.image_ref,
        annotations=dict(item.annotations),
    )


def _detailed(item: Any) -> Container:
    return Container(
        id=item.id,
        name=item.labels.get(CONTAINER_NAME, ""),
        pod_uid=item.labels.get(POD_UID, ""),
        sandbox_id="",
        attempt=item.metadata.attempt,
        state=ContainerState(item.state),
        created_at=_time(item.created_at) or _EPOCH,
        started_at=_time(item.started_at),
        finished_at=_time(item.finished_at),
        exit_code=item.exit_code,
        reason=item.reason,
        message=item.message,
        image=item.image.image,
        image_id=item.image_ref,
        log_path=item.log_path,
        annotations=dict(item.annotations),
    )


def _stats(item: Any) -> ContainerStats:
    return ContainerStats(
        id=item.attributes.id,
        name=item.attributes.labels.get(CONTAINER_NAME, ""),
        pod_uid=item.attributes.labels.get(POD_UID, ""),
        timestamp_ns=item.cpu.timestamp,
        cpu_nanoseconds=_value(item.cpu, "usage_core_nano_seconds"),
        memory_working_set_bytes=_value(item.memory, "working_set_bytes"),
        memory_usage_bytes=_value(item.memory, "usage_bytes"),
        memory_rss_bytes=_value(item.memory, "rss_bytes"),
        filesystem_bytes=_value(item.writable_layer, "used_bytes"),
    )


def _to_image(item: Any) -> Image:
    return Image(
        id=item.id,
        tags=tuple(item.repo_tags),
        digests=tuple(item.repo_digests),
        size_bytes=item.size,
        uid=_value(item, "uid"),
        username=item.username,
    )
