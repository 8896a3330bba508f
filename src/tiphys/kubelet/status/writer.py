"""Writing one pod's status to the API: only what changed, the newest wins, one write at a time.

Owns the comparison with what the server has. Lists that the API merges by key are replaced as a whole.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.client.kinds import PODS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.kubelet import counts
from tiphys.kubelet.status.pod import KUBELET_CONDITIONS, OWN_CONDITIONS

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_REPLACED = ("podIPs", "hostIPs")
_OWN = (
    "phase", "reason", "message", "podIP", "podIPs", "hostIP", "hostIPs", "startTime", "qosClass",
    "initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses", "observedGeneration",
    "allocatedResources", "resources",
)  # fmt: skip
_AMOUNTS = ("allocatedResources", "resources")


def status_patch(current: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the strategic merge patch that turns one status into the other; empty when they are equal."""
    patch: dict[str, Any] = {}
    for key in _OWN:
        have, want = current.get(key), wanted.get(key)
        if have == want or (not have and not want):
            continue
        if key in _REPLACED and want and have:
            patch[key] = [*want, {"$patch": "replace"}]
        elif key in _AMOUNTS and want and have:
            patch[key] = _turned(have, want)
        else:
            patch[key] = want
    have_conditions = {item.get("type"): item for item in current.get("conditions") or ()}
    own = [item for item in wanted.get("conditions") or () if item["type"] in OWN_CONDITIONS]
    gone = [
        {"type": kind, "$patch": "delete"}
        for kind in KUBELET_CONDITIONS
        if kind in have_conditions and all(item["type"] != kind for item in own)
    ]
    if gone or any(not _same(have_conditions.get(item["type"]), item) for item in own):
        # A field that a condition lost must be said to be gone.
        patch["conditions"] = [
            {**{key: None for key in have_conditions.get(item["type"], {}) if key not in item}, **item}
            for item in own
        ] + gone
    return patch


def _turned(have: dict[str, Any], want: dict[str, Any]) -> dict[str, Any]:
    """Return the merge patch that turns one map into the other: what is not wanted must be said to go."""
    patch: dict[str, Any] = {key: None for key in have if key not in want}
    for key, value in want.items():
        before = have.get(key)
        patch[key] = _turned(before, value) if isinstance(before, dict) else value
    return patch


def _same(have: dict[str, Any] | None, want: dict[str, Any]) -> bool:
    if have is None:
        return False
    return {key: value for key, value in have.items() if value is not None} == {
        key: value for key, value in want.items() if value is not None
    }


class StatusWriter:
    """One for each pod. ``run`` sends what ``set`` gave last; ``flush`` waits until that is done."""

    def __init__(self, client: Client, pod: Object, clock: Clock | None = None) -> None:
        self._client = client
        self._clock = clock or RealClock()
        self._since: float | None = None
        """Since when the server has not had what it is to have."""
        self._known = pod
        self._wanted: dict[str, Any] | None = None
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.gone = False

    def observe(self, pod: Object) -> None:
        """Take note of what the server has."""
        if _version(pod) >= _version(self._known):
            self._known = pod

    def latest(self, pod: Object) -> Object:
        """Return the pod with the newest status known: our own write may be ahead of the watch."""
        if _version(self._known) > _version(pod):
            return {**pod, "status": self._known.get("status") or {}}
        return pod

    def set(self, status: dict[str, Any]) -> None:
        """Ask for a status to be written. Never waits."""
        if status_patch(self._known.get("status") or {}, status):
            self._wanted = status
            if self._since is None:
                self._since = self._clock.monotonic()
            self._idle.clear()
            self._changed.set()

    async def flush(self) -> None:
        """Wait until the last status asked for is written (or the pod is gone)."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._wanted is not None:
                wanted, self._wanted = self._wanted, None
                if not await self._write(wanted) and self._wanted is None:
                    self._wanted = wanted
                    await asyncio.sleep(_RETRY_S)
            self._idle.set()

    async def _write(self, status: dict[str, Any]) -> bool:
        """Return False when it must be tried again."""
        patch = status_patch(self._known.get("status") or {}, status)
        meta = self._known["metadata"]
        if not patch or self.gone:
            self._since = None
            return True
        body = {"metadata": {"uid": meta["uid"]}, "status": patch}
        try:
            self._known = await self._client.patch(
                PODS, meta["name"], meta["namespace"], body, type="strategic", subresource="status"
            )
        except (StatusError, TransportError) as error:
            if isinstance(error, StatusError) and error.target_gone:
                self.gone = True  # or the name belongs to another pod by now
                return True
            log.warning("pod status not written pod=%s error=%s", meta["name"], error)
            return False
        if self._since is not None:
            counts.STATUS_SECONDS.labels().observe(self._clock.monotonic() - self._since)
            self._since = None
        return True


def _version(pod: Object) -> int:
    text = str(pod["metadata"].get("resourceVersion") or "0")
    return int(text) if text.isdigit() else 0
