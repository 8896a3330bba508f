"""Rules of IP addresses and ranges, wherever an object carries one."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import invalid
from tiphys.apimachinery.short_memory import short_memory

IP_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
CIDR_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_ZEROS_TEXT = "must not have leading 0s"
_MAPPED_TEXT = "an IPv4-mapped IPv6 address"
_BITS_TEXT = "must not have bits set beyond the prefix length"
LEGACY_TEXTS = (_ZEROS_TEXT, _MAPPED_TEXT, _BITS_TEXT)
"""Words of the faults that older versions let pass: what was stored before may stay."""

_STRICT = "StrictIPCIDRValidation"
_ZEROS = re.compile(r"(?<![0-9a-fA-F:])0+(?=[0-9])")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_match_plain = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII).fullmatch
_match_plain_range = re.compile(rf"({_OCTET}(?:\.{_OCTET}){{3}})/(3[0-2]|[12]?[0-9])", re.ASCII).fullmatch
_UNSENDABLE = ("0.", "127.", "169.", "224.")
"""How the IPv4 addresses begin among which some are for special uses."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_plain_address(value: str) -> bool:
    """Tell whether this is an address of IPv4 without a fault."""
    return _match_plain(value) is not None


def is_plain_range(value: str) -> bool:
    """Tell whether this is a range of IPv4 without a fault: an object may have 100,000 of them."""
    found = _match_plain_range(value)
    if found is None:
        return False
    first, second, third, fourth = found[1].split(".")
    number = int(first) << 24 | int(second) << 16 | int(third) << 8 | int(fourth)
    return not number & (0xFFFFFFFF >> int(found[2]))


@short_memory(4096)
def read_address(text: str) -> tuple[Address | None, str]:
    """Return what an address is read as, and what makes it ambiguous."""
    if "%" in text:
        return None, ""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        if "." not in text:
            return None, ""
        try:
            found = ipaddress.ip_address(_ZEROS.sub("", text))
        except ValueError:
            return None, ""
        return _unmapped(found)[0], _ZEROS_TEXT
    plain, mapped = _unmapped(found)
    return plain, f"must not be {_MAPPED_TEXT}" if mapped else ""


def _unmapped(address: Address) -> tuple[Address, bool]:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (address, False) if mapped is None else (mapped, True)


def read_cidr(value: str) -> tuple[Network | None, str]:
    """Return what a range is read as, and what makes it ambiguous."""
    text, _, length = value.partition("/")
    address, wrong = read_address(text)
    size = atoi(length)
    if address is None or size is None or not length.isdecimal():
        return None, ""
    embedded = 96 if address.version == 4 and ":" in text else 0
    bits = size - embedded
    if not -embedded <= bits <= address.max_prefixlen:
        return None, ""
    network = ipaddress.ip_network((address, max(bits, 0)), strict=False)
    if wrong == _ZEROS_TEXT or length != str(size):
        return network, f"{_ZEROS_TEXT} in IP or prefix length"
    if wrong:
        return network, f"must not have {_MAPPED_TEXT}"
    return network, "" if address == network.network_address else _BITS_TEXT


def ip_faults(value: Any, path: str) -> list[FieldError]:
    """A valid IPv4 or IPv6 address, which everyone reads in the same way."""
    if _match_plain(str(value)):
        return []
    address, wrong = read_address(str(value))
    text = IP_TEXT if address is None else wrong if on(_STRICT) else ""
    return [invalid(path, value, text)] if text else []


def cidr_faults(value: Any, path: str, *, strict: bool = False) -> list[FieldError]:
    """A valid address range, told by its first address; ``strict`` whatever the gates say."""
    if is_plain_range(str(value)):
        return []
    network, wrong = read_cidr(str(value))
    text = CIDR_TEXT if network is None else wrong if strict or on(_STRICT) else ""
    return [invalid(path, value, text)] if text else []


def special_ip_faults(value: str, path: str) -> list[FieldError]:
    """An address that traffic can really be sent to."""
    if not value.startswith(_UNSENDABLE) and _match_plain(value):
        return []
    parsed, _ = read_address(value)
    if parsed is None:
        return [invalid(path, value, "must be a valid IP address")]
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
