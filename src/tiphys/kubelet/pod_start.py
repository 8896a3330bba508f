"""Carrying out a plan's starts: sandbox, images, containers, postStart hooks.

Owns the order of calls and the events people see. What goes wrong with one container becomes its waiting
reason and does not stop the others.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.client.kinds import CONFIG_MAPS, RUNTIME_CLASSES, SECRETS
from tiphys.client.transport import TransportError
from tiphys.kubelet import counts
from tiphys.kubelet.cm.devices import DeviceProblem
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.images.manager import ImageProblem
from tiphys.kubelet.kuberuntime.containers import ContainerInputs, container_config
from tiphys.kubelet.kuberuntime.downward import DownwardProblem
from tiphys.kubelet.kuberuntime.env import EnvFile, EnvProblem, EnvSources, files_of, make_env, referenced
from tiphys.kubelet.kuberuntime.hooks import HookFailure, run_hook
from tiphys.kubelet.kuberuntime.mounts import container_mounts, write_hosts
from tiphys.kubelet.kuberuntime.network import hosts_file
from tiphys.kubelet.kuberuntime.sandbox import log_directory, sandbox_config
from tiphys.kubelet.kuberuntime.security import SecurityProblem, no_users_of_its_own, verify_non_root
from tiphys.kubelet.lifecycle import START, Plan, Start, Waiting
from tiphys.kubelet.probes.run import Target
from tiphys.kubelet.restarts import BackoffEntry
from tiphys.kubelet.runtime import (
    Config,
    ContainerState,
    Image,
    RuntimeFailure,
    RuntimePod,
    RuntimeUnavailable,
)
from tiphys.kubelet.volumes.manager import Mounted
from tiphys.kubelet.volumes.mount import is_mount
from tiphys.kubelet.volumes.payload import VolumeProblem, secret_data
from tiphys.kubelet.volumes.subpath import read_below

log = logging.getLogger(__name__)

_RETRY_S = 2.0
_SANDBOX_RETRY_S = 5.0
_VOLUME_RETRY_S = 2.0
_START_RETRY_S = 10.0
_ENDED_RETRY_S = 1.0
"""Where a container is left that could not start: it has ended, and back-off takes over."""
_ENV_FILE_BYTES = 1024 * 1024


class StartProblem(Exception):
    """Why one container did not start; becomes its waiting state."""

    def __init__(self, waiting: Waiting, retry_s: float) -> None:
        super().__init__(waiting.message)
        self.waiting = waiting
        self.retry_s = retry_s


@dataclass(frozen=True, slots=True)
class _Part:
    """One container of a pod, of whatever kind, and where its spec is (events name that)."""

    pod: Object
    container: dict[str, Any]
    path: str

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])


@dataclass(slots=True)
class Outcome:
    """What the worker must remember of a round of starts."""

    waiting: dict[str, Waiting] = field(default_factory=dict)
    retry_at: dict[str, datetime] = field(default_factory=dict)
    backoffs: dict[str, BackoffEntry] = field(default_factory=dict)
    hooked: set[str] = field(default_factory=set)
    """Ids of containers started, postStart hook done."""
    tried: set[str] = field(default_factory=set)


def find_container(pod: Object, name: str) -> tuple[dict[str, Any], str]:
    """Return a container of any kind and its field path. Raises KeyError."""
    for key in ("containers", "initContainers", "ephemeralContainers"):
        for container in pod["spec"].get(key) or ():
            if container["name"] == name:
                return container, f"spec.{key}{{{name}}}"
    raise KeyError(name)


class PodStarter:
    """Starts what a plan says, for one pod."""

    def __init__(self, node: NodeContext) -> None:
        self._node = node
        self._volume_failures = 0
        self._life = ""

    async def run(self, pod: Object, plan: Plan) -> Outcome:
        """Make the sandbox or start the containers of a plan. Raises RuntimeUnavailable."""
        outcome = Outcome()
        self._life = plan.life
        uid = pod["metadata"]["uid"]
        runtime = self._node.cache.get(uid)
        try:
            volumes = await self._node.volumes.setup(pod, self._node.addresses(pod, runtime))
            self._volume_failures = 0
        except VolumeProblem as problem:
            self._node.recorder.record(pod, "Warning", "FailedMount", str(problem))
            delay = min(_VOLUME_RETRY_S * 2**self._volume_failures, 120.0) / 4
            self._volume_failures += 1
            for key in (START, *(start.name for start in plan.starts)):
                outcome.retry_at[key] = self._after(delay)
            return outcome
        if plan.new_sandbox:
            await self._make_sandbox(pod, plan.sandbox_attempt, outcome)
            return outcome
        for start in plan.starts:
            await self._start_one(pod, start, volumes, outcome)
        return outcome

    def _after(self, seconds: float) -> datetime:
        return self._node.clock.now() + timedelta(seconds=seconds)

    def _sandbox_config(self, pod: Object, attempt: int) -> Config:
        return sandbox_config(pod, attempt, self._node.settings, self._node.cgroups.parent(pod))

    async def _make_sandbox(self, pod: Object, attempt: int, outcome: Outcome) -> None:
        counts.STARTED_PODS.labels().inc()
        await asyncio.to_thread(self._prepare, pod)
        try:
            handler = await self._handler(pod)
            if pod["spec"].get("hostUsers") is False:
                known = [one.name for one in (await self._node.runtime.info()).handlers]
                raise SecurityProblem(no_users_of_its_own(handler, known))
            with counts.sandbox(handler, self._node.clock):
                sandbox_id = await self._node.runtime.run_sandbox(self._sandbox_config(pod, attempt), handler)
        except RuntimeUnavailable:
            raise
        except (RuntimeFailure, StatusError, TransportError, SecurityProblem) as error:
            text = f"Failed to create pod sandbox: {error}"
            self._node.recorder.record(pod, "Warning", "FailedCreatePodSandBox", text)
            outcome.retry_at[START] = self._after(_SANDBOX_RETRY_S)
            counts.STARTED_PODS_ERRORS.labels().inc()
            return
        log.info("sandbox made pod=%s id=%s", pod["metadata"]["name"], sandbox_id[:12])
        runtime = await self._node.cache.refresh(pod["metadata"]["uid"])
        await asyncio.to_thread(self._write_hosts, pod, runtime)

    async def _handler(self, pod: Object) -> str:
        """Return what the runtime calls the pod's RuntimeClass. Raises StatusError, TransportError."""
        name = pod["spec"].get("runtimeClassName")
        if not name:
            return ""
        return str((await self._node.client.get(RUNTIME_CLASSES, name)).get("handler", ""))

    def _prepare(self, pod: Object) -> None:
        Path(log_directory(pod, self._node.settings.logs_dir)).mkdir(parents=True, exist_ok=True)
        self._node.cgroups.apply(pod)

    def _write_hosts(self, pod: Object, runtime: RuntimePod) -> None:
        ips = runtime.sandbox.ips if runtime.sandbox else ()
        own = ""
        if pod["spec"].get("hostNetwork"):
            path = Path(self._node.node_hosts)
            own = path.read_text() if path.exists() else ""
        text = hosts_file(pod, ips, self._node.settings.cluster_domain, own)
        write_hosts(self._node.volumes.pod_dir(pod["metadata"]["uid"]), text)

    async def _start_one(
        self, pod: Object, start: Start, volumes: dict[str, Mounted], outcome: Outcome
    ) -> None:
        part = _Part(pod, *find_container(pod, start.name))
        outcome.tried.add(start.name)
        counts.container_started(part.path)
        if start.backoff is not None:
            outcome.backoffs[start.name] = start.backoff
        try:
            container_id = await self._start(part, start, volumes)
        except StartProblem as problem:
            outcome.waiting[start.name] = problem.waiting
            counts.container_failed(part.path, problem.waiting.reason)
            outcome.retry_at[start.name] = self._after(problem.retry_s)
            return
        runtime = await self._node.cache.refresh(pod["metadata"]["uid"])
        if await self._post_start(part, container_id, runtime):
            outcome.hooked.add(container_id)
        elif start.name not in outcome.waiting:
            outcome.waiting[start.name] = Waiting("PostStartHookError")
            await self._node.cache.refresh(pod["metadata"]["uid"])

    async def _start(self, part: _Part, start: Start, volumes: dict[str, Mounted]) -> str:
        """Pull, create, start; returns the container's id. Raises StartProblem, RuntimeUnavailable."""
        node = self._node
        runtime = node.cache.get(part.uid)
        sandbox = runtime.sandbox
        if sandbox is None:
            raise StartProblem(Waiting("ContainerCreating"), 0.0)
        sandbox_cri = self._sandbox_config(part.pod, sandbox.attempt)
        image = await self._image(part, part.container, sandbox_cri)
        volumes = {**volumes, **await self._image_volumes(part, sandbox_cri)}
        config = await self._config(part, start, image, volumes, runtime)
        try:
            container_id = await node.runtime.create_container(sandbox.id, config, sandbox_cri)
        except RuntimeUnavailable:
            raise
        except RuntimeFailure as error:
            raise self._failed(part, "CreateContainerError", error) from error
        node.recorder.record(part.pod, "Normal", "Created", "Container created", field_path=part.path)
        try:
            await node.runtime.start_container(container_id)
        except RuntimeUnavailable:
            raise
        except RuntimeFailure as error:
            left = (await node.cache.refresh(part.uid)).latest(start.name)
            ended = left is not None and left.id == container_id and left.state is ContainerState.EXITED
            retry_s = _ENDED_RETRY_S if ended else _START_RETRY_S
            raise self._failed(part, "RunContainerError", error, retry_s) from error
        node.recorder.record(part.pod, "Normal", "Started", "Container started", field_path=part.path)
        return container_id

    def _failed(
        self, part: _Part, reason: str, error: Exception, retry_s: float = _START_RETRY_S
    ) -> StartProblem:
        """Tell people of a failure; returns what its container waits for."""
        text = error.said if isinstance(error, RuntimeFailure) else str(error)
        self._node.recorder.record(part.pod, "Warning", "Failed", f"Error: {text}", field_path=part.path)
        return StartProblem(Waiting(reason, text), retry_s)

    async def _image(self, part: _Part, asked: dict[str, Any], sandbox_cri: Config) -> Image:
        """Have the image that ``asked`` names, for the container or for a volume of its."""
        secrets = []
        for reference in part.pod["spec"].get("imagePullSecrets") or ():
            key = (SECRETS, part.pod["metadata"]["namespace"], reference.get("name", ""))
            try:
                secret = await self._node.objects.get(key)
            except TimeoutError:
                continue  # the pull goes on without these credentials and says so if it fails
            if secret is not None:
                secrets.append(secret_data(secret))
        try:
            return await self._node.images.ensure(part.pod, asked, secrets, sandbox_cri, part.path)
        except ImageProblem as problem:
            text = f"Error: {problem.reason}"
            self._node.recorder.record(part.pod, "Warning", "Failed", text, field_path=part.path)
            raise StartProblem(Waiting(problem.reason, str(problem)), problem.retry_s) from problem
        except RuntimeUnavailable:
            raise
        except RuntimeFailure as error:
            raise StartProblem(Waiting("ImageInspectError", str(error)), _RETRY_S) from error

    async def _image_volumes(self, part: _Part, sandbox_cri: Config) -> dict[str, Mounted]:
        """Pull and mount the images that a container has as volumes. Raises StartProblem."""
        wanted = {item["name"] for item in part.container.get("volumeMounts") or ()}
        found = {}
        for volume in part.pod["spec"].get("volumes") or ():
            source = volume.get("image")
            if source is None or volume["name"] not in wanted:
                continue
            asked = {
                "name": f"{part.container['name']}/{volume['name']}",
                "image": source.get("reference", ""),
                "imagePullPolicy": source.get("pullPolicy"),
            }
            target = self._node.volumes.path_of(part.uid, "image", volume["name"])
            image = await self._image(part, asked, sandbox_cri)
            try:
                if not await asyncio.to_thread(is_mount, target):
                    await self._node.runtime.mount_image(image, target)
            except RuntimeUnavailable:
                raise
            except RuntimeFailure as error:
                raise self._failed(part, "ImageVolumeMountFailed", error) from error
            found[volume["name"]] = Mounted(target, read_only=True)
        return found

    async def _config(
        self, part: _Part, start: Start, image: Image, volumes: dict[str, Mounted], runtime: RuntimePod
    ) -> Config:
        pod, container = part.pod, part.container
        try:
            verify_non_root(pod, container, image)
            env = make_env(pod, container, await self._sources(pod, container, runtime))
            mounts = await asyncio.to_thread(self._container_files, part, volumes, env, start.attempt)
        except (SecurityProblem, EnvProblem, DownwardProblem, VolumeProblem, OSError, TimeoutError) as error:
            raise self._failed(part, "CreateContainerConfigError", error, _RETRY_S) from error
        try:
            extras = await self._node.devices.extras(part.uid, container["name"])
        except DeviceProblem as error:
            raise self._failed(part, "CreateContainerConfigError", error) from error
        target = container.get("targetContainerName")
        joined = runtime.latest(target) if target else None
        inputs = ContainerInputs(
            start.attempt, image, env, mounts, extras, self._life, joined.id if joined else ""
        )
        return container_config(pod, container, inputs, self._node.settings)

    def _container_files(
        self, part: _Part, volumes: dict[str, Mounted], env: dict[str, str], attempt: int
    ) -> list[Config]:
        logs = Path(log_directory(part.pod, self._node.settings.logs_dir), part.container["name"])
        logs.mkdir(parents=True, exist_ok=True)
        return container_mounts(part.container, volumes, env, self._node.volumes.pod_dir(part.uid), attempt)

    async def _sources(self, pod: Object, container: dict[str, Any], runtime: RuntimePod) -> EnvSources:
        namespace = pod["metadata"]["namespace"]
        config_maps, secrets = referenced(container)
        maps = {name: await self._node.objects.get((CONFIG_MAPS, namespace, name)) for name in config_maps}
        found = {name: await self._node.objects.get((SECRETS, namespace, name)) for name in secrets}
        return EnvSources(
            config_maps=maps,
            secrets={name: None if item is None else secret_data(item) for name, item in found.items()},
            services=self._node.services(),
            addresses=self._node.addresses(pod, runtime),
            node=self._node.volumes.node,
            files={
                (volume, path): await self._env_file(pod, volume, path)
                for volume, path in files_of(container)
            },
        )

    async def _env_file(self, pod: Object, volume: str, path: str) -> EnvFile:
        folder = self._node.volumes.path_of(pod["metadata"]["uid"], "emptyDir", volume)
        text = await asyncio.to_thread(read_below, folder, path, _ENV_FILE_BYTES)
        return EnvFile(f"{folder}/{path}", text)

    async def _post_start(self, part: _Part, container_id: str, runtime: RuntimePod) -> bool:
        handler = (part.container.get("lifecycle") or {}).get("postStart")
        if not handler:
            return True
        try:
            target = hook_target(self._node, part.pod, part.container, container_id, runtime)
            await run_hook(handler, target)
        except HookFailure as failure:
            # What it was and said is no event's: there may be secrets in it.
            log.warning(
                "hook failed pod=%s container=%s error=%s",
                part.pod["metadata"]["name"],
                part.container["name"],
                failure,
            )
            record = self._node.recorder.record
            record(part.pod, "Warning", "FailedPostStartHook", "PostStartHook failed", field_path=part.path)
            record(part.pod, "Normal", "Killing", "FailedPostStartHook", field_path=part.path)
            await self._node.runtime.stop_container(container_id, 30)
            return False
        return True


def hook_target(
    node: NodeContext, pod: Object, container: dict[str, Any], container_id: str, runtime: RuntimePod
) -> Target:
    """Return whom a hook of a container speaks to."""
    addresses = node.addresses(pod, runtime)
    ports = {item["name"]: item["containerPort"] for item in container.get("ports") or () if item.get("name")}
    host = addresses.pod_ips[0] if addresses.pod_ips else "127.0.0.1"
    return Target(node.runtime, container_id, host, ports)
