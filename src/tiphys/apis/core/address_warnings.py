"""What the API tells clients about addresses and ranges that it still reads, but others do not.

Numbers with zeros before them are decimal here, octal elsewhere; some addresses have several spellings.
"""

from __future__ import annotations

import ipaddress

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import is_plain_address, is_plain_range, read_address
from tiphys.apis.defaulting import each, peek

_FUTURE = "will be considered invalid in a future Kubernetes release: use"


def ip_warnings(path: str, value: str) -> list[str]:
    """An address is written in the one way that all agree on."""
    if is_plain_address(value):
        return []
    found, wrong = read_address(value)
    if found is None:
        return []
    if wrong:
        return [f'{path}: non-standard IP address "{value}" {_FUTURE} "{found}"']
    if found.version == 6 and str(found) != value:
        return [f'{path}: IPv6 address "{value}" should be in RFC 5952 canonical format ("{found}")']
    return []


def pod_status_warnings(pod: Object) -> list[str]:
    """Return the warnings about the addresses that a pod, and its node, are said to have."""
    status = peek(pod, "status")
    return [
        text
        for key in ("podIPs", "hostIPs")
        for index, entry in enumerate(each(status, key))
        for text in ip_warnings(f"status.{key}[{index}].ip", str(entry.get("ip") or ""))
    ]


def balancer_warnings(balanced: Object) -> list[str]:
    """Return the warnings about the addresses of a Service's or an Ingress's load balancer.

    Their paths end at the entry.
    """
    path = "status.loadBalancer.ingress"
    return [
        text
        for index, entry in enumerate(each(balanced, "status", "loadBalancer", "ingress"))
        for text in ip_warnings(f"{path}[{index}]", str(entry.get("ip") or ""))
    ]


def cidr_warnings(path: str, value: str) -> list[str]:
    """A range is written by its first address."""
    if is_plain_range(value):
        return []
    text, slash, length = str(value).partition("/")
    address, wrong = read_address(text)
    if address is None or not slash or (size := atoi(length)) is None:
        return []
    bits = size - (96 if address.version == 4 and ":" in text else 0)
    if not 0 <= bits <= address.max_prefixlen:
        return []
    network = ipaddress.ip_network((address, bits), strict=False)
    found: list[str] = []
    if address != network.network_address:
        alone = f"{address}/{address.max_prefixlen}"
        found.append(
            f'{path}: CIDR value "{value}" is ambiguous in this context (should be "{network}" or "{alone}"?)'
        )
    if wrong or length != str(size):
        found.append(f'{path}: non-standard CIDR value "{value}" {_FUTURE} "{network}"')
    if not found and address.version == 6 and str(network) != value:
        return [f'{path}: IPv6 CIDR value "{value}" should be in RFC 5952 canonical format ("{network}")']
    return found
