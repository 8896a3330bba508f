"""What a kubelet says of itself: its pods, what runs of them, its settings, its health.

Reads what the kubelet has in memory; asks neither the runtime nor the API server. Called by ``server``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import orjson

from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object
from tiphys.client.healthcounts import HealthCounts
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.runtime import RuntimePod
from tiphys.wire.message import Request, Response

_JSON: Final = {"Content-Type": "application/json"}
_PLAIN: Final = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
_LATE_S: Final = 120.0
"""Loops that have not gone round for so long have stopped."""


class NodeViews:
    """``looked`` says when the kubelet's loops last went round, on its steady clock."""

    def __init__(
        self,
        node: NodeContext,
        pods: Callable[[], list[Object]],
        configuration: Callable[[], dict[str, Any]],
        looked: Callable[[], float],
    ) -> None:
        self._node = node
        self._pods = pods
        self._configuration = configuration
        self._looked = looked
        self.counts = HealthCounts()

    async def pods(self, request: Request, parts: list[str]) -> Response:
        """List what this node is to run, with the status that the API has of it."""
        return _list(self._pods()) if not parts else _gone()

    async def running(self, request: Request, parts: list[str]) -> Response:
        """List what the runtime runs: no more than it knows of each pod."""
        if parts:
            return _gone()
        return _list([found for pod in self._node.cache.all() if (found := running_pod(pod)) is not None])

    async def configz(self, request: Request, parts: list[str]) -> Response:
        """Show the settings."""
        if parts:
            return _gone()
        return Response(200, dict(_JSON), orjson.dumps({"kubeletconfig": self._configuration()}))

    async def health(self, request: Request, parts: list[str]) -> Response:
        """Answer for all checks, or for the one that is named. Raises NotFound."""
        faults = {"ping": "", "log": _log_fault(), "syncloop": self._loop_fault()}
        for name in parts if len(parts) == 1 and parts[0] in faults else faults:
            self.counts.note(name, "healthz", good=not faults[name])
        if parts:
            if len(parts) != 1 or parts[0] not in faults:
                raise NotFound.path()
            fault = faults[parts[0]]
            if not fault:
                return Response(200, dict(_PLAIN), b"ok")
            return Response(500, dict(_PLAIN), f"internal server error: {fault}\n".encode())
        failed = [name for name, fault in faults.items() if fault]
        if not failed and "verbose" not in request.query:
            return Response(200, dict(_PLAIN), b"ok")
        lines = [
            f"[-]{name} failed: reason withheld" if name in failed else f"[+]{name} ok" for name in faults
        ]
        lines.append(f"healthz check {'failed' if failed else 'passed'}")
        return Response(500 if failed else 200, dict(_PLAIN), "\n".join(lines).encode() + b"\n")

    def _loop_fault(self) -> str:
        late = self._node.clock.monotonic() - self._looked() > _LATE_S
        return "sync Loop took longer than expected" if late else ""


def running_pod(pod: RuntimePod) -> Object | None:
    """Return a pod as the runtime knows it, with the containers that run; None where none does."""
    containers = [
        {"name": one.name, "image": one.image, "resources": {}} for one in pod.containers if one.running
    ]
    if not containers and not any(sandbox.ready for sandbox in pod.sandboxes):
        return None
    meta = {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}
    return {"metadata": meta, "spec": {"containers": containers}, "status": {}}


def _list(items: list[Object]) -> Response:
    body = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
    return Response(200, dict(_JSON), orjson.dumps(body))


def _gone() -> Response:
    return Response(404, dict(_PLAIN), b"404 page not found\n")


def _log_fault() -> str:
    """Return what keeps the log from being written: a handler whose stream has been closed."""
    for handler in logging.getLogger().handlers:
        if getattr(getattr(handler, "stream", None), "closed", False):
            return "logging blocked"
    return ""
