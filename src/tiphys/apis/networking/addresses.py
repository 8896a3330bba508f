"""Rules of IPAddresses and ServiceCIDRs, which record the addresses that Services have."""

from __future__ import annotations

import ipaddress

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import IMMUTABLE, Struct, invalid, invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import IP_TEXT, cidr_faults, read_address, read_cidr
from tiphys.apis.defaulting import peek
from tiphys.apis.inside import immutable_inside


def address_name(name: str) -> list[str]:
    """An IPAddress is named by the address itself, spelled in the one canonical way."""
    address, wrong = read_address(name)
    if address is None or wrong:
        return [wrong or IP_TEXT]
    return [] if str(address) == name else [f'must be in canonical form ("{address}")']


def validate_ip_address(obj: Object) -> list[FieldError]:
    """Return every fault of an IPAddress."""
    parent = peek(obj, "spec").get("parentRef")
    if not isinstance(parent, dict):
        return [required("spec.parentRef")]
    group, namespace = parent.get("group") or "", parent.get("namespace") or ""
    faults = invalid_all("spec.parentRef.group", group, names.is_dns1123_subdomain(group)) if group else []
    for key in ("resource", "name"):
        at, value = f"spec.parentRef.{key}", parent.get(key) or ""
        faults += invalid_all(at, value, names.is_path_segment_name(value)) if value else [required(at)]
    return faults + invalid_all("spec.parentRef.namespace", namespace, names.is_path_segment_name(namespace))


def validate_ip_address_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing an IPAddress; whose it is never changes."""
    parent, before = (peek(part, "spec").get("parentRef") for part in (new, old))
    return validate_ip_address(new) + immutable_inside("spec.parentRef", "ParentReference", parent, before)


def validate_service_cidr(obj: Object) -> list[FieldError]:
    """Return every fault of a ServiceCIDR: one range, or one of each family."""
    cidrs = peek(obj, "spec").get("cidrs") or []
    if not cidrs:
        return [required("spec.cidrs", "at least one CIDR required")]
    if len(cidrs) > 2:
        return [invalid("spec.cidrs", Struct(CIDRs=cidrs), "may only hold up to 2 values")]
    faults = [
        fault for index, cidr in enumerate(cidrs) for fault in _strict_cidr(str(cidr), f"spec.cidrs[{index}]")
    ]
    families = [network.version for cidr in cidrs if (network := read_cidr(str(cidr))[0]) is not None]
    if len(families) > len(set(families)):
        text = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        faults.append(invalid("spec.cidrs", cidrs, text))
    return faults


def _strict_cidr(cidr: str, path: str) -> list[FieldError]:
    """A range in its one canonical spelling."""
    faults = cidr_faults(cidr, path, strict=True)
    if faults:
        return faults
    canonical = str(ipaddress.ip_network(cidr))
    return [] if canonical == cidr else [invalid(path, cidr, f'must be in canonical form ("{canonical}")')]


def validate_service_cidr_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a ServiceCIDR; a range only ever gains its second family."""
    cidrs, before = (peek(part, "spec").get("cidrs") or [] for part in (new, old))
    if len(cidrs) == len(before):
        return [
            invalid(f"spec.cidrs[{index}]", one, IMMUTABLE)
            for index, (one, other) in enumerate(zip(cidrs, before, strict=True))
            if one != other
        ]
    if (len(before), len(cidrs)) != (1, 2):
        return [invalid("spec.cidrs", cidrs, IMMUTABLE)]
    faults = [] if cidrs[0] == before[0] else [invalid("spec.cidrs[0]", cidrs[0], IMMUTABLE)]
    return faults + validate_service_cidr(new)
