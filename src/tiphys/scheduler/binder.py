"""Writes decisions: volumes and devices first where a pod waits for them, then the Binding.

A shell: no choices are made here. ``Binder.bind`` raises what the API server or the wait for volumes came to;
the scheduler then takes the assumed pod back. Source: core/v1 Binding, KEP-490.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import field
from typing import Any

from tiphys.apimachinery.clock import Clock, RealClock, rfc3339
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import Conflict, NotFound, StatusError, TiphysError
from tiphys.apimachinery.meta import Object, object_key, split_key
from tiphys.client.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, RESOURCE_CLAIMS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.scheduler.devices.extended import UNMADE, ExtendedClaim
from tiphys.scheduler.devices.state import Devices, allocation_of
from tiphys.scheduler.extenders import Extenders
from tiphys.scheduler.metrics import VOLUMES_FAILED, making_claim
from tiphys.scheduler.plugins.dynamic import DeviceChoice, is_reserved_for, readiness
from tiphys.scheduler.plugins.volumes import SELECTED_NODE, VolumeChoice, is_bound
from tiphys.scheduler.pod_status import write_status
from tiphys.scheduler.podinfo import PodInfo
from tiphys.scheduler.queue import Queued
from tiphys.scheduler.volumes import Volumes

log = logging.getLogger(__name__)

BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
FINALIZER = "resource.kubernetes.io/delete-protection"
_TRIES = 5
_MOMENT = "allocationTimestamp"
VOLUMES_WITHIN_S = 600.0


class NotBound(TiphysError):
    """What the pod needs on its node could not be had; it is tried again."""


class VolumesNotBound(NotBound):
    """The pod's claims were not bound in time, or whoever makes volumes gave the node back."""


class DevicesNotReady(NotBound):
    """A device was not made ready for the node, or not in time: its claim gave it back."""


class ClaimNotReserved(NotBound):
    """A claim for devices changed while the pod was being bound."""


@dataclass(frozen=True, slots=True)
class Assumed:
    """A pod that counts on its node already, before the API server knows."""

    queued: Queued
    node: str
    volumes: VolumeChoice
    devices: DeviceChoice = field(default=DeviceChoice())
    within_s: float = VOLUMES_WITHIN_S
    """How long the pod may wait for its volumes once its node is chosen."""
    devices_within_s: float = VOLUMES_WITHIN_S
    """The same for its devices."""

    @property
    def info(self) -> PodInfo:
        return self.queued.info

    @property
    def prepares(self) -> bool:
        """Whether something must be written for the pod before its Binding, which may take its time."""
        volumes, devices = self.volumes, self.devices
        return bool(
            volumes.bind or volumes.provision or devices.claims or devices.awaited or devices.extended
        )

    @property
    def unmade(self) -> str:
        """The key under which devices of a claim for extended resources count until it is made."""
        return f"{UNMADE}/{self.info.uid}"


def reserved(claim: Object, allocation: dict[str, Any] | None, info: PodInfo, moment: str) -> Object:
    """Return the claim with the pod as a consumer; ``moment``: when it gets devices, if it does now.

    Raises ClaimNotReserved when the claim's devices are not those that were decided on.
    """
    status = dict(claim.get("status") or {})
    if allocation is not None:
        known = {key: one for key, one in (allocation_of(claim) or {}).items() if key != _MOMENT}
        if known not in ({}, allocation):
            raise ClaimNotReserved(f"claim {object_key(claim)} got its devices from somebody else")
        status["allocation"] = {**allocation, _MOMENT: (allocation_of(claim) or {}).get(_MOMENT) or moment}
    elif allocation_of(claim) is None:
        raise ClaimNotReserved(f"claim {object_key(claim)} lost its devices")
    if not is_reserved_for(claim, info.uid):
        consumer = {"resource": "pods", "name": info.pod["metadata"]["name"], "uid": info.uid}
        status["reservedFor"] = [*(status.get("reservedFor") or ()), consumer]
    return {**claim, "status": status}


class Binder:
    """Binds pods. ``claims_changed`` must be called whenever a claim did."""

    def __init__(
        self,
        client: Client,
        volumes: Volumes,
        devices: Devices | None = None,
        extenders: Extenders | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._client = client
        self._clock = clock or RealClock()
        self._devices = devices or Devices()
        self._extenders = extenders or Extenders(())
        self._volumes = volumes
        self._changed = asyncio.Event()

    def claims_changed(self) -> None:
        """Wake whoever waits for claims."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def bind(self, assumed: Assumed, prepared: Callable[[], None] = lambda: None) -> None:
        """Bind the pod's volumes, then the pod; ``prepared`` is called when only the Binding is left.

        Raises StatusError, TransportError, VolumesNotBound, ClaimNotReserved, DevicesNotReady or
        ExtenderFailed.
        """
        info = assumed.info
        if assumed.prepares:
            await self._announce(assumed)
        if assumed.volumes.bind or assumed.volumes.provision:
            try:
                await self._bind_volumes(assumed)
            except TiphysError:
                VOLUMES_FAILED.labels("bind").inc()
                raise
        for key, allocation in assumed.devices.claims:
            await self._reserve(key, allocation, info)
        if assumed.devices.awaited:
            await self._wait_ready(assumed)
        if assumed.devices.extended is None:
            prepared()
            await self._write_binding(assumed)
            return
        key = await self._make_claim(assumed.devices.extended)
        try:
            await self._use_claim(assumed, assumed.devices.extended, key)
            prepared()
            await self._write_binding(assumed)
        except TiphysError as error:
            # What became of a Binding without an answer nobody knows: the pod may be bound, and need this.
            if not isinstance(error, TransportError):
                await self.delete_claim(key)
            raise

    async def _write_binding(self, assumed: Assumed) -> None:
        info = assumed.info
        binder = self._extenders.binder_of(info)
        if binder is not None:
            await binder.bind(info, assumed.node)
            return
        name = info.pod["metadata"]["name"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": info.namespace, "uid": info.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": assumed.node},
        }
        await self._client.post(PODS, name, info.namespace, "binding", binding)

    async def _announce(self, assumed: Assumed) -> None:
        """Tell others (autoscalers, say, and the next scheduler) where the pod is about to go."""
        try:
            await write_status(self._client, assumed.info, {"nominatedNodeName": assumed.node})
        except (StatusError, TransportError) as error:
            log.info("expected node not written pod=%s error=%s", assumed.info.key, error)

    async def _make_claim(self, extended: ExtendedClaim) -> str:
        """Make the claim for a pod's extended resources; return its key."""
        kept = {key: one for key, one in extended.claim["metadata"].items() if key not in ("name", "uid")}
        with making_claim():
            made = await self._client.create(RESOURCE_CLAIMS, {**extended.claim, "metadata": kept})
        return object_key(made)

    async def _use_claim(self, assumed: Assumed, extended: ExtendedClaim, key: str) -> None:
        """Give the claim its devices, and tell the kubelet in the pod's status which container has which."""
        info = assumed.info
        await self._reserve(key, extended.allocation, info)
        self._devices.settle(assumed.unmade, key, extended.allocation)
        if extended.awaited:
            await self._wait_ready(assumed, (key,))
        said = {"requestMappings": list(extended.mappings), "resourceClaimName": split_key(key)[1]}
        await write_status(self._client, info, {"extendedResourceClaimStatus": said})

    async def delete_claim(self, key: str) -> None:
        """Delete a claim that was made for extended resources of a pod that is not bound, devices and all."""
        namespace, name = split_key(key)
        try:
            claim = await self._client.get(RESOURCE_CLAIMS, name, namespace)
            kept = [one for one in claim["metadata"].get("finalizers") or () if one != FINALIZER]
            await self._client.update(
                RESOURCE_CLAIMS, {**claim, "metadata": {**claim["metadata"], "finalizers": kept}}
            )
            await self._client.delete(RESOURCE_CLAIMS, name, namespace)
        except NotFound:
            pass
        except (StatusError, TransportError) as error:
            log.warning("claim not deleted claim=%s error=%s", key, error)
        self._devices.forget(key)

    async def _reserve(self, key: str, allocation: dict[str, Any] | None, info: PodInfo) -> None:
        """Make the pod a consumer of a claim, and give the claim its devices if it has none yet."""
        namespace, name = split_key(key)
        claim = await self._client.get(RESOURCE_CLAIMS, name, namespace)
        for _ in range(_TRIES):
            try:
                await self._write_claim(reserved(claim, allocation, info, rfc3339(self._clock.now())))
                return
            except Conflict:
                claim = await self._client.get(RESOURCE_CLAIMS, name, namespace)
        raise ClaimNotReserved(f"claim {key} changes too fast")

    async def _wait_ready(self, assumed: Assumed, keys: tuple[str, ...] = ()) -> None:
        """Wait until drivers have made the pod's devices ready; what fails gives its devices back."""
        keys = keys or assumed.devices.awaited
        try:
            async with asyncio.timeout(assumed.devices_within_s):
                for key in keys:
                    await self._wait_claim_ready(key)
        except (TimeoutError, DevicesNotReady) as error:
            for key in keys:
                await self._give_back(key, assumed.info)
            if isinstance(error, DevicesNotReady):
                raise
            raise DevicesNotReady(f"devices of pod {assumed.info.key} were not ready in time") from None

    async def _wait_claim_ready(self, key: str) -> None:
        seen = False
        while True:
            changed = self._changed
            claim = self._devices.claim(key)
            if claim is None and not seen:  # it has just been made
                await changed.wait()
                continue
            seen = True
            if claim is None:
                raise DevicesNotReady(f"claim {key} is gone")
            ready, failed = readiness(claim)
            if failed:
                raise DevicesNotReady(f"claim {key}: {failed}")
            if ready and allocation_of(claim) is not None:
                return
            await changed.wait()

    async def _give_back(self, key: str, info: PodInfo) -> None:
        """Take the pod from a claim's consumers, and the devices from the claim if nobody else uses it."""
        namespace, name = split_key(key)
        for _ in range(_TRIES):
            try:
                claim = await self._client.get(RESOURCE_CLAIMS, name, namespace)
                status = dict(claim.get("status") or {})
                others = [one for one in status.pop("reservedFor", None) or () if one.get("uid") != info.uid]
                if others:
                    status["reservedFor"] = others
                else:
                    status.pop("allocation", None)
                    status.pop("devices", None)
                await self._client.update(RESOURCE_CLAIMS, {**claim, "status": status}, "status")
                return
            except Conflict:
                continue
            except NotFound:
                return

    async def _write_claim(self, claim: Object) -> None:
        status = claim["status"]
        if FINALIZER not in (claim["metadata"].get("finalizers") or ()):
            # The finalizer comes first: an allocation must not vanish with its claim unseen.
            kept = [*(claim["metadata"].get("finalizers") or ()), FINALIZER]
            claim = {**claim, "metadata": {**claim["metadata"], "finalizers": kept}}
            claim = await self._client.update(RESOURCE_CLAIMS, claim)
        await self._client.update(RESOURCE_CLAIMS, {**claim, "status": status}, "status")

    async def _bind_volumes(self, assumed: Assumed) -> None:
        choice = assumed.volumes
        for key, volume in choice.bind:
            await self._give_volume(key, volume)
        for key in choice.provision:
            namespace, name = split_key(key)
            patch = {"metadata": {"annotations": {SELECTED_NODE: assumed.node}}}
            await self._client.patch(PERSISTENT_VOLUME_CLAIMS, name, namespace, patch)
        try:
            async with asyncio.timeout(assumed.within_s):
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
        own = {"resourceVersion": volume["metadata"]["resourceVersion"]}
        if not volume["spec"].get("claimRef"):
            own["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
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
