"""Settles ``ipFamilyPolicy`` and ``ipFamilies`` of a Service from what it asks for and the cluster has. Pure.

Source: the "IPv4/IPv6 dual-stack" page.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.service_addresses import validate_cluster_ips
from tiphys.apiserver.services.fields import has_cluster_ip, is_headless

_OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}
_POLICY = "spec.ipFamilyPolicy"


def family_of(address: str) -> str:
    """Return ``IPv4`` or ``IPv6``. Raises ValueError."""
    return f"IPv{ipaddress.ip_address(address).version}"


def keeps_preferred(new: Object, old: Object | None) -> bool:
    """Whether an update leaves a PreferDualStack Service as it is.

    Such a Service never gains or loses an address because the cluster has changed, only by being told so.
    """
    return (
        old is not None
        and new.get("ipFamilyPolicy") == "PreferDualStack"
        and old.get("ipFamilyPolicy") in (None, "PreferDualStack")
        and new.get("type") == old.get("type")
        and has_cluster_ip(new)
        and all((new.get(key) or []) == (old.get(key) or []) for key in ("clusterIPs", "ipFamilies"))
    )


def settle_families(new: Object, old: Object | None, served: Sequence[str]) -> list[FieldError]:
    """Complete the spec's policy and families; ``served`` are the cluster's, the default one first."""
    if new.get("type") == "ExternalName" or keeps_preferred(new, old):
        return []
    selectorless = is_headless(new) and not new.get("selector")
    _default_policy(new, old, selectorless=selectorless)
    faults = validate_cluster_ips(new)
    if faults:
        return faults
    faults = _reductions(new, old) + _single_stack(new) + _infer(new, served)
    if faults:
        return faults
    if selectorless:
        families: list[str] = list(new.get("ipFamilies") or served[:1])
        if len(families) < 2 and new["ipFamilyPolicy"] != "SingleStack":
            families.append(_OTHER[families[0]])
        new["ipFamilies"] = families
        return []
    faults = _unserved(new, served)
    if not faults:
        families = list(new.get("ipFamilies") or served[:1])
        if new["ipFamilyPolicy"] != "SingleStack" and len(families) == 1 and len(served) == 2:
            families.append(_OTHER[families[0]])
        new["ipFamilies"] = families
    return faults


def _default_policy(new: Object, old: Object | None, *, selectorless: bool) -> None:
    if new.get("ipFamilyPolicy"):
        return
    if old is not None and old.get("ipFamilyPolicy"):
        new["ipFamilyPolicy"] = old["ipFamilyPolicy"]
    else:
        new["ipFamilyPolicy"] = "RequireDualStack" if selectorless else "SingleStack"


def _reductions(new: Object, old: Object | None) -> list[FieldError]:
    """Fewer addresses or families: fine with SingleStack, which also drops what was not touched."""
    if old is None:
        return []
    faults: list[FieldError] = []
    policy = new["ipFamilyPolicy"]
    for key, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        now, before = new.get(key) or [], old.get(key) or []
        if policy == "SingleStack":
            if now == before and len(now) > 1:
                new[key] = now[:1]
        elif now and len(now) < len(before):
            faults.append(invalid(_POLICY, policy, f"must be 'SingleStack' to release the secondary {what}"))
    return faults


def _single_stack(new: Object) -> list[FieldError]:
    policy = new["ipFamilyPolicy"]
    if policy != "SingleStack":
        return []
    text = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
    return [
        invalid(_POLICY, policy, text.format(what))
        for key, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families"))
        if len(new.get(key) or ()) == 2
    ]


def _infer(new: Object, served: Sequence[str]) -> list[FieldError]:
    """Addresses asked for tell their families."""
    faults: list[FieldError] = []
    families: list[str] = list(new.get("ipFamilies") or ())
    addresses = [] if is_headless(new) else list(new.get("clusterIPs") or ())
    for index, address in enumerate(addresses):
        if index < len(families):
            continue
        family = family_of(address)
        if family not in served:
            text = f"{family} is not configured on this cluster"
            faults.append(invalid(f"spec.clusterIPs[{index}]", addresses, text))
        else:
            families.append(family)
    if families:
        new["ipFamilies"] = families
    return faults


def _unserved(new: Object, served: Sequence[str]) -> list[FieldError]:
    faults: list[FieldError] = []
    if new["ipFamilyPolicy"] == "RequireDualStack" and len(served) < 2:
        text = "this cluster is not configured for dual-stack services"
        faults.append(invalid(_POLICY, new["ipFamilyPolicy"], text))
    for index, family in enumerate(new.get("ipFamilies") or ()):
        if family not in served:
            faults.append(invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster"))
    return faults
