"""URLs: ``url``, ``isURL`` and the parts of one.

Source: "Kubernetes URL library".
"""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl, quote, unquote

from tiphys.apimachinery.cel import prices
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Library, function, member
from tiphys.apimachinery.cel.types import BOOL, STRING, list_of, map_of, opaque
from tiphys.apimachinery.dataclass import dataclass

URL = opaque("kubernetes.URL")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+\-.]*):(.*)", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")
_PORT = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::[0-9]*)?")
_HOST_REFUSED = re.compile(r"[\x00-\x20\"<>\\^`{|}\x7f]|%(?!25|[89A-Fa-f][0-9A-Fa-f]).{0,2}")
"""What no host has; percent signs stand for what is no ASCII, or for themselves."""
_PATH_SAFE = "$&+,/:;=@!'()*[]"


@dataclass(frozen=True, slots=True)
class URLValue:
    text: str
    scheme: str = ""
    host: str = ""
    path: str = ""
    query: str = ""
    type_name = URL.name
    cel_opaque = True

    @property
    def hostname(self) -> str:
        bare = (
            self.host[: len(self.host) - len(self.port) - 1]
            if self.port or self.host.endswith(":")
            else self.host
        )
        return bare.strip("[]")

    @property
    def port(self) -> str:
        before, colon, port = self.host.rpartition(":")
        return port if colon and "]" not in port and (":" not in before or before.endswith("]")) else ""


def parse_request_uri(text: str) -> URLValue:
    """Read an absolute URI or an absolute path.

    Raises:
        ValueError: with why it is neither.
    """
    fault = f"parse {json.dumps(text, ensure_ascii=False)}: "
    if not text:
        raise ValueError(fault + "empty url")
    if any(ord(letter) < 32 or letter == "\x7f" for letter in text):
        raise ValueError(fault + "net/url: invalid control character in URL")
    if text.startswith(":"):
        raise ValueError(fault + "missing protocol scheme")
    match = _SCHEME.fullmatch(text)
    scheme, rest = (match[1].lower(), match[2]) if match and "/" not in match[1] else ("", text)
    before, _, query = rest.partition("#")[0].partition("?")
    if not before.startswith("/"):
        if scheme:
            return URLValue(text, scheme, "", "", query)
        raise ValueError(fault + "invalid URI for request")
    host = ""
    if before.startswith("//") and (scheme or not before.startswith("///")):
        host, slash, path = before[2:].partition("/")
        before = slash + path
        host = _checked_host(host, fault)
    bad = _BAD_ESCAPE.search(before)
    if bad:
        raise ValueError(f'{fault}invalid URL escape "{bad.group()}"')
    return URLValue(text, scheme, host, before, query)


def _checked_host(authority: str, fault: str) -> str:
    host = authority.rpartition("@")[2]
    if host.startswith("[") and "]" not in host:
        raise ValueError(fault + "missing ']' in host")
    port = host.rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
    if port and not (port.isascii() and port.isdigit()):
        raise ValueError(f'{fault}invalid port ":{port}" after host')
    if not _PORT.fullmatch(host):
        raise ValueError(f'{fault}invalid port ":{host.partition(":")[2]}" after host')
    refused = _HOST_REFUSED.search(host)
    if refused and refused.group().startswith("%"):
        raise ValueError(f'{fault}invalid URL escape "{refused.group()}"')
    if refused:
        raise ValueError(f'{fault}invalid character "{refused.group()}" in host name')
    return unquote(host)


def _url(text: str) -> URLValue:
    try:
        return parse_request_uri(text)
    except ValueError as error:
        raise EvaluationError(f"URL parse error during conversion from string: {error}") from error


def _is_url(text: str) -> bool:
    try:
        parse_request_uri(text)
    except ValueError:
        return False
    return True


def _escaped_path(value: URLValue) -> str:
    return quote(value.path, safe=_PATH_SAFE + "%~")


def _query(value: URLValue) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, item in parse_qsl(value.query, keep_blank_values=True):
        found.setdefault(key, []).append(item)
    return found


LIBRARY = Library(
    "kubernetes.urls",
    (
        function("string_to_url", "url", (STRING,), URL, _url, price=prices.PARSED),
        function("is_url_string", "isURL", (STRING,), BOOL, _is_url),
        member("url_get_scheme", "getScheme", (URL,), STRING, lambda value: value.scheme),
        member("url_get_host", "getHost", (URL,), STRING, lambda value: value.host),
        member("url_get_hostname", "getHostname", (URL,), STRING, lambda value: value.hostname),
        member("url_get_port", "getPort", (URL,), STRING, lambda value: value.port),
        member("url_get_escaped_path", "getEscapedPath", (URL,), STRING, _escaped_path),
        member("url_get_query", "getQuery", (URL,), map_of(STRING, list_of(STRING)), _query),
    ),
    types=(URL,),
)
