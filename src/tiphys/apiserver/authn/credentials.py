"""Credentials among a request's headers, which nobody may see to whom the request is passed on.

Pods and services behind ``proxy``, kubelets, extension servers: each would otherwise get the token of whoever
asks, or believe that a client is somebody whom it names itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.wire.bearer import PROTOCOLS, other_protocols

_NAMES: Final = frozenset(("authorization", "x-remote-user", "x-remote-uid", "x-remote-group"))
_PREFIXES: Final = ("x-remote-extra-", "impersonate-")


def without_credentials(
    headers: Iterable[tuple[str, str]], front_proxy: RequestHeader | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the headers that are no credentials: no tokens, no users, under no name that is believed."""
    names: frozenset[str] = _NAMES
    prefixes: tuple[str, ...] = _PREFIXES
    if front_proxy is not None:
        told = (front_proxy.username_headers, front_proxy.uid_headers, front_proxy.group_headers)
        names = names | {name.lower() for group in told for name in group}
        prefixes = (*prefixes, *(prefix.lower() for prefix in front_proxy.extra_prefixes))
    for name, value in headers:
        lower = name.lower()
        if lower in names or lower.startswith(prefixes):
            continue
        if lower == PROTOCOLS:
            value = other_protocols(value)
            if not value:
                continue
        yield name, value
