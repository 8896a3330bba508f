"""What an allocation looks like in a claim's status. Source: resource.k8s.io/v1 AllocationResult."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tiphys.apimachinery.meta import Object
from tiphys.scheduler.devices.allocate import Granted


def allocation(
    claim: Object, granted: Sequence[Granted], classes: Mapping[str, Object], node: Object
) -> dict[str, Any]:
    """Return ``status.allocation`` for what a claim got on a node."""
    devices: dict[str, Any] = {"results": [_result(one) for one in granted]}
    config = [*_class_configs(granted, classes), *_claim_configs(claim, granted)]
    if config:
        devices["config"] = config
    made: dict[str, Any] = {"devices": devices}
    selector = _node_selector(granted, node)
    return {**made, "nodeSelector": selector} if selector else made


def _result(one: Granted) -> dict[str, Any]:
    driver, pool, device = one.device.id
    result: dict[str, Any] = {"request": one.wanted.name, "driver": driver, "pool": pool, "device": device}
    if one.wanted.admin:
        result["adminAccess"] = True
    if one.wanted.ask.get("tolerations"):
        result["tolerations"] = one.wanted.ask["tolerations"]
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
    for place in (one.device.place for one in granted):
        if place.get("nodeName"):
            name = node["metadata"]["name"]
            only = {"key": "metadata.name", "operator": "In", "values": [name]}
            return {"nodeSelectorTerms": [{"matchFields": [only]}]}
        for term in (place.get("nodeSelector") or {}).get("nodeSelectorTerms") or ():
            expressions += [one for one in term.get("matchExpressions") or () if one not in expressions]
            fields += [one for one in term.get("matchFields") or () if one not in fields]
    term = {"matchExpressions": expressions} if expressions else {}
    term |= {"matchFields": fields} if fields else {}
    return {"nodeSelectorTerms": [term]} if term else None
