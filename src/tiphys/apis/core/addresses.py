"""Rules of IP addresses and ranges, wherever an object carries one."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid

IP_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
CIDR_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def ip_faults(value: Any, path: str) -> list[FieldError]:
    """A valid IPv4 or IPv6 address."""
    return [] if _is_ip(str(value)) else [invalid(path, value, IP_TEXT)]


@lru_cache(maxsize=4096)
def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def cidr_faults(value: Any, path: str) -> list[FieldError]:
    """A valid address range."""
    try:
        ipaddress.ip_network(str(value), strict=False)
    except ValueError:
        return [invalid(path, value, CIDR_TEXT)]
    return [] if "/" in str(value) else [invalid(path, value, CIDR_TEXT)]


def special_ip_faults(value: str, path: str) -> list[FieldError]:
    """An address (valid already) that traffic can really be sent to."""
    parsed = ipaddress.ip_address(value)
    faults = [
        (parsed.is_unspecified, f"may not be unspecified ({parsed})"),
        (parsed.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (parsed.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (
            _link_local_multicast(parsed),
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        ),
    ]
    return [invalid(path, value, text) for wrong, text in faults if wrong]


def _link_local_multicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if address.version == 4:
        return address in ipaddress.IPv4Network("224.0.0.0/24")
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 0x02
