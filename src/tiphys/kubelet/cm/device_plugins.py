"""Device plugins: they register at the kubelet's socket, say what devices there are, and hand them out.

Owns ``<root>/device-plugins``: the socket, and which container has which device and what comes with it, which
outlives the kubelet.
Choices are ``devices``'. A plugin that goes away leaves its devices unhealthy: nobody gets them.
Source: "Device Plugins"; the gRPC API v1beta1.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import orjson

from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.names import is_qualified_name
from tiphys.kubelet.admission import Rejection
from tiphys.kubelet.cm.device_messages import PLUGIN, REGISTRATION, message
from tiphys.kubelet.cm.devices import Assignment, DeviceProblem, Extras, assign, counted, refused
from tiphys.kubelet.runtime import RuntimeFailure

log = logging.getLogger(__name__)

VERSION: Final = "v1beta1"
_HEALTHY: Final = "Healthy"
_CALL_S: Final = 30.0
_ALLOCATE: Final = "Allocate"


class DeviceManager:
    """``run`` until cancelled; ``changed`` is called when the node's devices do."""

    def __init__(self, folder: Path, changed: Callable[[], None]) -> None:
        self._folder = folder
        self._changed = changed
        self._pools: dict[str, dict[str, bool]] = {}
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._options: dict[str, Any] = {}
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._assigned: dict[str, Assignment] = {}
        self._extras: dict[tuple[str, str, str], Extras] = {}
        self._load()
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Listen for plugins. Without a socket (its path may be too long) there are none."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if path.is_socket():
                path.unlink()  # plugins see that it is made anew, and register again
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((self._registration(),))
        try:
            server.add_insecure_port(f"unix:{self._folder / 'kubelet.sock'}")
        except RuntimeError as error:
            log.warning("no device plugins folder=%s error=%s", self._folder, error)
            return
        await server.start()
        try:
            async with asyncio.TaskGroup() as self._group:
                await asyncio.get_running_loop().create_future()
        finally:
            await server.stop(None)
            for channel in self._channels.values():
                await channel.close(None)

    def _registration(self) -> grpc.GenericRpcHandler[Any, Any]:
        method = grpc.unary_unary_rpc_method_handler(
            self._register,
            request_deserializer=message("RegisterRequest").FromString,
            response_serializer=message("Empty").SerializeToString,
        )
        return grpc.method_handlers_generic_handler(REGISTRATION, {"Register": method})

    async def _register(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        name, text = request.resource_name, ""
        if request.version != VERSION:
            text = (
                f'requested API version "{request.version}" is not supported by kubelet. '
                f'Supported version is ["{VERSION}"]'
            )
        elif "/" not in name or is_qualified_name(name) or name.split("/")[0].endswith("kubernetes.io"):
            text = f'the ResourceName "{name}" is invalid'
        if text:
            await context.abort(grpc.StatusCode.UNKNOWN, text)
        log.info("device plugin registered resource=%s endpoint=%s", name, request.endpoint)
        if (before := self._followers.pop(name, None)) is not None:
            before.cancel()
        self._options[name] = request.options
        if self._group is not None:
            self._followers[name] = self._group.create_task(self._follow(name, request.endpoint))
        return message("Empty")()

    async def _follow(self, name: str, endpoint: str) -> None:
        """Take what a plugin lists until it goes away."""
        channel = grpc.aio.insecure_channel(
            f"unix:{self._folder / endpoint}", options=[("grpc.default_authority", "localhost")]
        )
        self._channels[name] = channel
        watch = channel.unary_stream(
            f"/{PLUGIN}/ListAndWatch",
            request_serializer=message("Empty").SerializeToString,
            response_deserializer=message("ListAndWatchResponse").FromString,
        )
        try:
            async for listed in watch(message("Empty")()):
                self._pools[name] = {item.ID: item.health == _HEALTHY for item in listed.devices}
                self._changed()
        except grpc.aio.AioRpcError as error:
            log.warning("device plugin went away resource=%s error=%s", name, error.details())
        finally:
            if self._channels.get(name) is channel:
                self._pools[name] = dict.fromkeys(self._pools.get(name, {}), False)
                self._changed()
            await channel.close(None)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return of each resource how many devices there are, and how many are healthy."""
        return counted(self._pools)

    async def assign(self, pod: Object) -> Rejection | None:
        """Choose the devices of a new pod and have them made ready, or say why it cannot be."""
        uid = str(pod["metadata"]["uid"])
        if not self._pools or uid in self._assigned:
            return None
        chosen = assign(pod, self._pools, self._taken())
        if isinstance(chosen, Rejection):
            return chosen
        if not chosen:
            return None
        self._assigned[uid] = chosen
        try:
            for container, devices in chosen.items():
                for name, ids in devices.items():
                    self._extras[uid, container, name] = await self._allocate(name, list(ids))
        except DeviceProblem as problem:
            self.release(uid)
            return refused(str(problem))
        self._save()
        return None

    def release(self, uid: str) -> None:
        """A pod needs its devices no more."""
        if self._assigned.pop(uid, None) is not None:
            self._extras = {key: value for key, value in self._extras.items() if key[0] != uid}
            self._save()

    def keep_only(self, uids: Set[str]) -> None:
        """Forget pods that went while no kubelet looked."""
        for uid in [uid for uid in self._assigned if uid not in uids]:
            self.release(uid)

    def _taken(self) -> dict[str, set[str]]:
        taken: dict[str, set[str]] = {}
        for assignment in self._assigned.values():
            for devices in assignment.values():
                for name, ids in devices.items():
                    taken.setdefault(name, set()).update(ids)
        return taken

    async def extras(self, uid: str, container: str) -> Extras:
        """Return what comes with a container's devices. Raises DeviceProblem."""
        found = Extras()
        for name, ids in (self._assigned.get(uid, {}).get(container) or {}).items():
            key = (uid, container, name)
            if key not in self._extras:  # an older kubelet kept no more than who has what
                self._extras[key] = await self._allocate(name, list(ids))
            if self._options.get(name) is not None and self._options[name].pre_start_required:
                await self._call(name, "PreStartContainer", {"devices_ids": list(ids)})
            found = found.joined(self._extras[key])
        return found

    async def _allocate(self, name: str, ids: list[str]) -> Extras:
        answer = await self._call(name, _ALLOCATE, {"container_requests": [{"devices_ids": ids}]})
        if not answer.container_responses:
            raise DeviceProblem("no containers return in allocation response ")
        one = answer.container_responses[0]
        return Extras(
            dict(one.envs),
            [
                {"container_path": m.container_path, "host_path": m.host_path, "readonly": m.read_only}
                for m in one.mounts
            ],
            [
                {"container_path": d.container_path, "host_path": d.host_path, "permissions": d.permissions}
                for d in one.devices
            ],
            dict(one.annotations),
            [item.name for item in one.cdi_devices],
        )

    async def _call(self, name: str, method: str, fields: Mapping[str, Any]) -> Any:
        channel = self._channels.get(name)
        if channel is None:
            raise DeviceProblem(
                f"unknown Device Plugin {name}"
                if method == _ALLOCATE
                else f"endpoint not found in cache for a registered resource: {name}"
            )
        call = channel.unary_unary(
            f"/{PLUGIN}/{method}",
            request_serializer=message(f"{method}Request").SerializeToString,
            response_deserializer=message(f"{method}Response").FromString,
        )
        try:
            return await call(message(f"{method}Request")(**fields), timeout=_CALL_S)
        except grpc.aio.AioRpcError as error:
            failed = str(RuntimeFailure(error.code().name, error.details() or ""))
            raise DeviceProblem(
                failed if method == _ALLOCATE else f"device plugin {method} rpc failed with err: {failed}"
            ) from error

    @property
    def _path(self) -> Path:
        return self._folder / "assignments.json"

    def _load(self) -> None:
        try:
            found = orjson.loads(self._path.read_bytes())
            self._assigned = found.get("assigned", found)
            self._extras = {(uid, container, name): Extras(**extras)
                            for uid, container, name, extras in found.get("extras") or ()}  # fmt: skip
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError) as error:
            log.warning("device assignments not read path=%s error=%s", self._path, error)

    def _save(self) -> None:
        made = self._path.with_suffix(".tmp")
        made.parent.mkdir(parents=True, exist_ok=True)
        extras = [[*key, asdict(value)] for key, value in self._extras.items()]
        made.write_bytes(orjson.dumps({"assigned": self._assigned, "extras": extras}))
        made.rename(self._path)
