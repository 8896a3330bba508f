"""Writes decisions: volumes first where a pod waits for them, then the Binding.

A shell: no choices are made here. ``Binder.bind`` raises what the API server or the wait for volumes came to;
the scheduler then takes the assumed pod back. Source: core/v1 Binding, KEP-490.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import Object, split_key
from tiphys.client.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from tiphys.client.rest import Client
from tiphys.scheduler.plugins.volumes import VolumeChoice, is_bound
from tiphys.scheduler.podinfo import PodInfo
from tiphys.scheduler.queue import Queued
from tiphys.scheduler.volumes import Volumes

SELECTED_NODE = "volume.kubernetes.io/selected-node"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
VOLUMES_WITHIN_S = 600.0


class VolumesNotBound(TiphysError):
    """The pod's claims were not bound in time, or whoever makes volumes gave the node back."""


@dataclass(frozen=True, slots=True)
class Assumed:
    """A pod that counts on its node already, before the API server knows."""

    queued: Queued
    node: str
    volumes: VolumeChoice

    @property
    def info(self) -> PodInfo:
        return self.queued.info


class Binder:
    """Binds pods. ``claims_changed`` must be called whenever a claim did."""

    def __init__(self, client: Client, volumes: Volumes, within_s: float = VOLUMES_WITHIN_S) -> None:
        """``within_s``: how long a pod may wait for its volumes once its node is chosen."""
        self._client = client
        self._within_s = within_s
        self._volumes = volumes
        self._changed = asyncio.Event()

    def claims_changed(self) -> None:
        """Wake whoever waits for claims."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def bind(self, assumed: Assumed) -> None:
        """Bind the pod's volumes, then the pod.

        Raises StatusError, TransportError or VolumesNotBound.
        """
        info = assumed.info
        if assumed.volumes.bind or assumed.volumes.provision:
            await self._bind_volumes(assumed)
        name = info.pod["metadata"]["name"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": info.namespace, "uid": info.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": assumed.node},
        }
        await self._client.post(PODS, name, info.namespace, "binding", binding)

    async def _bind_volumes(self, assumed: Assumed) -> None:
        choice = assumed.volumes
        for key, volume in choice.bind:
            await self._give_volume(key, volume)
        for key in choice.provision:
            namespace, name = split_key(key)
            patch = {"metadata": {"annotations": {SELECTED_NODE: assumed.node}}}
            await self._client.patch(PERSISTENT_VOLUME_CLAIMS, name, namespace, patch)
        try:
            async with asyncio.timeout(self._within_s):
                for key in (*(key for key, _ in choice.bind), *choice.provision):
                    await self._wait_bound(key, assumed.node)
        except TimeoutError:
            raise VolumesNotBound(f"claims of pod {assumed.info.key} not bound in time") from None

    async def _give_volume(self, key: str, volume_name: str) -> None:
        claim, volume = self._volumes.claims.get(key), self._volumes.volumes.get(volume_name)
        if claim is None or volume is None:
            raise VolumesNotBound(f"claim {key} or volume {volume_name} is gone")
        if (volume["spec"].get("claimRef") or {}).get("uid") == claim["metadata"]["uid"]:
            return
        meta = claim["metadata"]
        ref = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        }
        # With the version that was judged: two pods may have chosen the same volume.
        own = {
            "resourceVersion": volume["metadata"]["resourceVersion"],
            "annotations": {BOUND_BY_CONTROLLER: "yes"},
        }
        await self._client.patch(
            PERSISTENT_VOLUMES, volume_name, "", {"metadata": own, "spec": {"claimRef": ref}}
        )

    async def _wait_bound(self, key: str, node: str) -> None:
        chosen_seen = False
        while True:
            changed = self._changed
            claim = self._volumes.claims.get(key)
            if claim is None:
                raise VolumesNotBound(f"claim {key} is gone")
            if is_bound(claim):
                return
            selected = _selected_node(claim) == node
            if chosen_seen and not selected:
                raise VolumesNotBound(f"claim {key} lost its node: making the volume there failed")
            chosen_seen |= selected
            await changed.wait()


def _selected_node(claim: Object) -> str:
    return str((claim["metadata"].get("annotations") or {}).get(SELECTED_NODE) or "")
