"""What names and keys may look like: label, subdomain, qualified name, port name, environment variable...

Each function returns the texts of what is wrong, an empty list where nothing is; the texts are the API's.
Whoever validates puts the field path and ``Invalid value`` in front. No lookups, no state.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tiphys.apimachinery.short_memory import short_memory

LABEL_MAX = 63
SUBDOMAIN_MAX = 253

_ALNUM_ENDS = "and must start and end with an alphanumeric character"
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + r")*"
_UNDERSCORED_LABEL = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_UNDERSCORED = _UNDERSCORED_LABEL + r"(\." + _UNDERSCORED_LABEL + r")*"
_DNS1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"
_C_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_PERCENT = r"[0-9]+%"
_HEADER = r"[-A-Za-z0-9]+"
_REASON = r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"

_LABEL_TEXT = (
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ALNUM_ENDS}"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    + _ALNUM_ENDS
)
_CASELESS_TEXT = f"an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', {_ALNUM_ENDS}"
_UNDERSCORE_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', "
    + _ALNUM_ENDS
)
_WILDCARD_TEXT = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must"
    " consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
)
_DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic"
    " character, and end with an alphanumeric character"
)
_QUALIFIED_TEXT = f"must consist of alphanumeric characters, '-', '_' or '.', {_ALNUM_ENDS}"
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    + _ALNUM_ENDS
)
_ENV_RELAXED_TEXT = (
    "a valid environment variable name must consist only of printable ASCII characters other than '='"
)
_CONFIG_KEY_TEXT = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_C_IDENTIFIER_TEXT = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric"
    " characters or '_'"
)

EMPTY = "must be non-empty"

Check = Callable[[str], list[str]]
"""What is wrong with a name, as texts."""


def max_length(length: int) -> str:
    """Return the text for a name longer than ``length``."""
    return f"must be no more than {length} bytes"


def regex_error(message: str, pattern: str, *examples: str) -> str:
    """Return the text of a failed pattern, with examples, in the API's wording."""
    if not examples:
        return f"{message} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {shown}regex used for validation is '{pattern}')"


def in_range(value: int, low: int, high: int) -> list[str]:
    return [] if low <= value <= high else [f"must be between {low} and {high}, inclusive"]


def _matcher(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern, re.ASCII).fullmatch


_match_label = _matcher(_LABEL)
_match_subdomain = _matcher(_SUBDOMAIN)
_match_underscored = _matcher(_UNDERSCORED)
_match_wildcard = _matcher(r"\*\." + _SUBDOMAIN)
_match_1035 = _matcher(_DNS1035)
_match_qualified = _matcher(_QUALIFIED)
_match_label_value = _matcher(_LABEL_VALUE)
_match_config_key = _matcher(_CONFIG_KEY)
_match_c_identifier = _matcher(_C_IDENTIFIER)
_match_percent = _matcher(_PERCENT)
_match_header = _matcher(_HEADER)
_match_http_path = _matcher(_HTTP_PATH)
_match_reason = _matcher(_REASON)


def _bytes(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode())


def _check(
    value: str, limit: int, match: Callable[[str], object], text: str, pattern: str, *examples: str
) -> list[str]:
    faults = [max_length(limit)] if _bytes(value) > limit else []
    if not match(value):
        faults.append(regex_error(text, pattern, *examples))
    return faults


def is_dns1123_label(value: str) -> list[str]:
    """Source: RFC 1123."""
    if len(value) <= LABEL_MAX and _match_label(value):
        return []
    if not _match_label(value) and _match_subdomain(value):
        too_long = [max_length(LABEL_MAX)] if _bytes(value) > LABEL_MAX else []
        return [*too_long, "must not contain dots"]
    return _check(value, LABEL_MAX, _match_label, _LABEL_TEXT, _LABEL, "my-name", "123-abc")


def is_dns1123_subdomain(value: str) -> list[str]:
    if len(value) <= SUBDOMAIN_MAX and _match_subdomain(value):
        return []
    return _check(value, SUBDOMAIN_MAX, _match_subdomain, _SUBDOMAIN_TEXT, _SUBDOMAIN, "example.com")


def is_dns1123_subdomain_caseless(value: str) -> list[str]:
    """A subdomain in letters of either case, as names of drivers may be."""
    return _check(
        value,
        SUBDOMAIN_MAX,
        lambda given: _match_subdomain(given.lower()),
        _CASELESS_TEXT,
        _SUBDOMAIN,
        "Example.com",
    )


def is_dns1123_subdomain_with_underscore(value: str) -> list[str]:
    return _check(value, SUBDOMAIN_MAX, _match_underscored, _UNDERSCORE_TEXT, _UNDERSCORED, "example.com")


def is_wildcard_dns1123_subdomain(value: str) -> list[str]:
    pattern = r"\*\." + _SUBDOMAIN
    return _check(value, SUBDOMAIN_MAX, _match_wildcard, _WILDCARD_TEXT, pattern, "*.example.com")


def is_dns1035_label(value: str) -> list[str]:
    """Source: RFC 1035."""
    return _check(value, LABEL_MAX, _match_1035, _DNS1035_TEXT, _DNS1035, "my-name", "abc-123")


def is_qualified_name(value: str) -> list[str]:
    """A label key: an optional DNS subdomain prefix and a slash, then a name."""
    if len(value) <= LABEL_MAX and _match_qualified(value):
        return []  # a name alone; an object may have 100,000 of them, which are not worth keeping
    return list(_qualified_faults(value))


@short_memory(4096)
def _qualified_faults(value: str) -> list[str]:
    """Clusters have few keys and write each of them all the time. The result is shared: never change it."""
    if value.count("/") > 1:
        text = regex_error(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc")
        return [
            f"a valid label key {text} with an optional DNS subdomain prefix and '/'"
            " (e.g. 'example.com/MyName')"
        ]
    prefix, slash, name = value.rpartition("/")
    faults: list[str] = []
    if slash:
        if not prefix:
            faults.append(f"prefix part {EMPTY}")
        else:
            faults.extend(f"prefix part {fault}" for fault in is_dns1123_subdomain(prefix))
    if not name:
        faults.append(f"name part {EMPTY}")
    elif _bytes(name) > LABEL_MAX:
        faults.append(f"name part {max_length(LABEL_MAX)}")
    if not _match_qualified(name):
        faults.append("name part " + regex_error(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc"))
    return faults


is_label_key = is_qualified_name


def is_label_value(value: str) -> list[str]:
    if len(value) <= LABEL_MAX and _match_label_value(value):
        return []
    return _check(
        value, LABEL_MAX, _match_label_value, _LABEL_VALUE_TEXT, _LABEL_VALUE, "MyValue", "my_value", "12345"
    )


def is_relaxed_env_var_name(value: str) -> list[str]:
    """Any printable ASCII but ``=``: what containers' ``env`` takes."""
    faults = [] if value else [f"environment variable name {EMPTY}"]
    if any(not " " <= char <= "~" or char == "=" for char in value):
        faults.append(_ENV_RELAXED_TEXT)
    return faults


def is_config_map_key(value: str) -> list[str]:
    faults = [max_length(SUBDOMAIN_MAX)] if _bytes(value) > SUBDOMAIN_MAX else []
    if not _match_config_key(value):
        faults.append(regex_error(_CONFIG_KEY_TEXT, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    return faults + _directory_faults(value)


def _directory_faults(value: str) -> list[str]:
    if value == ".":
        return ["must not be '.'"]
    if value == "..":
        return ["must not be '..'"]
    if value.startswith(".."):
        return ["must not start with '..'"]
    return []


def is_c_identifier(value: str) -> list[str]:
    if _match_c_identifier(value):
        return []
    return [regex_error(_C_IDENTIFIER_TEXT, _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")]


def is_port_number(port: int) -> list[str]:
    return in_range(port, 1, 65535)


def is_port_name(value: str) -> list[str]:
    """An IANA service name. Source: RFC 6335."""
    faults = [max_length(15)] if len(value) > 15 else []
    if not re.fullmatch(r"[-a-z0-9]+", value):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", value):
        faults.append("must contain at least one letter (a-z)")
    if "--" in value:
        faults.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        faults.append("must not begin or end with a hyphen")
    return faults


def is_percent(value: str) -> list[str]:
    if _match_percent(value):
        return []
    text = "a valid percent string must be a numeric string followed by an ending '%'"
    return [regex_error(text, _PERCENT, "1%", "93%")]


def is_http_header_name(value: str) -> list[str]:
    if _match_header(value):
        return []
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [regex_error(text, _HEADER, "X-Header-Name")]


def is_http_path(value: str) -> list[str]:
    return [] if _match_http_path(value) else [regex_error("Invalid path", _HTTP_PATH)]


def is_condition_reason(value: str) -> list[str]:
    if _match_reason(value):
        return []
    text = (
        "a condition reason must start with alphabetic character, optionally followed by a string of"
        " alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'"
    )
    return [regex_error(text, _REASON, "my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")]


def is_path_segment_name(value: str) -> list[str]:
    """Any name that can stand in a URL path as it is: what RBAC roles may be called."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in value]
