"""What a kubelet says of itself: its pods, what runs of them, its settings, its health.

Reads what the kubelet has in memory; asks neither the runtime nor the API server. Called by ``server``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from tiphys.apimachinery.meta import Object
from tiphys.client.healthchecks import HealthCounts, log_fault, report
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.runtime import RuntimePod
from tiphys.kubelet.server.replies import JSON, PLAIN, http_error
from tiphys.wire.message import Request, Response

_LATE_S: Final = 300.0
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
        pods = [{key: pod[key] for key in pod if key not in ("apiVersion", "kind")} for pod in self._pods()]
        return _list(pods)

    async def running(self, request: Request, parts: list[str]) -> Response:
        """List what the runtime runs: no more than it knows of each pod."""
        return _list([found for pod in self._node.cache.all() if (found := running_pod(pod)) is not None])

    async def configz(self, request: Request, parts: list[str]) -> Response:
        """Show the settings."""
        return Response(
            200,
            {**JSON, "X-Content-Type-Options": "nosniff"},
            orjson.dumps({"kubeletconfig": self._configuration()}),
        )

    async def health(self, request: Request, parts: list[str]) -> Response:
        """Answer for all checks, or for the one that is named."""
        faults = {"ping": None, "log": log_fault(), "syncloop": self._loop_fault()}
        return self._health(request, parts, faults)

    def ping(self, request: Request, parts: list[str]) -> Response:
        """Answer on the port that has health alone: whether anybody is there."""
        return self._health(request, parts, {"ping": None})

    def _health(self, request: Request, parts: list[str], faults: dict[str, str | None]) -> Response:
        excluded = () if parts else request.query.get("exclude") or ()
        for name in parts or faults:
            if name not in excluded:
                self.counts.note(name, "healthz", good=faults[name] is None)
        if parts:
            fault = faults[parts[0]]
            return _ok() if fault is None else http_error(500, f"internal server error: {fault}")
        good, lines = report(faults, excluded)
        if not good:
            return http_error(500, "\n".join([*lines, "healthz check failed"]))
        if "verbose" not in request.query:
            return _ok()
        return Response(200, dict(PLAIN), "\n".join([*lines, "healthz check passed\n"]).encode())

    def _loop_fault(self) -> str | None:
        late = self._node.clock.monotonic() - self._looked() > _LATE_S
        return "sync Loop took longer than expected" if late else None


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
    body: Object = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items or None}
    return Response(200, dict(JSON), orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE))


def _ok() -> Response:
    return Response(200, dict(PLAIN), b"ok")
