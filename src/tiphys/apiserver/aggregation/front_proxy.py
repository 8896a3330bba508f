"""How this server shows itself, and its users, to aggregated API servers.

Owns: the front-proxy certificate and the ConfigMap that tells extension servers whom to believe. Without
configured files it makes an authority of its own, so that aggregation works as the cluster comes up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.apiserver.authn.user import User
from tiphys.wire.message import wire_text
from tiphys.wire.pki import KeyPair, issue_client, make_ca

NAME = "front-proxy-client"
NAMESPACE, CONFIG_MAP = "kube-system", "extension-apiserver-authentication"
_DROPPED = frozenset(
    {"authorization", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer"}
    | {"proxy-authenticate", "upgrade", "host"}
)
_MAX_OTHERS = 4
"""Authorities of other servers, or of this one before it was started again, that stay believed."""
_END = "-----END CERTIFICATE-----"
Headers = list[tuple[str, str]]


class FrontProxy:
    """One server's identity towards extension servers."""

    def __init__(
        self, now: datetime, client: KeyPair | None = None, header: RequestHeader | None = None
    ) -> None:
        self.authority = b""
        if client is None:
            ca = make_ca("front-proxy-ca", now)
            client, self.authority = issue_client(ca, NAME, (), now, days=3650), ca.certificate
        self.client = client
        self._header = header

    def config_data(self, believed: str = "") -> dict[str, str]:
        """Return what the ConfigMap must say for extension servers to believe the headers.

        ``believed`` is the bundle that it has: other servers over the same store stay believed. Where the
        proxies' authority is configured, what is configured is told; a configured certificate without its
        authority tells nothing.
        """
        header = self._header
        if header is not None and not self.authority:
            return _told(header, header.client_ca.decode("ascii"), header.allowed_names)
        if not self.authority:
            return {}
        own = self.authority.decode("ascii")
        if header is not None:
            bundle = header.client_ca.decode("ascii").strip() + "\n" + own
            allowed = (*header.allowed_names, NAME) if header.allowed_names else ()
            return _told(header, bundle, allowed)
        others = [one for one in _split(believed) if one.strip() != own.strip()]
        made = RequestHeader(b"", uid_headers=("X-Remote-Uid",))
        return _told(made, "".join([*others[-_MAX_OTHERS:], own]), (NAME,))

    def config_map(self, client_ca: bytes) -> Object:
        """Return the whole ConfigMap for a cluster that has none."""
        data = self.config_data()
        if client_ca:
            data["client-ca-file"] = client_ca.decode("ascii")
        meta = {"name": CONFIG_MAP, "namespace": NAMESPACE}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def _told(header: RequestHeader, bundle: str, allowed: Sequence[str]) -> dict[str, str]:
    lists = {
        "requestheader-allowed-names": allowed,
        "requestheader-extra-headers-prefix": header.extra_prefixes,
        "requestheader-group-headers": header.group_headers,
        "requestheader-uid-headers": header.uid_headers,
        "requestheader-username-headers": header.username_headers,
    }
    data = {key: json.dumps(list(values), separators=(",", ":")) for key, values in lists.items()}
    return {**data, "requestheader-client-ca-file": bundle}


def _split(bundle: str) -> list[str]:
    return [f"{part.strip()}\n{_END}\n" for part in bundle.split(_END) if part.strip()]


def headers_for(user: User, headers: Sequence[tuple[str, str]], *, upgrade: str = "") -> Headers:
    """Return a request's headers with its user in the place of its credentials."""
    sent = [
        (name, value)
        for name, value in headers
        if name.lower() not in _DROPPED and not name.lower().startswith(("x-remote-", "impersonate-"))
    ]
    told = [("X-Remote-User", user.name)]
    if user.uid:
        told.append(("X-Remote-Uid", user.uid))
    told += [("X-Remote-Group", group) for group in user.groups]
    for key, values in user.extra:
        name = f"X-Remote-Extra-{quote(key, safe='')}"
        told += [(name, value) for value in values]
    sent += [(name, wire_text(value)) for name, value in told]
    if upgrade:
        sent += [("Connection", "Upgrade"), ("Upgrade", upgrade)]
    return sent
