"""DynamicResources: a pod goes where its claims' devices are, or where they can be given.

``choose_devices`` says what binding a pod to a node would need; the shell writes it.
Source: KEP-4381 (structured parameters).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, object_key
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.counts import Mask
from tiphys.scheduler.devices.allocate import allocate, alternatives
from tiphys.scheduler.devices.extended import ExtendedClaim, requests_and_mappings, unmade_claim
from tiphys.scheduler.devices.result import allocation
from tiphys.scheduler.devices.selectors import SelectorError
from tiphys.scheduler.devices.state import allocation_of
from tiphys.scheduler.framework import Decision, Filtered
from tiphys.scheduler.hints import Change
from tiphys.scheduler.matching import matches_node_selector
from tiphys.scheduler.plugins.static import by_node
from tiphys.scheduler.podinfo import PodInfo

CANNOT_ALLOCATE = "cannot allocate all claims"
ELSEWHERE = "resourceclaim not available on the node"
IN_USE = "resourceclaim in use"
STALE = "cannot schedule extended resource claim"
NOT_READ = "not found"
"""An earlier try made it and ended: it is deleted, as what it has may be wrong by now."""
MOST_CONSUMERS = 256
"""As many pods may share a claim."""


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """What must be written before a pod is bound: claims (keys) to reserve, and what they get if anything."""

    claims: tuple[tuple[str, dict[str, Any] | None], ...] = ()
    awaited: tuple[str, ...] = ()
    """Claims with devices that must be made ready for the node first."""
    extended: ExtendedClaim | None = None
    """A claim to make for extended resources."""

    @property
    def waits(self) -> bool:
        """Whether devices must be made ready first, which may take long."""
        return bool(self.awaited or (self.extended and self.extended.awaited))


def claim_keys(pod: Object) -> dict[str, bool] | None:
    """Return the keys of a pod's ResourceClaims, and whether each was made for it.

    None while one of them is still to be made.
    """
    made = {
        one["name"]: one.get("resourceClaimName")
        for one in (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    }
    keys: dict[str, bool] = {}
    for one in pod["spec"].get("resourceClaims") or ():
        own = bool(one.get("resourceClaimTemplateName"))
        if own and one["name"] not in made:
            return None
        name = made.get(one["name"]) if own else one.get("resourceClaimName")
        if name:  # a template may turn out to need no claim
            keys[f"{pod['metadata']['namespace']}/{name}"] = own
    return keys


def waits_for_claims(info: PodInfo, columns: Columns) -> bool:
    """Say whether the pod's claims are still to be made: nothing to decide, and nothing to tell."""
    if not info.pod["spec"].get("resourceClaims"):
        return False
    keys = claim_keys(info.pod)
    return keys is None or any(columns.devices.claim(key) is None for key in keys)


def is_reserved_for(claim: Object, uid: str) -> bool:
    """Say whether the pod is among the claim's consumers."""
    return any(one.get("uid") == uid for one in (claim.get("status") or {}).get("reservedFor") or ())


class DynamicResources:
    """Keeps a pod to the nodes where all of its claims can be had together."""

    name = "DynamicResources"

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        served = columns.devices.served(info.requests)
        if not served and not info.pod["spec"].get("resourceClaims"):
            return None
        claims = _claims(info, columns)
        fault = _fault(info, claims, columns)
        if not fault and served and columns.devices.made_for(info.pod) is not None:
            return Filtered(np.zeros(len(columns.names), dtype=np.bool_), lambda _row: (STALE,), True)
        if fault:
            return Filtered(np.zeros(len(columns.names), dtype=np.bool_), lambda _row: (fault,), True, fault)
        here = columns.alive.copy()
        for _, claim in claims:
            selector = (allocation_of(claim) or {}).get("nodeSelector")
            if selector:
                here &= by_node(columns, partial(matches_node_selector, selector))
        waiting = [claim for _, claim in claims if allocation_of(claim) is None]
        passes: Mask = here.copy()
        try:
            for row in np.flatnonzero(here).tolist() if waiting or served else ():
                needed = _needed(served, columns, row)
                asked = [*waiting, _unmade(info, needed, columns)[0]] if needed else waiting
                passes[row] = not asked or _fits(asked, columns, columns.nodes[row] or {})
        except SelectorError as error:
            text = str(error)
            return Filtered(np.zeros(len(columns.names), dtype=np.bool_), lambda _row: (text,), True, text)
        return Filtered(
            passes, lambda row: (CANNOT_ALLOCATE if here[row] else ELSEWHERE,), unresolvable=~here
        )

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """Its own claims help, devices that others give back, and whatever offers devices."""
        if change.event == "node-static":
            return change.relabelled
        if change.resource != "resourceclaims":
            return True
        claim = change.new or change.old
        if claim is not None and (object_key(claim) in (claim_keys(info.pod) or ()) or _is_for(claim, info)):
            return True
        had = change.old is not None and allocation_of(change.old) is not None
        return had and (change.new is None or allocation_of(change.new) is None)


def _is_for(claim: Object, info: PodInfo) -> bool:
    """Say whether the claim was made for the pod, which may not name it yet."""
    return any(one.get("uid") == info.uid for one in claim["metadata"].get("ownerReferences") or ())


def _needed(served: Sequence[str], columns: Columns, row: int) -> tuple[str, ...]:
    """Return the resources that the node itself does not offer, so that devices must serve them."""
    places = [columns.column(name) for name in served]
    return tuple(name for name, at in zip(served, places, strict=True) if not columns.allocatable[at, row])


def _unmade(
    info: PodInfo, needed: Sequence[str], columns: Columns
) -> tuple[Object, tuple[dict[str, str], ...]]:
    classes = {name: columns.devices.serving[name] for name in needed}
    requests, mappings = requests_and_mappings(info.pod["spec"], classes)
    return unmade_claim(info.pod, requests), mappings


def _claims(info: PodInfo, columns: Columns) -> list[tuple[str, Object]]:
    found = [(key, columns.devices.claim(key)) for key in claim_keys(info.pod) or ()]
    return [(key, claim) for key, claim in found if claim is not None]


def _fault(info: PodInfo, claims: list[tuple[str, Object]], columns: Columns) -> str:
    made = claim_keys(info.pod) or {}
    for key, claim in claims:
        meta = claim["metadata"]
        if meta.get("deletionTimestamp"):
            return f'resourceclaim "{meta["name"]}" is being deleted'
        owner = next((one for one in meta.get("ownerReferences") or () if one.get("controller")), None)
        if made.get(key) and (owner or {}).get("uid") != info.uid:
            return (
                f"ResourceClaim {meta['namespace']}/{meta['name']} was not created for pod {info.key} "
                "(pod is not owner)"
            )
        consumers = (claim.get("status") or {}).get("reservedFor") or ()
        if len(consumers) >= MOST_CONSUMERS and not is_reserved_for(claim, info.uid):
            return IN_USE
        if allocation_of(claim) is None:
            for request in (claim["spec"].get("devices") or {}).get("requests") or ():
                for name, ask in alternatives(request):
                    if ask.get("deviceClassName") not in columns.devices.classes:
                        return f"request {name}: device class {ask.get('deviceClassName')} does not exist"
    return ""


def _fits(claims: list[Object], columns: Columns, node: Object) -> bool:
    devices = columns.devices
    return (
        allocate(claims, node, devices.pools, devices.classes, devices.taken, shares=devices.shares)
        is not None
    )


def choose_devices(info: PodInfo, columns: Columns, node_name: str) -> DeviceChoice:
    """Say what must be written so that the pod has its claims on that node."""
    served = columns.devices.served(info.requests)
    if not served and not info.pod["spec"].get("resourceClaims"):
        return DeviceChoice()
    devices, claims = columns.devices, _claims(info, columns)
    row = columns.rows[node_name]
    node = columns.nodes[row] or {}
    waiting = [claim for _, claim in claims if allocation_of(claim) is None]
    needed = _needed(served, columns, row)
    unmade, mappings = _unmade(info, needed, columns) if needed else (None, ())
    if unmade is not None:
        waiting.append(unmade)
    granted = iter(
        allocate(waiting, node, devices.pools, devices.classes, devices.taken, shares=devices.shares) or ()
    )
    chosen: list[tuple[str, dict[str, Any] | None]] = []
    for key, claim in claims:
        if allocation_of(claim) is None:
            chosen.append((key, allocation(claim, next(granted), devices.classes, node)))
        elif not is_reserved_for(claim, info.uid):
            chosen.append((key, None))
    written = dict(chosen)
    awaited = [key for key, claim in claims if _has_conditions(written.get(key) or allocation_of(claim))]
    extended: ExtendedClaim | None = None
    if unmade is not None:
        given = allocation(unmade, next(granted), devices.classes, node)
        extended = ExtendedClaim(unmade, given, mappings, _has_conditions(given))
    return DeviceChoice(tuple(chosen), tuple(awaited), extended)


def _has_conditions(allocation: dict[str, Any] | None) -> bool:
    results = ((allocation or {}).get("devices") or {}).get("results") or ()
    return any(one.get("bindingConditions") for one in results)


def readiness(claim: Object) -> tuple[bool, str]:
    """Say whether every device of an allocated claim is ready for its node, and what failed if something did.

    Source: KEP-5007 (binding conditions).
    """
    known = {_place(one): one for one in (claim.get("status") or {}).get("devices") or ()}
    ready = True
    for result in ((allocation_of(claim) or {}).get("devices") or {}).get("results") or ():
        said = (known.get(_place(result)) or {}).get("conditions") or ()
        true = {one["type"] for one in said if one.get("status") == "True"}
        for failed in result.get("bindingFailureConditions") or ():
            if failed in true:
                return False, f"device {'/'.join(_place(result)[:3])}: condition {failed} is true"
        ready = ready and true >= set(result.get("bindingConditions") or ())
    return ready, ""


def _place(device: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(device.get(name) or "") for name in ("driver", "pool", "device", "shareID"))


def deallocatable(info: PodInfo, columns: Columns) -> str:
    """Return a claim (its key) that only this pod would use and that keeps it from every node; else ''."""
    for key in claim_keys(info.pod) or ():
        claim = columns.devices.claim(key)
        consumers = ((claim or {}).get("status") or {}).get("reservedFor") or ()
        selector = (allocation_of(claim) or {}).get("nodeSelector") if claim else None
        if selector and all(one.get("uid") == info.uid for one in consumers):
            return key
    return ""


def after_filters(info: PodInfo, columns: Columns, decision: Decision) -> str:
    """Say what the plugin makes of a pod that fits nowhere, before preemption is tried. Pure.

    ``NOT_READ`` when another plugin found a fault in the pod before this one had read its claims: upstream's
    plugin fails then, and nothing else is tried. Users know the text from there.
    """
    fault = next((one.plugin for one in decision.excluded if one.filtered.pod_reason), "")
    if fault and fault != DynamicResources.name:
        return NOT_READ
    served = columns.devices.served(info.requests)
    if fault or not (served or info.pod["spec"].get("resourceClaims")):
        return "no new claims to deallocate"
    if DynamicResources.name in decision.plugins:
        if columns.devices.made_for(info.pod) is not None:
            return "deletion of ResourceClaim completed"
        if deallocatable(info, columns):
            return "deallocation of ResourceClaim completed"
    return "still not schedulable"
