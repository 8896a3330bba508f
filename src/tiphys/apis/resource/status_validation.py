"""Rules of a ResourceClaim's status: what was allocated, to whom it is reserved, what devices report.

Source: resource.k8s.io/v1 ResourceClaimStatus.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    Struct,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.affinity_validation import node_selector
from tiphys.apis.core.volume_sources import driver_name
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import immutable_inside
from tiphys.apis.resource.capacity_validation import binding_faults
from tiphys.apis.resource.claim_validation import Names, references_faults, request_names
from tiphys.apis.resource.device_values import configuration_faults, label_faults, pool_name_faults
from tiphys.apis.value_validation import conditions

_MOST_CONSUMERS = 256
_MOST_RESULTS = 32
_MOST_CONFIGURATIONS = 64
_MOST_CONDITIONS = 8
_MAX_DATA = 10 * 1024
_MAX_INTERFACE, _MAX_HARDWARE, _MOST_ADDRESSES = 256, 128, 16
_HEX = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_PLAIN_HEX = re.compile(r"[0-9a-fA-F]{32}")
_NORMAL = (
    "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase "
    "hexadecimal characters"
)
_NO_NEW_CONSUMERS = (
    "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
)
_ID = ("driver", "pool", "device", "shareID")
_Check = Callable[[Object, str], list[FieldError]]


def validate_claim_status(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of writing a claim's status."""
    status, before = peek(new, "status"), peek(old, "status")
    names = request_names(peek(new, "spec", "devices"))
    allocation = status.get("allocation")
    faults = _reservations(status, "status.reservedFor")
    known = {_device_id(result) for result in each(peek(status, "allocation"), "devices", "results")}
    faults += _device_statuses(list(each(status, "devices")), known, "status.devices")
    faults += _reserved_rightly(status, before, deleted=bool(peek(new, "metadata").get("deletionTimestamp")))
    if allocation is None:
        return faults
    if before.get("allocation") is not None:
        return faults + immutable_inside(
            "status.allocation", "AllocationResult", allocation, before["allocation"]
        )
    return faults + _allocation(allocation, names, "status.allocation")


def _listed(
    items: Sequence[Object], path: str, most: int, check: _Check, key: Callable[[Object], Any] | None = None
) -> list[FieldError]:
    """Check a list and, where there is a key, that no two items share one."""
    if 0 <= most < len(items):
        return [too_many(path, len(items), most)]
    faults = [fault for index, item in enumerate(items) for fault in check(item, f"{path}[{index}]")]
    keys = [key(item) for item in items] if key else []
    return faults + [
        duplicate(f"{path}[{index}]", one) for index, one in enumerate(keys) if one in keys[:index]
    ]


def _reservations(status: Object, path: str) -> list[FieldError]:
    def check(consumer: Object, at: str) -> list[FieldError]:
        return [required(f"{at}.{key}") for key in ("resource", "name", "uid") if not consumer.get(key)]

    consumers = list(each(status, "reservedFor"))
    return _listed(consumers, path, _MOST_CONSUMERS, check, lambda one: str(one.get("uid") or ""))


def _reserved_rightly(status: Object, before: Object, *, deleted: bool) -> list[FieldError]:
    """Only what is allocated can be reserved, and nobody joins while it is being given back."""
    consumers, path = list(each(status, "reservedFor")), "status.reservedFor"
    if not consumers:
        return []
    if status.get("allocation") is None:
        return [forbidden(path, "may not be specified when `allocated` is not set")]
    earlier = list(each(before, "reservedFor"))
    if deleted and any(consumer not in earlier for consumer in consumers):
        return [forbidden(path, _NO_NEW_CONSUMERS)]
    return []


def _device_id(device: Object) -> tuple[str, ...]:
    return tuple(str(device.get(key) or "") for key in _ID)


def _shown_id(device: Object) -> Struct:
    return Struct({f"{key[0].upper()}{key[1:]}": str(device.get(key) or "") for key in _ID})


def _uid(uid: str, path: str) -> list[FieldError]:
    """An identifier in its usual form; others that are read as one are told apart from what is none."""
    text = ""
    if len(uid) == 45 and not uid.lower().startswith("urn:uuid:"):
        text = f"invalid urn prefix: {json.dumps(uid[:9])}"
    elif len(uid) == 38 and not (uid[0] == "{" and uid[-1] == "}"):
        text = "invalid bracketed UUID format"
    elif len(uid) not in (32, 36, 38, 45):
        text = f"invalid UUID length: {len(uid)}"
    else:
        inner = {45: uid[9:], 38: uid[1:-1]}.get(len(uid), uid)
        if not (_PLAIN_HEX if len(uid) == 32 else _HEX).fullmatch(inner):
            text = "invalid UUID format"
    if text:
        return [invalid(path, uid, f"error validating uid: {text}")]
    return [invalid(path, uid, _NORMAL)] if len(uid) != 36 or uid != uid.lower() else []


def _device_statuses(devices: Sequence[Object], known: set[tuple[str, ...]], path: str) -> list[FieldError]:
    def check(device: Object, at: str) -> list[FieldError]:
        faults = _named_device(device, at)
        if _device_id(device) not in known:
            text = "must be an allocated device in the claim"
            faults.append(invalid(at, _shown_id(device), text))
        if len(device.get("conditions") or ()) > _MOST_CONDITIONS:
            count = len(device["conditions"])
            faults.append(too_many(f"{at}.conditions", count, _MOST_CONDITIONS))
        faults += conditions(device, f"{at}.conditions")
        if device.get("data") is not None:
            faults += _data(device["data"], f"{at}.data")
        return faults + _network(peek(device, "networkData"), f"{at}.networkData")

    return _listed(devices, path, -1, check, _shown_id)


def _named_device(device: Object, path: str) -> list[FieldError]:
    faults = driver_name(device.get("driver") or "", f"{path}.driver")
    faults += pool_name_faults(device.get("pool") or "", f"{path}.pool")
    faults += label_faults(device.get("device") or "", f"{path}.device")
    if device.get("shareID") is not None:
        faults += _uid(str(device["shareID"]), f"{path}.shareID")
    return faults


def _data(data: Any, path: str) -> list[FieldError]:
    if len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()) > _MAX_DATA:
        return [too_long(path, _MAX_DATA)]
    return [] if isinstance(data, dict) else [invalid(path, "<value omitted>", "must be a valid JSON object")]


def _network(data: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for key, most in (("interfaceName", _MAX_INTERFACE), ("hardwareAddress", _MAX_HARDWARE)):
        if len(str(data.get(key) or "").encode()) > most:
            faults.append(too_long(f"{path}.{key}", most))
    addresses, at = [str(address) for address in data.get("ips") or ()], f"{path}.ips"
    if len(addresses) > _MOST_ADDRESSES:
        return [*faults, too_many(at, len(addresses), _MOST_ADDRESSES)]
    for index, address in enumerate(addresses):
        faults += _interface_address(address, f"{at}[{index}]")
    return faults + [
        duplicate(f"{at}[{index}]", one) for index, one in enumerate(addresses) if one in addresses[:index]
    ]


def _interface_address(value: str, path: str) -> list[FieldError]:
    """An address with its network's length, in the one way of writing it."""
    form = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
    address, slash, length = value.partition("/")
    if not slash or not re.fullmatch(r"[0-9]{1,3}", length):
        return [invalid(path, value, form)]
    if "." in address and ":" not in address:
        address = ".".join(part.lstrip("0") or "0" for part in address.split("."))
    try:
        found: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address)
    except ValueError:
        return [invalid(path, value, form)]
    bits = int(length)
    if bits > found.max_prefixlen or "%" in address:
        return [invalid(path, value, form)]
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found, bits = found.ipv4_mapped, bits - 96 if bits > 32 else bits
    canonical = f"{found}/{bits}"
    return [] if value == canonical else [invalid(path, value, f'must be in canonical form ("{canonical}")')]


def _allocation(allocation: Object, names: Names, path: str) -> list[FieldError]:
    devices, at = peek(allocation, "devices"), f"{path}.devices"
    faults = _listed(
        list(each(devices, "results")),
        f"{at}.results",
        _MOST_RESULTS,
        lambda result, where: _result(result, names, where),
    )
    faults += _listed(
        list(each(devices, "config")),
        f"{at}.config",
        _MOST_CONFIGURATIONS,
        lambda config, where: _configuration(config, names, where),
    )
    selector = allocation.get("nodeSelector")
    return faults + (node_selector(selector, f"{path}.nodeSelector") if isinstance(selector, dict) else [])


def _result(result: Object, names: Names, path: str) -> list[FieldError]:
    wanted = {"requests": [str(result.get("request") or "")]}
    faults = [
        FieldError(fault.type, f"{path}.request", fault.detail)
        for fault in references_faults(wanted, names, path)
    ]
    unshared = {key: value for key, value in result.items() if key != "shareID"}
    faults += _named_device(unshared, path) + binding_faults(result, path)
    if result.get("shareID") is not None:
        faults += _uid(str(result["shareID"]), f"{path}.shareID")
    return faults


def _configuration(config: Object, names: Mapping[str, frozenset[str]], path: str) -> list[FieldError]:
    source, at = config.get("source") or "", f"{path}.source"
    faults: list[FieldError] = []
    if not source:
        faults.append(required(at))
    elif source not in ("FromClaim", "FromClass"):
        faults.append(not_supported(at, source, ("FromClaim", "FromClass")))
    return faults + references_faults(config, names, path) + configuration_faults(config, path)


def drop_deallocated(new: Object, old: Object) -> None:
    """Devices that are given back report nothing any more."""
    status = peek(new, "status")
    gone = {_device_id(result) for result in each(old, "status", "allocation", "devices", "results")}
    gone -= {_device_id(result) for result in each(status, "allocation", "devices", "results")}
    devices = list(each(status, "devices"))
    kept = [device for device in devices if _device_id(device) not in gone]
    if len(kept) == len(devices):
        return
    if kept:
        status["devices"] = kept
    else:
        status.pop("devices", None)
