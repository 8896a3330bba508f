"""Rules of IPAddresses and ServiceCIDRs, which record the addresses that Services have."""

from __future__ import annotations

import ipaddress

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import IMMUTABLE, invalid, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import cidr_faults
from tiphys.apis.defaulting import peek


def address_name(name: str) -> list[str]:
    """An IPAddress is named by the address itself, spelled in the one canonical way."""
    try:
        canonical = str(ipaddress.ip_address(name))
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return [] if canonical == name else [f"must be in canonical form ({canonical!r})".replace("'", '"')]


def validate_ip_address(obj: Object) -> list[FieldError]:
    """Return every fault of an IPAddress."""
    parent = peek(obj, "spec").get("parentRef")
    if not isinstance(parent, dict):
        return [required("spec.parentRef")]
    return [required(f"spec.parentRef.{key}") for key in ("resource", "name") if not parent.get(key)]


def validate_ip_address_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing an IPAddress; whose it is never changes."""
    parent, before = (peek(part, "spec").get("parentRef") for part in (new, old))
    if parent == before:
        return validate_ip_address(new)
    return [invalid("spec.parentRef", parent, "field is immutable")]


def validate_service_cidr(obj: Object) -> list[FieldError]:
    """Return every fault of a ServiceCIDR: one range, or one of each family."""
    cidrs = peek(obj, "spec").get("cidrs") or []
    if not cidrs:
        return [required("spec.cidrs", "at least one CIDR required")]
    if len(cidrs) > 2:
        text = "may only hold up to 2 values"
        return [invalid("spec", peek(obj, "spec"), text)]
    faults = [
        fault for index, cidr in enumerate(cidrs) for fault in cidr_faults(cidr, f"spec.cidrs[{index}]")
    ]
    if not faults and len({ipaddress.ip_network(cidr, strict=False).version for cidr in cidrs}) < len(cidrs):
        text = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        faults.append(invalid("spec.cidrs", cidrs, text))
    return faults


def validate_service_cidr_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a ServiceCIDR; a range only ever gains its second family."""
    cidrs, before = (peek(part, "spec").get("cidrs") or [] for part in (new, old))
    if len(cidrs) == len(before):
        return [
            invalid(f"spec.cidrs[{index}]", cidrs[0], IMMUTABLE)
            for index, (one, other) in enumerate(zip(cidrs, before, strict=True))
            if one != other
        ]
    if (len(before), len(cidrs)) != (1, 2):
        return [invalid("spec.cidrs", cidrs, IMMUTABLE)]
    faults = [] if cidrs[0] == before[0] else [invalid("spec.cidrs[0]", cidrs[0], IMMUTABLE)]
    return faults + validate_service_cidr(new)
