"""Who serves this API: each API server keeps a Lease in kube-system, and the leases of dead ones go.

Owns: the name, the labels, the rhythm. ``identity_of``, ``heartbeat`` and ``expired`` are pure.
Source: KEP-1965, "kube-apiserver identity".
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from tiphys.apimachinery.clock import parse_time, rfc3339, rfc3339_micro
from tiphys.apimachinery.errors import AlreadyExists, Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object, copy_object, new_uid
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.registry.objects import Cached, Selection

log = logging.getLogger(__name__)
LABEL: Final = "apiserver.kubernetes.io/identity"
COMPONENT: Final = "kube-apiserver"
HOSTNAME: Final = "kubernetes.io/hostname"
NAMESPACE: Final = "kube-system"
DURATION_S: Final = 3600
RENEW_S: Final = 10.0
COLLECT_S: Final = 3600.0
_HASHED_BYTES: Final = 16


def identity_of(hostname: str) -> str:
    """Return the name of the API server of a machine, which is also its lease's."""
    digest = hashlib.sha256(hostname.encode()).digest()[:_HASHED_BYTES]
    return "apiserver-" + base64.b32encode(digest).decode().rstrip("=").lower()


def hash_of(identity: str) -> str:
    """Return how metrics name an API server."""
    return f"sha256:{hashlib.sha256(identity.encode()).hexdigest()}"


def own_hash() -> str:
    """Return how metrics name the API server of this machine."""
    return hash_of(identity_of(socket.gethostname()))


def heartbeat(old: Object | None, hostname: str, holder: str, now: datetime) -> Object:
    """Return the lease as it is to be written; that of an earlier process is taken over."""
    if old is None:
        meta = {"name": identity_of(hostname), "namespace": NAMESPACE, "uid": new_uid(),
                "creationTimestamp": rfc3339(now)}  # fmt: skip
        spec = {"leaseDurationSeconds": DURATION_S}
        lease: Object = {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec
        }  # fmt: skip
    else:
        lease = copy_object(old)
        lease["metadata"].pop("resourceVersion", None)
        lease["spec"] = lease.get("spec") or {}
    labels = lease["metadata"].get("labels") or {}
    lease["metadata"]["labels"] = {**labels, LABEL: COMPONENT, HOSTNAME: hostname}
    lease["spec"] = {**lease["spec"], "holderIdentity": holder, "renewTime": rfc3339_micro(now)}
    return lease


def expired(lease: Object, now: datetime) -> bool:
    """Tell whether a lease was not renewed for as long as it was meant to last, or says nothing of either."""
    spec = lease.get("spec") or {}
    renewed, lasts_s = spec.get("renewTime"), spec.get("leaseDurationSeconds")
    if not renewed or lasts_s is None:
        return True
    return parse_time(renewed) + timedelta(seconds=lasts_s) < now


class Identity:
    """The lease of one server; ``renew`` once before it serves, then ``run``."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._hostname = socket.gethostname()
        self.name = identity_of(self._hostname)
        self._holder = f"{self.name}_{new_uid()}"

    @property
    def _row(self) -> Resource:
        row: Resource | None = self._backend.table.by_path("coordination.k8s.io", "v1", "leases")
        assert row is not None
        return row

    async def renew(self) -> None:
        """Write the lease. Of two servers on one machine each renews the lease of both."""
        store, now = self._backend.store, self._backend.clock.now()
        try:
            live: Cached = await store.get(self._row, NAMESPACE, self.name)
        except NotFound:
            try:
                await store.create(self._row, heartbeat(None, self._hostname, self._holder, now))
            except AlreadyExists:
                pass  # another server of this machine was faster
            return
        try:
            await store.update(
                self._row, heartbeat(live.object, self._hostname, self._holder, now), live.revision
            )
        except (Conflict, NotFound):
            return

    async def collect(self) -> None:
        """Delete the leases of API servers that are no more."""
        store, now = self._backend.store, self._backend.clock.now()
        chosen = Selection(namespace=NAMESPACE, matches=lambda one: one.labels.get(LABEL) == COMPONENT)
        for lease in (await store.list(self._row, chosen)).items:
            if expired(lease.object, now):
                await self._delete(lease)

    async def _delete(self, lease: Cached) -> None:
        try:
            await self._backend.store.delete(self._row, NAMESPACE, lease.name, lease.revision)
        except (Conflict, NotFound):
            return
        log.info("lease of a dead API server deleted name=%s", lease.name)

    async def run(self) -> None:
        """Renew and collect, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_again(self.renew, RENEW_S))
            group.create_task(_again(self.collect, COLLECT_S))


async def _again(do: Callable[[], Awaitable[None]], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await do()
        except StatusError as error:  # the store is away: the next time will do
            log.warning("identity lease not kept error=%s", error.message)
