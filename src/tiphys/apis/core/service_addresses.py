"""Rules of a Service's cluster IPs and IP families, alone and from one version to the next."""

from __future__ import annotations

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, invalid, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import ip_faults, read_address

_FAMILIES = ("IPv4", "IPv6")
_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_IPS = "spec.clusterIPs"
_SET_ONCE = "may not change once set"


def is_headless(spec: Object) -> bool:
    """Whether a Service has no address of its own but names its endpoints."""
    return list(spec.get("clusterIPs") or ()) == ["None"]


def validate_cluster_ips(spec: Object) -> list[FieldError]:
    """Return every fault of clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy."""
    if spec.get("type") == "ExternalName":
        return []
    addresses: list[str] = list(spec.get("clusterIPs") or ())
    faults = _mirrored(spec, addresses) + _families(spec)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in _POLICIES:
        faults.append(not_supported("spec.ipFamilyPolicy", policy, _POLICIES))
    wrong = _each_address(addresses)
    faults += wrong
    if len(addresses) > 2:
        faults.append(invalid(_IPS, addresses, "may only hold up to 2 values"))
    if wrong:
        return faults
    if len(addresses) > 1 and len(set(map(_family, addresses))) < 2:
        faults.append(invalid(_IPS, addresses, "may specify no more than one IP for each IP family"))
    return faults + _match(spec, addresses)


def _mirrored(spec: Object, addresses: list[str]) -> list[FieldError]:
    single = spec.get("clusterIP") or ""
    if not single:
        if addresses:
            return [invalid(_IPS, addresses, "must be empty when `clusterIP` is not specified")]
        return []
    if not addresses:
        return [required(_IPS)]
    if addresses[0] != single:
        return [invalid(_IPS, addresses, "first value must match `clusterIP`")]
    return []


def _families(spec: Object) -> list[FieldError]:
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        at = f"spec.ipFamilies[{index}]"
        if family not in _FAMILIES:
            faults.append(not_supported(at, family, _FAMILIES))
        if family in seen:
            faults.append(duplicate(at, family))
        seen.add(family)
    return faults


def _each_address(addresses: list[str]) -> list[FieldError]:
    faults: list[FieldError] = []
    for index, address in enumerate(addresses):
        if index == 0 and address == "None":
            if len(addresses) > 1:
                faults.append(invalid(_IPS, addresses, "'None' must be the first and only value"))
            continue
        faults += ip_faults(address, f"{_IPS}[{index}]")
    return faults


def _family(address: str) -> str:
    """Addresses may be ambiguous here, where a server lets such be."""
    read, _ = read_address(address)
    return f"IPv{read.version}" if read else ""


def _match(spec: Object, addresses: list[str]) -> list[FieldError]:
    if is_headless(spec):
        return []
    faults: list[FieldError] = []
    pairs = zip(addresses, spec.get("ipFamilies") or (), strict=False)
    for index, (address, family) in enumerate(pairs):
        if family in _FAMILIES and family != _family(address):
            text = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            faults.append(invalid(f"{_IPS}[{index}]", address, text))
    return faults


def validate_changed_addresses(new: Object, old: Object) -> list[FieldError]:
    """Addresses and families stay; a second one may come, and go with SingleStack."""
    if "ExternalName" in (new.get("type"), old.get("type")):
        return []
    headless, was_headless = is_headless(new), is_headless(old)
    faults: list[FieldError] = []
    if not (headless and was_headless):
        faults += _changed_ips(new, old)
    if not headless and not was_headless:
        faults += _changed_families(new, old)
    return faults


def _changed_ips(new: Object, old: Object) -> list[FieldError]:
    now, before = list(new.get("clusterIPs") or ()), list(old.get("clusterIPs") or ())
    if len(now) == len(before):
        return [
            invalid(f"{_IPS}[{index}]", now, _SET_ONCE)
            for index, (one, other) in enumerate(zip(now, before, strict=True))
            if one != other
        ]
    faults: list[FieldError] = []
    if not now:
        faults.append(invalid(f"{_IPS}[0]", new.get("clusterIPs"), "primary clusterIP can not be unset"))
    elif before and now[0] != before[0]:
        faults.append(invalid(f"{_IPS}[0]", now, _SET_ONCE))
    if len(now) == 1 and len(before) > 1:
        faults += _must_be_single(new, "clusterIP")
    return faults


def _changed_families(new: Object, old: Object) -> list[FieldError]:
    now, before = list(new.get("ipFamilies") or ()), list(old.get("ipFamilies") or ())
    first = "spec.ipFamilies[0]"
    if len(now) == len(before):
        return [
            invalid(first, now, _SET_ONCE) for one, other in zip(now, before, strict=True) if one != other
        ]
    faults: list[FieldError] = []
    addresses = list(new.get("clusterIPs") or ())
    if len(now) < len(before) and not addresses:
        faults.append(invalid(first, new.get("ipFamilies"), "primary ipFamily can not be unset"))
    if now and before and now[0] != before[0]:
        faults.append(invalid(first, new.get("clusterIPs"), _SET_ONCE))
    if len(now) == 1 and len(before) > 1:
        faults += _must_be_single(new, "ipFamily")
    return faults


def _must_be_single(new: Object, what: str) -> list[FieldError]:
    policy = new.get("ipFamilyPolicy")
    if policy == "SingleStack":
        return []
    text = f"must be set to 'SingleStack' when releasing the secondary {what}"
    return [invalid("spec.ipFamilyPolicy", policy, text)]
