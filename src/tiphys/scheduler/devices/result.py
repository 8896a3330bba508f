"""What an allocation looks like in a claim's status. Source: resource.k8s.io/v1 AllocationResult."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tiphys.apimachinery.meta import Object
from tiphys.scheduler.devices.allocate import Granted

_SHARES: Final = uuid.UUID("6f3f9e0b-52c1-4c1c-9c5f-3d0f6a4b7a10")
"""The namespace that shares are named in."""


def allocation(
    claim: Object, granted: Sequence[Granted], classes: Mapping[str, Object], node: Object
) -> dict[str, Any]:
    """Return ``status.allocation`` for what a claim got on a node."""
    uid = str(claim["metadata"].get("uid") or "")
    devices: dict[str, Any] = {
        "results": [_result(one, f"{uid}/{index}") for index, one in enumerate(granted)]
    }
    config = [*_class_configs(granted, classes), *_claim_configs(claim, granted)]
    if config:
        devices["config"] = config
    made: dict[str, Any] = {"devices": devices}
    selector = _node_selector(granted, node)
    return {**made, "nodeSelector": selector} if selector else made


def _result(one: Granted, place: str) -> dict[str, Any]:
    driver, pool, device = one.device.id
    result: dict[str, Any] = {"request": one.wanted.name, "driver": driver, "pool": pool, "device": device}
    if one.wanted.admin:
        result["adminAccess"] = True
    if one.wanted.ask.get("tolerations"):
        result["tolerations"] = one.wanted.ask["tolerations"]
    if one.device.ready_when:
        result["bindingConditions"] = list(one.device.ready_when)
        result["bindingFailureConditions"] = list(one.device.failed_when)
    if one.device.shared:
        # Its own for each share: of the claim and the place in it, so that deciding again says the same.
        result["shareID"] = str(uuid.uuid5(_SHARES, f"{place}/{driver}/{pool}/{device}"))
        result["consumedCapacity"] = {
            one.device.capacities[name].text: str(amount) for name, amount in one.consumed.items()
        }
    return result


def _class_configs(granted: Sequence[Granted], classes: Mapping[str, Object]) -> Iterable[dict[str, Any]]:
    for name, device_class in dict.fromkeys(
        (one.wanted.name, one.wanted.ask["deviceClassName"]) for one in granted
    ):
        for config in ((classes.get(device_class) or {}).get("spec") or {}).get("config") or ():
            yield {"source": "FromClass", "requests": [name], **config}


def _claim_configs(claim: Object, granted: Sequence[Granted]) -> Iterable[dict[str, Any]]:
    names = {one.wanted.name for one in granted}
    names |= {name.partition("/")[0] for name in names}
    for config in (claim["spec"].get("devices") or {}).get("config") or ():
        requests = config.get("requests") or ()
        if not requests or names & set(requests):
            yield {"source": "FromClaim", **config}


def _node_selector(granted: Sequence[Granted], node: Object) -> dict[str, Any] | None:
    """Devices of one node bind to it; those that several nodes reach bind to all of these."""
    expressions: list[Any] = []
    fields: list[Any] = []
    for place in ({**one.device.place, "binds": one.device.binds_to_node} for one in granted):
        if place.get("nodeName") or place.get("binds"):
            name = node["metadata"]["name"]
            only = {"key": "metadata.name", "operator": "In", "values": [name]}
            return {"nodeSelectorTerms": [{"matchFields": [only]}]}
        for term in (place.get("nodeSelector") or {}).get("nodeSelectorTerms") or ():
            expressions += [one for one in term.get("matchExpressions") or () if one not in expressions]
            fields += [one for one in term.get("matchFields") or () if one not in fields]
    term = {"matchExpressions": expressions} if expressions else {}
    term |= {"matchFields": fields} if fields else {}
    return {"nodeSelectorTerms": [term]} if term else None
