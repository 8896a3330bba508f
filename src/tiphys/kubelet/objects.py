"""Config maps and secrets that the node's pods refer to, each watched by itself while a pod needs it.

Owns the watches and who holds them. A node may read only what its pods name, so there is no watch of
whole collections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from tiphys.apimachinery.meta import GVR, Object
from tiphys.client.informer import Informer
from tiphys.client.rest import Client

Ref = tuple[GVR, str, str]
"""Resource, namespace, name."""

_SYNC_S = 10.0


class ObjectCache:
    """Use ``run`` under a TaskGroup; ``on_change`` is told the UIDs of pods whose objects changed."""

    def __init__(self, client: Client, on_change: Callable[[set[str]], None]) -> None:
        self._client = client
        self._on_change = on_change
        self._held: dict[str, set[Ref]] = {}
        self._holders: dict[Ref, set[str]] = {}
        self._watches: dict[Ref, tuple[Informer, asyncio.Task[None]]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keep the watches until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    def hold(self, pod_uid: str, refs: Iterable[Ref]) -> None:
        """Watch these objects for a pod, in place of those held before."""
        wanted = {ref for ref in refs if ref[2]}
        before = self._held.get(pod_uid, set())
        for ref in wanted - before:
            self._holders.setdefault(ref, set()).add(pod_uid)
        for ref in before - wanted:
            self._let_go(ref, pod_uid)
        self._held[pod_uid] = wanted

    def release(self, pod_uid: str) -> None:
        """Stop watching for a pod that is gone."""
        for ref in self._held.pop(pod_uid, set()):
            self._let_go(ref, pod_uid)

    def _let_go(self, ref: Ref, pod_uid: str) -> None:
        holders = self._holders.get(ref, set())
        holders.discard(pod_uid)
        if not holders:
            self._holders.pop(ref, None)
            if watch := self._watches.pop(ref, None):
                watch[1].cancel()

    async def get(self, ref: Ref) -> Object | None:
        """Return the object as last seen, or None if there is none. Raises TimeoutError without an answer."""
        watch = self._watches.get(ref)
        if watch is None:
            watch = self._start(ref)
        async with asyncio.timeout(_SYNC_S):
            await watch[0].wait_synced()
        return self.peek(ref)

    def peek(self, ref: Ref) -> Object | None:
        """Return what is known now, without waiting."""
        watch = self._watches.get(ref)
        return watch[0].get(f"{ref[1]}/{ref[2]}") if watch else None

    def _start(self, ref: Ref) -> tuple[Informer, asyncio.Task[None]]:
        if self._group is None:
            raise RuntimeError("the object cache does not run")
        gvr, namespace, name = ref
        informer = Informer(self._client, gvr, namespace=namespace, field_selector=f"metadata.name={name}")

        def changed(old: Object | None, new: Object | None) -> None:
            if informer.synced:
                self._on_change(set(self._holders.get(ref, ())))

        informer.add_handler(changed)
        self._watches[ref] = (informer, self._group.create_task(informer.run()))
        return self._watches[ref]
