"""A container runtime in memory, for tests of the kubelet: sandboxes, containers and images as values.

Implements ``kubelet.runtime.Runtime``. Containers run until a test ends them with ``exit``; ``calls`` lists
what was asked, ``fail`` makes a call raise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.kubelet import runtime as words
from tiphys.kubelet.runtime import (
    Config,
    Container,
    ContainerState,
    ContainerStats,
    ExecResult,
    Image,
    RuntimeFailure,
    RuntimeInfo,
    Sandbox,
)


def _found(table, key):
    """Answer as a runtime does when something went between a list and the look at one of it."""
    if key not in table:
        raise RuntimeFailure("NOT_FOUND", f"{key}: not found")
    return table[key]


class FakeRuntime:
    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or RealClock()
        self.sandboxes: dict[str, Sandbox] = {}
        self.containers: dict[str, Container] = {}
        self.configs: dict[str, Config] = {}
        self.images: dict[str, Image] = {}
        self.calls: list[tuple[str, str]] = []
        self.fail: dict[str, RuntimeFailure] = {}
        self.pullable: set[str] = set()
        self.network_ready = True
        self.handlers = {"", "runc"}
        self.exec_answer: Callable[[Sequence[str]], ExecResult] = lambda command: ExecResult(0, b"")
        self.exit_on_start: dict[str, int] = {}
        """Containers by name that end at once, with this code."""
        self._serial = 0

    def add_image(self, name: str, *, uid: int | None = None, username: str = "", size: int = 1000) -> Image:
        image = Image(f"sha256:{len(self.images):064x}", (name,), (), size, uid, username)
        self.images[name] = image
        return image

    def exit(self, name: str, code: int = 0, reason: str = "") -> None:
        """End the running container of that name."""
        for key, item in self.containers.items():
            if item.name == name and item.running:
                self._end(key, code, reason)
                return
        raise AssertionError(f"no running container {name}")

    def names(self, call: str) -> list[str]:
        return [what for name, what in self.calls if name == call]

    def _end(self, key: str, code: int, reason: str = "") -> None:
        item = self.containers[key]
        self.containers[key] = replace(
            item,
            state=ContainerState.EXITED,
            exit_code=code,
            reason=reason or ("Completed" if code == 0 else "Error"),
            finished_at=self.clock.now(),
        )

    def _call(self, name: str, what: str = "") -> None:
        self.calls.append((name, what))
        if name in self.fail:
            raise self.fail[name]

    def _new_id(self) -> str:
        self._serial += 1
        return f"{self._serial:064x}"

    async def info(self) -> RuntimeInfo:
        self._call("info")
        return RuntimeInfo("containerd", "1.6.20", True, self.network_ready, "", "cni plugin not initialized")

    async def list_sandboxes(self, pod_uid: str = "") -> list[Sandbox]:
        if "list" in self.fail:
            raise self.fail["list"]
        return [item for item in self.sandboxes.values() if pod_uid in ("", item.pod_uid)]

    async def list_containers(self, pod_uid: str = "") -> list[Container]:
        return [item for item in self.containers.values() if pod_uid in ("", item.pod_uid)]

    async def sandbox_status(self, sandbox_id: str) -> Sandbox:
        return _found(self.sandboxes, sandbox_id)

    async def container_status(self, container_id: str) -> Container:
        return _found(self.containers, container_id)

    async def run_sandbox(self, config: Config, handler: str = "") -> str:
        self._call("run_sandbox", config["metadata"]["name"])
        if handler not in self.handlers:
            text = f'failed to get sandbox runtime: no runtime for "{handler}" is configured'
            raise RuntimeFailure("UNKNOWN", text)
        key = self._new_id()
        labels = config["labels"]
        network = config["linux"]["security_context"]["namespace_options"]["network"]
        self.sandboxes[key] = Sandbox(
            id=key,
            pod_uid=labels[words.POD_UID],
            name=labels[words.POD_NAME],
            namespace=labels[words.POD_NAMESPACE],
            attempt=config["metadata"]["attempt"],
            ready=True,
            created_at=self.clock.now(),
            ips=() if network == 2 else (f"10.0.0.{self._serial}",),
            host_network=network == 2,
        )
        self.configs[key] = config
        return key

    async def stop_sandbox(self, sandbox_id: str) -> None:
        self._call("stop_sandbox", sandbox_id)
        self.sandboxes[sandbox_id] = replace(self.sandboxes[sandbox_id], ready=False)
        for key, item in self.containers.items():
            if item.sandbox_id == sandbox_id and item.running:
                self._end(key, 137)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        self._call("remove_sandbox", sandbox_id)
        self.sandboxes.pop(sandbox_id, None)
        self.containers = {k: v for k, v in self.containers.items() if v.sandbox_id != sandbox_id}

    async def create_container(self, sandbox_id: str, config: Config, sandbox_config: Config) -> str:
        self._call("create_container", config["metadata"]["name"])
        key = self._new_id()
        self.containers[key] = Container(
            id=key,
            name=config["metadata"]["name"],
            pod_uid=config["labels"][words.POD_UID],
            sandbox_id=sandbox_id,
            attempt=config["metadata"]["attempt"],
            state=ContainerState.CREATED,
            created_at=self.clock.now(),
            image=config["image"]["user_specified_image"],
            image_id=config["image"]["image"],
            log_path=f"{sandbox_config['log_directory']}/{config['log_path']}",
            annotations=config["annotations"],
        )
        self.configs[key] = config
        return key

    async def start_container(self, container_id: str) -> None:
        name = self.containers[container_id].name
        self._call("start_container", name)
        self.containers[container_id] = replace(
            self.containers[container_id], state=ContainerState.RUNNING, started_at=self.clock.now()
        )
        if name in self.exit_on_start:
            self._end(container_id, self.exit_on_start[name])

    async def stop_container(self, container_id: str, timeout_s: int) -> None:
        self._call("stop_container", self.containers[container_id].name)
        if self.containers[container_id].running:
            self._end(container_id, 0)

    async def remove_container(self, container_id: str) -> None:
        self._call("remove_container", container_id)
        self.containers.pop(container_id, None)

    async def update_resources(self, container_id: str, linux: Config) -> None:
        self._call("update_resources", container_id)

    async def checkpoint_container(self, container_id: str, location: str, timeout_s: int) -> None:
        self._call("checkpoint_container", f"{container_id} {location} {timeout_s}")

    async def reopen_log(self, container_id: str) -> None:
        self._call("reopen_log", container_id)

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: int) -> ExecResult:
        self._call("exec_sync", " ".join(command))
        return self.exec_answer(command)

    async def stream_url(self, call: str, request: Config) -> str:
        self._call(call, str(request.get("cmd", "")))
        return "http://127.0.0.1:1/exec/token"

    async def container_stats(self) -> list[ContainerStats]:
        return [
            ContainerStats(
                item.id, item.name, item.pod_uid, 1_000_000_000, 5_000_000_000, 1024, 2048, 512, 99
            )
            for item in self.containers.values()
            if item.running
        ]

    async def list_images(self) -> list[Image]:
        return list(self.images.values())

    async def image_status(self, image: str) -> Image | None:
        return self.images.get(image)

    async def pull_image(self, image: str, auth: Config | None, sandbox_config: Config) -> str:
        self._call("pull_image", image)
        if image not in self.pullable:
            raise RuntimeFailure("NOT_FOUND", f"{image}: not found")
        return self.add_image(image).id

    async def remove_image(self, image: str) -> None:
        self._call("remove_image", image)
        self.images = {name: item for name, item in self.images.items() if item.id != image}

    async def mount_image(self, image: Image, target: Path) -> None:
        self._call("mount_image", image.tags[0])
        target.mkdir(parents=True)  # noqa: ASYNC240

    async def image_fs_bytes(self) -> int:
        return 0
