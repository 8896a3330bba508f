"""What a kubelet says of itself: its pods, what runs of them, its settings, its health.

Reads what the kubelet has in memory; asks neither the runtime nor the API server. Called by ``server``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from tiphys.apimachinery.meta import Object
from tiphys.client.healthcounts import HealthCounts
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
        return _list(self._pods())

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
        return self._health(request, parts, {"ping": "", "log": _log_fault(), "syncloop": self._loop_fault()})

    def ping(self, request: Request, parts: list[str]) -> Response:
        """Answer on the port that has health alone: whether anybody is there."""
        return self._health(request, parts, {"ping": ""})

    def _health(self, request: Request, parts: list[str], faults: dict[str, str]) -> Response:
        excluded = () if parts else request.query.get("exclude") or ()
        for name in parts or faults:
            if name not in excluded:
                self.counts.note(name, "healthz", good=not faults[name])
        if parts:
            fault = faults[parts[0]]
            return http_error(500, f"internal server error: {fault}") if fault else _ok()
        good, lines = _report(faults, excluded)
        if not good:
            return http_error(500, "\n".join([*lines, "healthz check failed"]))
        if "verbose" not in request.query:
            return _ok()
        return Response(200, dict(PLAIN), "\n".join([*lines, "healthz check passed\n"]).encode())

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
    body: Object = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items or None}
    return Response(200, dict(JSON), orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE))


def _ok() -> Response:
    return Response(200, dict(PLAIN), b"ok")


def _report(faults: Mapping[str, str], excluded: Sequence[str]) -> tuple[bool, list[str]]:
    """Return whether what is not left out is well, and a line for each check."""
    lines, good = [], True
    for name, fault in faults.items():
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok")
        elif fault:
            good = False
            lines.append(f"[-]{name} failed: reason withheld")
        else:
            lines.append(f"[+]{name} ok")
    if strange := sorted(set(excluded) - set(faults)):
        names = ",".join(orjson.dumps(name).decode() for name in strange)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
    return good, lines


def _log_fault() -> str:
    """Return what keeps the log from being written: a handler whose stream has been closed."""
    for handler in logging.getLogger().handlers:
        if getattr(getattr(handler, "stream", None), "closed", False):
            return "logging blocked"
    return ""
