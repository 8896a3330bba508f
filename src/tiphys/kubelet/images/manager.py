"""Getting a container's image onto the node: pull policy, credentials, back-off, and what people are told.

Owns when to pull; the runtime pulls. Problems carry the reason that a container's waiting state shows.
Source: "Images": pull policy, private registries.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import orjson

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.kubelet import counts
from tiphys.kubelet.restarts import BackoffEntry, next_backoff, wait_left_s
from tiphys.kubelet.runtime import Config, Image, Runtime, RuntimeFailure

_NAME = re.compile(
    r"^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][\w.+-]*:[0-9a-fA-F]{32,})?$"
)
_IDENTIFIER = re.compile(r"^[a-f0-9]{64}$")
_DEFAULT_REGISTRY, _FORMER_REGISTRY = "docker.io", "index.docker.io"


class ImageProblem(TiphysError):
    """The image is not there; ``reason`` is ErrImagePull, ImagePullBackOff and the like."""

    def __init__(self, reason: str, message: str, *, retry_s: float = 10.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_s = retry_s


class Recorder(Protocol):
    """Where events go."""

    def record(
        self, obj: Object, type: str = ..., reason: str = ..., message: str = ..., *, field_path: str = ...
    ) -> None: ...


def normalize(image: str) -> str:
    """Return the full name: registry, repository, tag. Raises ImageProblem for what is no image name."""
    registry, path = _split(image)
    if fault := _fault(image, path):
        words = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {fault}'
        raise ImageProblem("InvalidImageName", words)
    name = f"{registry}/{path}"
    if "@" not in name and ":" not in name.rpartition("/")[2]:
        name += ":latest"
    return name


def _split(image: str) -> tuple[str, str]:
    """Return the registry and what follows, with the defaults of both."""
    head, slash, rest = image.partition("/")
    is_registry = "." in head or ":" in head or head == "localhost" or head != head.lower()
    registry, path = (head, rest) if slash and is_registry else (_DEFAULT_REGISTRY, image)
    registry = _DEFAULT_REGISTRY if registry == _FORMER_REGISTRY else registry
    return registry, path if registry != _DEFAULT_REGISTRY or "/" in path else f"library/{path}"


def _fault(image: str, path: str) -> str:
    """Say why this is no image name; empty for one that is."""
    if _IDENTIFIER.match(image):
        return f"invalid repository name ({image}), cannot specify 64-byte hexadecimal strings"
    repository = path.partition(":")[0]
    if repository != repository.lower():
        return f"invalid reference format: repository name ({repository}) must be lowercase"
    return "" if _NAME.match(image) else "invalid reference format"


def pull_policy(container: Mapping[str, Any]) -> str:
    """Return Always, IfNotPresent or Never; ``:latest`` (or no tag) means Always."""
    policy = container.get("imagePullPolicy")
    if policy:
        return str(policy)
    image = container.get("image", "")
    last = image.rpartition("/")[2]
    return "Always" if "@" not in last and (":" not in last or last.endswith(":latest")) else "IfNotPresent"


def find_auth(image: str, secrets: Iterable[Mapping[str, bytes]]) -> list[Config]:
    """Return the credentials for an image's registry out of pull secrets, the most specific first."""
    wanted = normalize(image)
    found: list[tuple[int, Config]] = []
    for data in secrets:
        for server, entry in _auths(data).items():
            target = urlsplit(server).netloc + urlsplit(server).path if "://" in server else server
            target = (
                re.sub(r"/v[12]/?$", "", target).rstrip("/").replace("index.docker.io", _DEFAULT_REGISTRY)
            )
            if _covers(target, wanted):
                found.append((len(target), _auth_config(entry)))
    found.sort(key=lambda item: -item[0])
    return [config for _, config in found]


def _covers(target: str, image: str) -> bool:
    host, _, path = target.partition("/")
    pattern = re.escape(host).replace(r"\*", "[^.]*")
    image_host, _, image_path = image.partition("/")
    return bool(re.fullmatch(pattern, image_host)) and (
        not path or image_path == path or image_path.startswith((path + "/", path + ":", path + "@"))
    )


def _auths(data: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    try:
        if raw := data.get(".dockerconfigjson"):
            return dict(orjson.loads(raw).get("auths") or {})
        if raw := data.get(".dockercfg"):
            return dict(orjson.loads(raw))
    except (orjson.JSONDecodeError, AttributeError, ValueError):
        pass  # a malformed secret gives no credentials; the pull then says what is missing
    return {}


def _auth_config(entry: Mapping[str, Any]) -> Config:
    user, password = entry.get("username", ""), entry.get("password", "")
    if not user and entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"]).decode(errors="replace").partition(":")
    # No server_address: containerd takes it for an URL, and refuses a plain host:port.
    return {
        "username": user,
        "password": password,
        "identity_token": entry.get("identitytoken", ""),
        "registry_token": entry.get("registrytoken", ""),
    }


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.3f}s"


class Images:
    """Makes sure that images are there. One pull of the same image at a time."""

    def __init__(self, runtime: Runtime, recorder: Recorder, clock: Clock) -> None:
        self._runtime = runtime
        self._recorder = recorder
        self._clock = clock
        self._backoffs: dict[str, tuple[BackoffEntry, datetime, str]] = {}
        self._locks = WeakValueDictionary[str, asyncio.Lock]()  # held by who pulls or waits

    async def ensure(
        self,
        pod: Object,
        container: Mapping[str, Any],
        secrets: Iterable[Mapping[str, bytes]],
        sandbox_config: Config,
        field_path: str = "",
    ) -> Image:
        """Return the image, pulled if need be. Raises ImageProblem, RuntimeFailure."""
        name = container.get("image", "")
        try:
            full = normalize(name)
        except ImageProblem as problem:
            self._event(pod, "Warning", "InspectFailed", str(problem), field_path)
            raise
        policy = pull_policy(container)
        image = await self._runtime.image_status(full)
        if image is not None and policy != "Always":
            text = f'Container image "{name}" already present on machine and can be accessed by the pod'
            self._event(pod, "Normal", "Pulled", text, field_path)
            return image
        if policy == "Never":
            text = f'Container image "{name}" is not present with pull policy of Never'
            self._event(pod, "Warning", "ErrImageNeverPull", text, field_path)
            raise ImageProblem("ErrImageNeverPull", text)
        return await self._pull(pod, (name, full), secrets, sandbox_config, field_path)

    async def _pull(
        self,
        pod: Object,
        names: tuple[str, str],
        secrets: Iterable[Mapping[str, bytes]],
        sandbox_config: Config,
        field_path: str,
    ) -> Image:
        name, full = names
        key = f"{pod['metadata']['uid']}/{full}"
        self._check_backoff(pod, name, key, field_path)
        self._event(pod, "Normal", "Pulling", f'Pulling image "{name}"', field_path)
        asked = self._clock.monotonic()
        async with self._locks.setdefault(full, asyncio.Lock()):
            began = self._clock.monotonic()
            try:
                await self._try_pull(full, find_auth(full, secrets), sandbox_config)
                image = await self._runtime.image_status(full)
            except RuntimeFailure as error:
                raise self._failed(pod, name, key, error, field_path) from error
        done = self._clock.monotonic()
        self._backoffs.pop(key, None)
        if image is None:
            raise ImageProblem("ImageInspectError", f'image "{name}" vanished after its pull')
        counts.pulled(image.size_bytes, done - began)
        text = (
            f'Successfully pulled image "{name}" in {_duration(done - began)}'
            f" ({_duration(done - asked)} including waiting). Image size: {image.size_bytes} bytes."
        )
        self._event(pod, "Normal", "Pulled", text, field_path)
        return image

    async def _try_pull(self, full: str, credentials: list[Config], sandbox_config: Config) -> None:
        for auth in credentials[:-1]:
            try:
                await self._runtime.pull_image(full, auth, sandbox_config)
                return
            except RuntimeFailure:
                continue  # the next credentials may fit; the last attempt reports
        await self._runtime.pull_image(full, credentials[-1] if credentials else None, sandbox_config)

    def _check_backoff(self, pod: Object, name: str, key: str, field_path: str) -> None:
        known = self._backoffs.get(key)
        if known is None:
            return
        entry, failed_at, error = known
        left = wait_left_s(entry, failed_at, self._clock.now())
        if left > 0:
            text = f'Back-off pulling image "{name}"'
            self._event(pod, "Normal", "BackOff", text, field_path)
            raise ImageProblem("ImagePullBackOff", f"{text}: ErrImagePull: {error}", retry_s=left)

    def _failed(
        self, pod: Object, name: str, key: str, error: RuntimeFailure, field_path: str
    ) -> ImageProblem:
        now = self._clock.now()
        known = self._backoffs.get(key)
        entry = next_backoff(known[0] if known else None, now, now)
        self._backoffs[key] = (entry, now, str(error))
        self._event(pod, "Warning", "Failed", f'Failed to pull image "{name}": {error}', field_path)
        # Come back soon, to show the back-off; the pull itself waits its delay.
        return ImageProblem("ErrImagePull", str(error), retry_s=2.0)

    def forget(self, pod_uid: str) -> None:
        """Drop what is remembered of a pod that is gone."""
        for key in [key for key in self._backoffs if key.startswith(pod_uid + "/")]:
            del self._backoffs[key]

    def _event(self, pod: Object, kind: str, reason: str, message: str, field_path: str) -> None:
        self._recorder.record(pod, kind, reason, message, field_path=field_path)
