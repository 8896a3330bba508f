"""A front proxy's word: the user is in headers. ``certificates`` says whether the proxy is believed.

Source: the "Configure the Aggregation Layer" page; flags ``--requestheader-*``.
"""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.featuregates import on
from tiphys.apiserver.authn.user import User, extra_key
from tiphys.wire.message import values_of


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """Which proxies are believed, and where they write whom they speak for."""

    client_ca: bytes
    allowed_names: tuple[str, ...] = ()
    """Common names; empty takes every certificate of the authority."""
    username_headers: tuple[str, ...] = ("X-Remote-User",)
    uid_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ("X-Remote-Group",)
    extra_prefixes: tuple[str, ...] = ("X-Remote-Extra-",)

    def user_of(self, headers: Mapping[str, str]) -> User | None:
        """Return whom a believed proxy's request speaks for; None when it names nobody."""
        name = _first(headers, self.username_headers)
        if not name:
            return None
        groups = [
            group for header in self.group_headers for group in values_of(headers, header.lower()) if group
        ]
        uid = _first(headers, self.uid_headers) if on("RemoteRequestHeaderUID") else ""
        return User(name, uid, tuple(groups), self._extra(headers))

    def _extra(self, headers: Mapping[str, str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        prefixes = tuple(prefix.lower() for prefix in self.extra_prefixes)
        found: dict[str, tuple[str, ...]] = {}
        for prefix in prefixes:
            for name in headers:
                if name.startswith(prefix):
                    key = extra_key(name[len(prefix) :])
                    found[key] = (*found.get(key, ()), *values_of(headers, name))
        return tuple(sorted(found.items()))


def _first(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Return the first value of the first header that says anything."""
    for name in names:
        values = values_of(headers, name.lower())
        if values and values[0]:
            return values[0]
    return ""
