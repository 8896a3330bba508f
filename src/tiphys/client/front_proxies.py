"""Front proxies in front of a component's endpoint: who calls is said in headers, by whom may be believed.

Owns: which proxies are believed and where they write, as flags (``--requestheader-*``) or the cluster's own
ConfigMap say. Used by ``delegated``. Refuses: certificates of users themselves (``reviews``).
Source: delegated authentication of ``k8s.io/apiserver``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

from tiphys.apimachinery.dataclass import dataclass
from tiphys.client.reviews import Caller
from tiphys.wire.client_certificates import ClientAuthorities, NotVerified, subject_of
from tiphys.wire.message import Request, values_of

_AUTHENTICATED: Final = "system:authenticated"
_KEYS: Final = {
    "allowed_names": "requestheader-allowed-names",
    "username_headers": "requestheader-username-headers",
    "uid_headers": "requestheader-uid-headers",
    "group_headers": "requestheader-group-headers",
    "extra_prefixes": "requestheader-extra-headers-prefix",
}
CLIENT_CA: Final = "requestheader-client-ca-file"
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class ProxyHeaders:
    """Which proxies are believed, by common name (empty: all of the authority), and where they write."""

    allowed_names: tuple[str, ...] = ()
    username_headers: tuple[str, ...] = ("x-remote-user",)
    uid_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ("x-remote-group",)
    extra_prefixes: tuple[str, ...] = ("x-remote-extra-",)

    @classmethod
    def of_cluster(cls, data: Mapping[str, str]) -> ProxyHeaders:
        """Return what the ConfigMap ``extension-apiserver-authentication`` says. Raises ValueError."""
        found: dict[str, Any] = {}
        for name, key in _KEYS.items():
            if key in data:
                values = json.loads(data[key] or "[]")
                if not isinstance(values, list):
                    raise ValueError(f"{key} is no list")
                found[name] = tuple(map(str, values))
        return cls(**found)


@dataclass(frozen=True, slots=True)
class FrontProxies:
    """The proxies that are believed now."""

    authorities: ClientAuthorities = field(default_factory=ClientAuthorities)
    headers: ProxyHeaders = field(default_factory=ProxyHeaders)

    def caller_of(self, request: Request, now: datetime) -> Caller | None:
        """Return whom a proxy speaks for; None where none that is believed does."""
        if not request.shown_certificates or not self.authorities:
            return None
        try:
            self.authorities.verify(request.shown_certificates, now)
            name = subject_of(request.shown_certificates[0]).common_name
        except NotVerified:
            return None
        headers, sent = self.headers, request.headers
        if headers.allowed_names and name not in headers.allowed_names:
            return None
        user = _first(sent, headers.username_headers)
        if not user:
            return None
        groups = [one for header in headers.group_headers for one in values_of(sent, header.lower()) if one]
        if _AUTHENTICATED not in groups:
            groups.append(_AUTHENTICATED)
        return Caller(user, tuple(groups), _first(sent, headers.uid_headers), _extra(sent, headers))


def _first(sent: Mapping[str, str], names: tuple[str, ...]) -> str:
    for name in names:
        values = values_of(sent, name.lower())
        if values and values[0]:
            return values[0]
    return ""


def _extra(sent: Mapping[str, str], headers: ProxyHeaders) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for prefix in map(str.lower, headers.extra_prefixes):
        for name in sent:
            if name.startswith(prefix):
                rest = name[len(prefix) :]
                key = rest if _BAD_ESCAPE.search(rest) else unquote(rest)
                found[key] = (*found.get(key, ()), *values_of(sent, name))
    return found
