"""The string formats that custom resources may declare; others are not checked, but warned of.

Each is judged as the API judges it, which is at times more than a standard allows (a duration of ``2 weeks``,
an address with zeros before its numbers) and at times less (a hostname of one label with two hyphens).

Source: apiextensions.k8s.io/v1, supported formats; k8s.io/kube-openapi strfmt.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from typing import Final

from tiphys.apimachinery.atoi import MAX_INT64
from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.mail import is_address

Check = Callable[[str], object]

_UUID = r"(?i:[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12})"
_ANY = "[0-9a-f]"


def valid(format_: str, text: str) -> bool:
    """Return whether a text has the format."""
    check = _CHECKS.get(format_.replace("-", ""))
    return check is None or bool(check(text))


def known(format_: str) -> bool:
    """Tell whether a format is one that texts are held to."""
    return format_.replace("-", "") in _CHECKS


def _pattern(text: str) -> Check:
    return re.compile(text, re.ASCII).fullmatch


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(.\d+)?(z|[+-]\d\d:\d\d)", re.ASCII)


def _date(text: str) -> bool:
    try:
        return _DAY.fullmatch(text) is not None and bool(parse_time(f"{text}T00:00:00Z"))
    except ValueError:
        return False


def _datetime(text: str) -> bool:
    day, *rest = text.lower().split("t")
    if not rest or not _date(day):
        return False
    found = _TIME.fullmatch(rest[0])
    return found is not None and found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


_GO_DURATION = re.compile("[-+]?(0|(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|\u03bcs|ms|s|m|h))+)")
_SPELT = re.compile(r"(?:-\s?)?(?<![0-9])([0-9]++)\s*+([A-Za-zµ]++)")
"""Digits that no unit follows are not tried again from each of them."""
_UNITS = (
    ("ns", "nano"), ("us", "µs", "micro"), ("ms", "milli"), ("s", "sec"), ("m", "min"), ("h", "hr", "hour"),
    ("d", "day"), ("w", "wk", "week"),
)  # fmt: skip
"""Short words for units, and at the end of each row what a longer one begins with."""
_MAX_DIGITS: Final = 19


def _duration(text: str) -> bool:
    """A duration of Go's, or numbers and units anywhere in the text."""
    if _GO_DURATION.fullmatch(text):
        return True
    spelt = _SPELT.findall(text)
    numbers = [number.lstrip("0") for number, _ in spelt]
    if any(len(number) > _MAX_DIGITS or int(number or 0) > MAX_INT64 for number in numbers):
        return False
    return any(_is_unit(unit.lower()) for _, unit in spelt)


def _is_unit(word: str) -> bool:
    return any(word in row or word.startswith(row[-1]) for row in _UNITS)


_ZEROS = re.compile(r"(^|\.)0+(?=[0-9])")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address; zeros before a number of the dotted form mean nothing."""
    head, colon, tail = text.rpartition(":")
    if "." in tail:
        text = head + colon + _ZEROS.sub(r"\1", tail)
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def _ipv6(text: str) -> bool:
    try:
        return "%" not in text and bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


_LENGTH = re.compile(r"[0-9]{1,7}")


def _cidr(text: str) -> bool:
    address, _, length = text.partition("/")
    found = _address(address)
    return found is not None and bool(_LENGTH.fullmatch(length)) and int(length) <= found.max_prefixlen


_MAC = re.compile(r"[0-9a-f]{2}(?:(:|-)[0-9a-f]{2}(?:\1[0-9a-f]{2})+|)", re.IGNORECASE)
_DOTTED_MAC = re.compile(r"[0-9a-f]{4}(?:\.[0-9a-f]{4})+", re.IGNORECASE)
_MAC_DIGITS = (12, 16, 40)


def _mac(text: str) -> bool:
    written = _MAC.fullmatch(text) or _DOTTED_MAC.fullmatch(text)
    return written is not None and len(re.sub(r"[:.-]", "", text)) in _MAC_DIGITS


_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOSTNAME = re.compile(rf"[a-zA-Z0-9](?:-?[a-zA-Z0-9]{{0,62}})?|(?:{_LABEL}\.)+[a-zA-Z]{{2,63}}")


def _folded(letter: str) -> str:
    """Every letter is as good as ``a``, every symbol as good as ``1``."""
    kind = unicodedata.category(letter)[0]
    return "1" if kind == "S" else "a" if kind == "L" else letter


def _hostname(text: str) -> bool:
    if len(text.encode()) > 255 or any(len(part.encode()) > 63 for part in text.split(".")):
        return False
    return bool(_HOSTNAME.fullmatch("".join(map(_folded, text))))


def _uri(text: str) -> bool:
    from tiphys.apimachinery.cel.library.urls import parse_request_uri  # rare, and CEL is large

    try:
        parse_request_uri(text)
    except ValueError:
        return False
    return True


_SPACES = re.compile(r"[\t\n\f\r -]+")


def _isbn10(text: str) -> bool:
    digits = _SPACES.sub("", text)
    if not re.fullmatch(r"[0-9]{9}[0-9X]", digits):
        return False
    numbers = (10 if digit == "X" else int(digit) for digit in digits)
    return sum(place * number for place, number in enumerate(numbers, 1)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = _SPACES.sub("", text)
    if not re.fullmatch(r"[0-9]{13}", digits):
        return False
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10 == 0


_CARD = re.compile(
    r"4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11}"
)


def _card(text: str) -> bool:
    """A number of a card that there is, whose last digit is right (Luhn)."""
    digits = re.sub(r"[^0-9]+", "", text)
    if not _CARD.fullmatch(digits):
        return False
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


_SHORT_NAME = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_COLOUR = r"(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])"

_CHECKS: dict[str, Check] = {
    "datetime": _datetime,
    "date": _date,
    "duration": _duration,
    "byte": _pattern(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"),
    "password": lambda _text: True,
    "ipv4": lambda text: "." in text and _address(text) is not None,
    "ipv6": _ipv6,
    "cidr": _cidr,
    "mac": _mac,
    "uri": _uri,
    "email": is_address,
    "hostname": _hostname,
    "uuid": _pattern(_UUID % (_ANY, _ANY)),
    "uuid3": _pattern(_UUID % ("3", _ANY)),
    "uuid4": _pattern(_UUID % ("4", "[89ab]")),
    "uuid5": _pattern(_UUID % ("5", "[89ab]")),
    "hexcolor": _pattern(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _pattern(rf"rgb\(\s*{_COLOUR}\s*,\s*{_COLOUR}\s*,\s*{_COLOUR}\s*\)"),
    "ssn": _pattern(r"\d{3}[- ]\d{2}[- ]\d{4}"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _card,
    "bsonobjectid": _pattern(r"[0-9a-fA-F]{24}"),
    "k8sshortname": _pattern(rf"(?=.{{1,63}}$){_SHORT_NAME}"),
    "k8slongname": _pattern(rf"(?=.{{1,253}}$){_SHORT_NAME}(?:\.{_SHORT_NAME})*"),
}
