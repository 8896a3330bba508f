"""IP addresses and networks: ``ip``, ``cidr`` and what they tell.

Source: "Kubernetes IP address library" and "Kubernetes CIDR library".
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from typing import Any

from tiphys.apimachinery.cel import prices
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Library, function, member
from tiphys.apimachinery.cel.types import BOOL, INT, STRING, opaque
from tiphys.apimachinery.dataclass import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
IP = opaque("net.IP")
CIDR = opaque("net.CIDR")
_HEX = re.compile(r"[0-9a-fA-F]+")
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
    """Return what keeps a text from being an address: the first fault from the left."""
    first = next((letter for letter in text if letter in ".:%"), "")
    match first:
        case ".":
            fault = _no_version_4(text)
        case ":":
            fault = _no_version_6(text)
        case "%":
            fault = "missing IPv6 address"
        case _:
            fault = "unable to parse IP"
    return f'ParseAddr("{text}"): {fault}'


def _no_version_4(text: str) -> str:
    dots = digits = value = 0
    for index, letter in enumerate(text):
        if letter == ".":
            if index in (0, len(text) - 1) or text[index - 1] == ".":
                return _at("IPv4 field must have at least one digit", text[index:])
            if dots == 3:
                return "IPv4 address too long"
            dots, digits, value = dots + 1, 0, 0
        elif letter in "0123456789":
            if (digits, value) == (1, 0):
                return "IPv4 field has octet with leading zero"
            digits, value = digits + 1, value * 10 + int(letter)
            if value > 255:
                return "IPv4 field has value >255"
        else:
            return _at("unexpected character", text[index:])
    return "IPv4 address too short"


def _no_version_6(text: str) -> str:
    rest, percent, zone = text.partition("%")
    if percent and not zone:
        return "zone must be a non-empty string"
    groups, shortened = 0, rest.startswith("::")
    if shortened:
        rest = rest[2:]
    while groups < 8 and rest:
        digits = _HEX.match(rest)
        count = digits.end() if digits else 0
        if count > 4:
            return _at("each group must have 4 or less digits", rest)
        if count == 0:
            return _at("each colon-separated field must have at least one digit", rest)
        if rest[count : count + 1] == ".":
            if not shortened and groups != 6:
                return _at("embedded IPv4 address must replace the final 2 fields of the address", rest)
            if groups > 6:
                return _at("too many hex fields to fit an embedded IPv4 at the end of the address", rest)
            return _no_version_4(rest)
        groups, rest = groups + 1, rest[count:]
        if not rest:
            break
        if rest[0] != ":":
            return _at("unexpected character, want colon", rest)
        if len(rest) == 1:
            return _at("colon must be followed by more characters", rest)
        rest = rest[1:]
        if rest[0] == ":":
            if shortened:
                return _at("multiple :: in address", rest)
            shortened, rest = True, rest[1:]
    if rest:
        return _at("trailing garbage after address", rest)
    return "the :: must expand to at least one field of zeros" if shortened else "address string too short"


def _at(fault: str, rest: str) -> str:
    return f'{fault} (at "{rest}")' if rest else fault


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
        function(
            "string_to_ip", "ip", (STRING,), IP, lambda text: IPValue(_address(text)), price=prices.READ
        ),
        function("is_ip", "isIP", (STRING,), BOOL, _succeeds(_address), price=prices.READ),
        function(
            "ip_is_canonical",
            "ip.isCanonical",
            (STRING,),
            BOOL,
            lambda text: str(_address(text)) == text,
            price=prices.READ_TWICE,
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
        function("string_to_cidr", "cidr", (STRING,), CIDR, _network, price=prices.READ),
        function("is_cidr", "isCIDR", (STRING,), BOOL, _succeeds(_network), price=prices.READ),
        function("cidr_to_string", "string", (CIDR,), STRING, str),
        member(
            "cidr_contains_ip_string",
            "containsIP",
            (CIDR, STRING),
            BOOL,
            _contains_ip,
            price=prices.CONTAINS_ADDRESS,
        ),
        member(
            "cidr_contains_ip_ip", "containsIP", (CIDR, IP), BOOL, _contains_ip, price=prices.CONTAINS_ADDRESS
        ),
        member(
            "cidr_contains_cidr_string",
            "containsCIDR",
            (CIDR, STRING),
            BOOL,
            _contains_cidr,
            price=prices.CONTAINS_NETWORK,
        ),
        member(
            "cidr_contains_cidr",
            "containsCIDR",
            (CIDR, CIDR),
            BOOL,
            _contains_cidr,
            price=prices.CONTAINS_NETWORK,
        ),
        member("cidr_ip", "ip", (CIDR,), IP, lambda network: IPValue(network.address)),
        member("cidr_prefix_length", "prefixLength", (CIDR,), INT, lambda network: network.bits),
        member("cidr_masked", "masked", (CIDR,), CIDR, _masked),
    ),
    types=(IP, CIDR),
)
