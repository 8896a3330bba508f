"""What the API tells clients about addresses and ranges that it still reads, but others do not.

Numbers with zeros before them are decimal here, octal elsewhere; some addresses have several spellings.
"""

from __future__ import annotations

import ipaddress
import re

_ZEROS = re.compile(r"(?<![0-9a-fA-F:])0+(?=[0-9])")
_FUTURE = "will be considered invalid in a future Kubernetes release: use"
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(text: str) -> tuple[_Address | None, bool]:
    """Return what an address is read as, and whether it is standard."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        if "." not in text:
            return None, False
        try:
            return ipaddress.ip_address(_ZEROS.sub("", text)), False
        except ValueError:
            return None, False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (found, True) if mapped is None else (mapped, False)


def ip_warnings(path: str, value: str) -> list[str]:
    """An address is written in the one way that all agree on."""
    found, standard = _address(value)
    if found is None or "%" in value:
        return []
    if not standard:
        return [f'{path}: non-standard IP address "{value}" {_FUTURE} "{found}"']
    if found.version == 6 and str(found) != value:
        return [f'{path}: IPv6 address "{value}" should be in RFC 5952 canonical format ("{found}")']
    return []


def cidr_warnings(path: str, value: str) -> list[str]:
    """A range is written by its first address."""
    text, slash, length = str(value).partition("/")
    address, standard = _address(text)
    if address is None or not slash or not length.isdecimal():
        return []
    bits = int(length) - (96 if address.version == 4 and ":" in text else 0)
    if not 0 <= bits <= address.max_prefixlen:
        return []
    network = ipaddress.ip_network((address, bits), strict=False)
    found: list[str] = []
    if address != network.network_address:
        alone = f"{address}/{address.max_prefixlen}"
        found.append(
            f'{path}: CIDR value "{value}" is ambiguous in this context (should be "{network}" or "{alone}"?)'
        )
    if not standard or length != str(int(length)):
        found.append(f'{path}: non-standard CIDR value "{value}" {_FUTURE} "{network}"')
    if not found and address.version == 6 and str(network) != value:
        return [f'{path}: IPv6 CIDR value "{value}" should be in RFC 5952 canonical format ("{network}")']
    return found
