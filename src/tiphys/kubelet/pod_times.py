"""How long a pod takes: until its worker begins, each of its rounds, until it runs, until others see that.

Owns: which of these are told of one pod, and when. Called by its worker. ``Relist`` times looks at all pods.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tiphys.apimachinery.clock import Clock, parse_time
from tiphys.apimachinery.meta import Object
from tiphys.kubelet import counts
from tiphys.kubelet.context import NodeContext


class PodTimes:
    """The times of one pod, which was seen just now for the first time."""

    def __init__(self, pod: Object, clock: Clock) -> None:
        self._clock = clock
        self._first_seen = clock.monotonic()
        self._operation = "create"
        status = pod.get("status") or {}
        self._begins = status.get("phase", "Pending") == "Pending"
        """Whether it is still to be told that it runs."""
        self._unseen = not status.get("startTime")
        """Whether it is still to be seen that it runs; what ran before this kubelet is not."""
        counts.CONTAINERS_OF_PODS.labels().observe(len(pod["spec"].get("containers") or ()))

    def seen(self, pod: Object) -> None:
        """Take note of a new version of the pod, as the server tells it."""
        if self._operation != "create":
            self._operation = "update"
        created_at = pod["metadata"].get("creationTimestamp")
        if self._unseen and created_at and _all_run(pod):
            self._unseen = False
            created = parse_time(created_at)
            counts.POD_TOTAL_SECONDS.labels().observe((self._clock.now() - created).total_seconds())

    @contextmanager
    def round(self) -> Iterator[None]:
        """Time one round of the worker."""
        began, operation = self._clock.monotonic(), self._operation
        if operation == "create":
            counts.WORKER_START_SECONDS.labels().observe(began - self._first_seen)
        self._operation = "sync"
        try:
            yield
        finally:
            counts.WORKER_SECONDS.labels(operation).observe(self._clock.monotonic() - began)

    def told(self, status: Object) -> None:
        """Take note of a status that the server is to have."""
        if self._begins and status.get("phase", "Pending") != "Pending":
            self._begins = False
            if status["phase"] == "Running":
                counts.POD_START_SECONDS.labels().observe(self._clock.monotonic() - self._first_seen)


def _all_run(pod: Object) -> bool:
    found = (pod.get("status") or {}).get("containerStatuses") or ()
    return bool(found) and all("running" in (one.get("state") or {}) for one in found)


class Relist:
    """Looks at all that the runtime has, again and again."""

    def __init__(self, node: NodeContext) -> None:
        self._node = node
        self._last: float | None = None

    async def __call__(self) -> None:
        """Look once. Raises RuntimeFailure."""
        clock = self._node.clock
        began = clock.monotonic()
        if self._last is not None:
            counts.RELIST_INTERVAL.labels().observe(began - self._last)
        self._last = began
        try:
            await self._node.cache.relist()
        finally:
            counts.RELIST_SECONDS.labels().observe(clock.monotonic() - began)
        counts.RELISTED.labels().set(clock.now().timestamp())
