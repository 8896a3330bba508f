"""IP addresses and networks: ``ip``, ``cidr`` and what they tell.

Source: "Kubernetes IP address library" and "Kubernetes CIDR library".
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tiphys.apimachinery.cel import prices
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Library, function, member
from tiphys.apimachinery.cel.types import BOOL, INT, STRING, opaque

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
IP = opaque("net.IP")
CIDR = opaque("net.CIDR")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class IPValue:
    address: Address
    type_name = IP.name
    cel_opaque = True

    def __str__(self) -> str:
        return str(self.address)

    @property
    def cel_size(self) -> int:
        return self.address.max_prefixlen // 8


@dataclass(frozen=True, slots=True)
class CIDRValue:
    address: Address
    bits: int
    type_name = CIDR.name
    cel_opaque = True

    def __str__(self) -> str:
        return f"{self.address}/{self.bits}"

    @property
    def cel_size(self) -> int:
        return math.ceil(self.bits / 8)

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        return ipaddress.ip_network(f"{self.address}/{self.bits}", strict=False)


def _address(text: str) -> Address:
    """Raises EvaluationError with why a text is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        why = _why_not(text)
        raise EvaluationError(
            f'IP Address "{text}" parse error during conversion from string: {why}'
        ) from error
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise EvaluationError(f'IP address "{text}" with zone value is not allowed')
        if address.ipv4_mapped:
            raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return address


def _why_not(text: str) -> str:
    shown = f'ParseAddr("{text}")'
    if "." not in text and ":" not in text:
        return f"{shown}: unable to parse IP"
    if ":" in text:
        return f"{shown}: unable to parse IP"
    for part in text.split("."):
        if not part:
            return f"{shown}: IPv4 field must have at least one digit"
        if not (part.isascii() and part.isdigit()):
            return f"{shown}: unexpected character"
        if len(part) > 1 and part.startswith("0"):
            return f"{shown}: IPv4 field has octet with leading zero"
        if len(part) > 3 or int(part) > 255:
            return f"{shown}: IPv4 field has value >255"
    return f"{shown}: IPv4 address too {'short' if text.count('.') < 3 else 'long'}"


def _network(text: str) -> CIDRValue:
    lead = "network address parse error during conversion from string: "
    fault = f'{lead}{lead}netip.ParsePrefix("{text}"): '
    before, slash, bits = text.rpartition("/")
    if not slash:
        raise EvaluationError(fault + "no '/'")
    try:
        address = ipaddress.ip_address(before)
    except ValueError as error:
        raise EvaluationError(fault + _why_not(before)) from error
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise EvaluationError(fault + "IPv6 zones cannot be present in a prefix")
        if address.ipv4_mapped:
            raise EvaluationError(f'{lead}IPv4-mapped IPv6 address "{text}" is not allowed')
    if not re.fullmatch(r"0|[1-9][0-9]{0,2}", bits) or int(bits) > address.max_prefixlen:
        kind = "prefix length out of range" if bits.isdigit() else f'bad bits after slash: "{bits}"'
        raise EvaluationError(fault + kind)
    return CIDRValue(address, int(bits))


def _succeeds(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def run(text: str) -> bool:
        try:
            parse(text)
        except EvaluationError:
            return False
        return True

    return run


def _is_link_local_multicast(value: IPValue) -> bool:
    networks = {4: "224.0.0.0/24", 6: "ff02::/16"}
    return value.address in ipaddress.ip_network(networks[value.address.version])


def _is_global_unicast(value: IPValue) -> bool:
    one = value.address
    special = one.is_unspecified or one.is_loopback or one.is_multicast or one.is_link_local
    return not special and one != _BROADCAST


def _contains_ip(network: CIDRValue, other: Any) -> bool:
    address = _address(other) if isinstance(other, str) else other.address
    return address in network.network


def _contains_cidr(network: CIDRValue, other: Any) -> bool:
    inner = _network(other) if isinstance(other, str) else other
    return network.bits <= inner.bits and inner.address in network.network


def _masked(network: CIDRValue) -> CIDRValue:
    return CIDRValue(network.network.network_address, network.bits)


LIBRARY = Library(
    "kubernetes.net",
    (
        function("string_to_ip", "ip", (STRING,), IP, lambda text: IPValue(_address(text)), prices.READ),
        function("is_ip", "isIP", (STRING,), BOOL, _succeeds(_address), prices.READ),
        function(
            "ip_is_canonical",
            "ip.isCanonical",
            (STRING,),
            BOOL,
            lambda text: str(_address(text)) == text,
            prices.READ_TWICE,
        ),
        function("ip_to_string", "string", (IP,), STRING, str),
        member("ip_family", "family", (IP,), INT, lambda value: value.address.version),
        member("ip_is_unspecified", "isUnspecified", (IP,), BOOL, lambda value: value.address.is_unspecified),
        member("ip_is_loopback", "isLoopback", (IP,), BOOL, lambda value: value.address.is_loopback),
        member("ip_is_link_local_multicast", "isLinkLocalMulticast", (IP,), BOOL, _is_link_local_multicast),
        member(
            "ip_is_link_local_unicast",
            "isLinkLocalUnicast",
            (IP,),
            BOOL,
            lambda value: value.address.is_link_local,
        ),
        member("ip_is_global_unicast", "isGlobalUnicast", (IP,), BOOL, _is_global_unicast),
        function("string_to_cidr", "cidr", (STRING,), CIDR, _network, prices.READ),
        function("is_cidr", "isCIDR", (STRING,), BOOL, _succeeds(_network), prices.READ),
        function("cidr_to_string", "string", (CIDR,), STRING, str),
        member(
            "cidr_contains_ip_string",
            "containsIP",
            (CIDR, STRING),
            BOOL,
            _contains_ip,
            prices.CONTAINS_ADDRESS,
        ),
        member("cidr_contains_ip_ip", "containsIP", (CIDR, IP), BOOL, _contains_ip, prices.CONTAINS_ADDRESS),
        member(
            "cidr_contains_cidr_string",
            "containsCIDR",
            (CIDR, STRING),
            BOOL,
            _contains_cidr,
            prices.CONTAINS_NETWORK,
        ),
        member(
            "cidr_contains_cidr", "containsCIDR", (CIDR, CIDR), BOOL, _contains_cidr, prices.CONTAINS_NETWORK
        ),
        member("cidr_ip", "ip", (CIDR,), IP, lambda network: IPValue(network.address)),
        member("cidr_prefix_length", "prefixLength", (CIDR,), INT, lambda network: network.bits),
        member("cidr_masked", "masked", (CIDR,), CIDR, _masked),
    ),
    types=(IP, CIDR),
)
