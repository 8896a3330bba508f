"""What a static pod is, and writing its status: into its mirror, while there is one.

Owns the marks of static pods and of mirrors. Used by ``static_pods`` and by the workers.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.meta import Object
from tiphys.client.rest import Client
from tiphys.kubelet.status.writer import StatusWriter

SOURCE: Final = "kubernetes.io/config.source"
HASH: Final = "kubernetes.io/config.hash"
MIRROR: Final = "kubernetes.io/config.mirror"


def mirrored_by(pod: Object) -> str:
    """Return the hash of the manifest that a pod is the mirror of; empty for all other pods."""
    return str((pod["metadata"].get("annotations") or {}).get(MIRROR) or "")


def is_static(pod: Object) -> bool:
    """Tell a pod that the node has from a file of its own."""
    meta = pod["metadata"]
    return bool(meta.get("uid")) and (meta.get("annotations") or {}).get(HASH) == meta["uid"]


class MirrorWriter(StatusWriter):
    """Knows the status of a static pod; the API is told of it where it has a mirror, and never waited for."""

    def __init__(self, client: Client, pod: Object, clock: Clock | None = None) -> None:
        super().__init__(client, pod, clock)
        self._there = asyncio.Event()
        self._status: dict[str, Any] = {}

    def mirrored(self, mirror: Object | None) -> None:
        """Take note of the mirror as the API has it; None: it has gone."""
        if mirror is None:
            self._there.clear()
            return
        if mirror["metadata"]["uid"] != self._known["metadata"]["uid"]:
            self._known = mirror  # whatever the one before had been told
            if began := (mirror.get("status") or {}).get("startTime"):  # under an earlier kubelet
                self._status = {**self._status, "startTime": began}
        super().observe(mirror)
        self._there.set()
        if self._status.get("phase"):
            super().set(self._status)

    def observe(self, pod: Object) -> None:
        """The pod is its manifest's: nobody tells of it."""

    def latest(self, pod: Object) -> Object:
        return {**pod, "status": self._status}

    def set(self, status: dict[str, Any]) -> None:
        self._status = status
        if self._there.is_set():
            super().set(status)

    async def flush(self) -> None:
        """Whether or not somebody learns of it, the pod has ended."""

    async def _write(self, status: dict[str, Any]) -> bool:
        await self._there.wait()
        done = await super()._write(status)
        if self.gone:
            self.gone = False
            self._there.clear()
        return done
