"""The string formats that custom resources may declare; unknown ones are not checked.

Source: apiextensions.k8s.io/v1, supported formats.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from tiphys.apimachinery.clock import parse_time

_GO_DURATION = re.compile(r"[-+]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+")
_UUID = r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?%s[0-9a-fA-F]{3}-?%s[0-9a-fA-F]{3}-?[0-9a-fA-F]{12}"


def valid(format_: str, text: str) -> bool:
    """Return whether a text has the format."""
    check = _CHECKS.get(format_.replace("-", ""))
    if check is None:
        return True
    try:
        return bool(check(text))
    except ValueError:
        return False


def _pattern(text: str) -> Callable[[str], object]:
    return re.compile(text, re.ASCII).fullmatch


def _date(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None and bool(parse_time(f"{text}T00:00:00Z"))


def _byte(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return True


def _mac(text: str) -> bool:
    return re.fullmatch(r"([0-9a-fA-F]{2}[:-]){5,7}[0-9a-fA-F]{2}", text) is not None


_CHECKS: dict[str, Callable[[str], object]] = {
    "datetime": lambda text: "T" in text and bool(parse_time(text)),
    "date": _date,
    "duration": _GO_DURATION.fullmatch,
    "byte": _byte,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "cidr": lambda text: "/" in text and bool(ipaddress.ip_interface(text)),
    "mac": _mac,
    "uri": lambda text: bool(urlsplit(text).scheme) or text.startswith("/"),
    "email": _pattern(r"[^@\s]+@[^@\s]+"),
    "hostname": _pattern(
        r"(?=.{1,253}$)[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*"
    ),
    "uuid": _pattern(_UUID % ("[0-9a-fA-F]", "[0-9a-fA-F]")),
    "uuid3": _pattern(_UUID % ("3", "[0-9a-fA-F]")),
    "uuid4": _pattern(_UUID % ("4", "[89abAB]")),
    "uuid5": _pattern(_UUID % ("5", "[89abAB]")),
    "hexcolor": _pattern(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _pattern(r"rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)"),
    "ssn": _pattern(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "isbn": _pattern(r"(\d[- ]?){9}[\dXx]|(\d[- ]?){12}\d"),
    "isbn10": _pattern(r"(\d[- ]?){9}[\dXx]"),
    "isbn13": _pattern(r"(\d[- ]?){12}\d"),
    "creditcard": _pattern(r"\d{13,19}"),
}
