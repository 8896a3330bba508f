"""What the status of a claim may say, and what is forgotten of devices that are given back."""

# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apis.strategies import strategy_for

CLAIM = strategy_for(GVK("resource.k8s.io", "v1", "ResourceClaim"))
NO_REQUEST = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)
DRIVER = "gpu.example.com"
UID = "0123abcd-0000-1111-2222-333344445555"
RESULT = {"request": "gpu", "driver": DRIVER, "pool": "p", "device": "d"}
DEVICE = {"driver": DRIVER, "pool": "p", "device": "d"}
CONSUMER = {"resource": "pods", "name": "a", "uid": "u"}
A, R, D = "status.allocation.devices", "status.allocation.devices.results[0]", "status.devices[0]"


def claim(deleted: bool = False, **status: Any) -> dict[str, Any]:
    meta = {"name": "c", **({"deletionTimestamp": "t"} if deleted else {})}
    requests = [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]
    return {"metadata": meta, "spec": {"devices": {"requests": requests}}, "status": status}


def allocated(*results: dict[str, Any], config: Any = None, selector: Any = None, **status: Any) -> Any:
    devices: dict[str, Any] = {"results": list(results or (RESULT,))}
    if config is not None:
        devices["config"] = config
    allocation: dict[str, Any] = {"devices": devices}
    if selector is not None:
        allocation["nodeSelector"] = selector
    return claim(allocation=allocation, **status)


def reporting(**parts: Any) -> Any:
    return allocated(devices=[{**DEVICE, **parts}])


def shown(device: str) -> str:
    """Return a device as faults show it."""
    return f'{{"Driver":"{DRIVER}","Pool":"p","Device":"{device}","ShareID":""}}'


def conditions(count: int) -> list[dict[str, Any]]:
    part = {"status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return [{"type": f"t{index}", **part} for index in range(count)]


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": (claim(), []),
    "allocated and reserved": (allocated(reservedFor=[CONSUMER]), []),
    "reserved before it is allocated": (
        claim(reservedFor=[CONSUMER]),
        ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
    ),
    "reserved for nobody": (
        allocated(reservedFor=[{}]),
        [f"status.reservedFor[0].{key}: Required value" for key in ("resource", "name", "uid")],
    ),
    "reserved twice for one": (
        allocated(reservedFor=[CONSUMER, {**CONSUMER, "name": "b"}]),
        ['status.reservedFor[1]: Duplicate value: "u"'],
    ),
    "reserved for very many": (
        allocated(reservedFor=[{**CONSUMER, "uid": str(index)} for index in range(257)]),
        ["status.reservedFor: Too many: 257: must have at most 256 items"],
    ),
    "for another request": (
        allocated({**RESULT, "request": "other"}),
        [f'{R}.request: Invalid value: "other": {NO_REQUEST}'],
    ),
    "a device without a name": (
        allocated({**RESULT, "driver": "", "pool": "", "device": "D"}),
        [
            f"{R}.driver: Required value",
            f"{R}.pool: Required value",
            f'{R}.device: Invalid value: "D": a lowercase RFC 1123 label',
        ],
    ),
    "many results": (
        allocated(*[RESULT] * 33),
        [f"{A}.results: Too many: 33: must have at most 32 items"],
    ),
    "a share": (allocated({**RESULT, "shareID": UID}), []),
    "a share in capitals": (
        allocated({**RESULT, "shareID": UID.upper()}),
        [
            f'{R}.shareID: Invalid value: "{UID.upper()}": uid must be in RFC 4122 normalized form, '
            "`xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters"
        ],
    ),
    "a share that is none": (
        allocated({**RESULT, "shareID": "x"}),
        [f'{R}.shareID: Invalid value: "x": error validating uid: invalid UUID length: 1'],
    ),
    "a share of the right length": (
        allocated({**RESULT, "shareID": "g" * 36}),
        [f'{R}.shareID: Invalid value: "{"g" * 36}": error validating uid: invalid UUID format'],
    ),
    "a share in braces": (
        allocated({**RESULT, "shareID": f"({UID})"}),
        [f'{R}.shareID: Invalid value: "({UID})": error validating uid: invalid bracketed UUID format'],
    ),
    "a share as a name": (
        allocated({**RESULT, "shareID": f"urn:guid:{UID}"}),
        [
            f'{R}.shareID: Invalid value: "urn:guid:{UID}": error validating uid: '
            'invalid urn prefix: "urn:guid:"'
        ],
    ),
    "conditions of one kind only": (
        allocated({**RESULT, "bindingConditions": ["a"]}),
        [
            f"{R}.bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use "
            "bindingConditions"
        ],
    ),
    "configuration": (
        allocated(config=[{"source": "FromClaim", "opaque": {"driver": DRIVER, "parameters": {}}}]),
        [],
    ),
    "configuration of nobody": (
        allocated(config=[{}, {"source": "X", "opaque": {"driver": DRIVER, "parameters": {}}}]),
        [
            f"{A}.config[0].source: Required value",
            f"{A}.config[0].opaque: Required value",
            f'{A}.config[1].source: Unsupported value: "X": supported values: "FromClaim", "FromClass"',
        ],
    ),
    "nodes": (
        allocated(selector={"nodeSelectorTerms": []}),
        [
            "status.allocation.nodeSelector.nodeSelectorTerms: Required value: must have at least one node "
            "selector term"
        ],
    ),
    "a report of a device": (reporting(conditions=conditions(1), data={"a": 1}), []),
    "a report of another device": (
        reporting(device="e"),
        [f"{D}: Invalid value: {shown('e')}: must be an allocated device in the claim"],
    ),
    "two reports": (
        allocated(devices=[DEVICE, DEVICE]),
        [f"status.devices[1]: Duplicate value: {shown('d')}"],
    ),
    "many conditions": (
        reporting(conditions=conditions(9)),
        [f"{D}.conditions: Too many: 9: must have at most 8 items"],
    ),
    "data that is no object": (
        reporting(data=[1]),
        [f'{D}.data: Invalid value: "<value omitted>": must be a valid JSON object'],
    ),
    "much data": (
        reporting(data={"a": "x" * 10240}),
        [f"{D}.data: Too long: may not be more than 10240 bytes"],
    ),
    "network": (
        reporting(
            networkData={
                "interfaceName": "eth0",
                "hardwareAddress": "aa",
                "ips": ["10.9.8.7/24", "fd00::1/64"],
            }
        ),
        [],
    ),
    "network addresses": (
        reporting(networkData={"ips": ["10.9.8.7", "010.9.8.7/24", "FD00::1/64", "::ffff:1.2.3.4/120"]}),
        [
            f'{D}.networkData.ips[0]: Invalid value: "10.9.8.7": must be a valid address in CIDR form, '
            "(e.g. 10.9.8.7/24 or 2001:db8::1/64)",
            f'{D}.networkData.ips[1]: Invalid value: "010.9.8.7/24": must be in canonical form ("10.9.8.7/24")',
            f'{D}.networkData.ips[2]: Invalid value: "FD00::1/64": must be in canonical form ("fd00::1/64")',
            f'{D}.networkData.ips[3]: Invalid value: "::ffff:1.2.3.4/120": must be in canonical form '
            '("1.2.3.4/24")',
        ],
    ),
    "network names": (
        reporting(networkData={"interfaceName": "x" * 257, "hardwareAddress": "x" * 129}),
        [
            f"{D}.networkData.interfaceName: Too long: may not be more than 256 bytes",
            f"{D}.networkData.hardwareAddress: Too long: may not be more than 128 bytes",
        ],
    ),
    "many network addresses": (
        reporting(networkData={"ips": [f"10.0.0.{index}/8" for index in range(17)]}),
        [f"{D}.networkData.ips: Too many: 17: must have at most 16 items"],
    ),
}


def found(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    return [str(fault) for fault in CLAIM.validate_status_update(new, old)]


@pytest.mark.parametrize(("new", "expected"), CASES.values(), ids=CASES)
def test_status(new: dict[str, Any], expected: list[str]) -> None:
    texts = found(new, claim())
    assert len(texts) == len(expected)
    for text, start in zip(texts, expected, strict=True):
        assert text.startswith(start) if "RFC 1123" in text else text == start


def test_what_is_allocated_stays_and_is_not_judged_again() -> None:
    odd = allocated({**RESULT, "request": "other"})
    assert found(odd, odd) == []
    assert found(allocated(), odd) == [
        'status.allocation: Invalid value: {"Devices":{"Results":[{"Request":"gpu","Driver":"gpu.example.com","Pool":"p",'
        '"Device":"d","AdminAccess":null,"Tolerations":null,"BindingConditions":null,"BindingFailureConditions":null,'
        '"ShareID":null,"ConsumedCapacity":null}],"Config":null},"NodeSelector":null,"AllocationTimestamp":null}: '
        "field is immutable"
    ]
    assert found(claim(), odd) == []


def test_nobody_joins_a_claim_that_is_given_back() -> None:
    old = allocated(reservedFor=[CONSUMER])
    new = {**old, "metadata": claim(deleted=True)["metadata"]}
    assert found(new, old) == []
    more = copy_object(new)
    more["status"]["reservedFor"].append({**CONSUMER, "uid": "v"})
    assert found(more, old) == [
        "status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or "
        "`deletionTimestamp` are set"
    ]


def test_devices_that_are_given_back_report_nothing() -> None:
    other = {**RESULT, "device": "e"}
    reports = [DEVICE, {**DEVICE, "device": "e"}]
    old = allocated(RESULT, other, devices=reports)
    fewer = allocated(RESULT, devices=reports)
    CLAIM.prepare_status_update(fewer, old)
    assert fewer["status"]["devices"] == [DEVICE]
    none = claim(devices=reports)
    CLAIM.prepare_status_update(none, old)
    assert "devices" not in none["status"]
    same = copy_object(old)
    CLAIM.prepare_status_update(same, old)
    assert same == old
