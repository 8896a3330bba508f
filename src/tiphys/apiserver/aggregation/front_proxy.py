"""How this server shows itself, and its users, to aggregated API servers.

Owns: the front-proxy certificate and the ConfigMap that tells extension servers whom to believe. Without
configured files it makes an authority of its own, so that aggregation works as the cluster comes up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authn.credentials import without_credentials
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.apiserver.authn.user import User
from tiphys.wire.message import HOP_HEADERS, named_hop_headers, wire_text
from tiphys.wire.pki import KeyPair, issue_client, make_ca

NAME = "front-proxy-client"
NAMESPACE, CONFIG_MAP = "kube-system", "extension-apiserver-authentication"
_DROPPED = HOP_HEADERS | {"host"}
_TOKEN = "!#$&'*+-.^_`|~"
"""What names of headers may have beside letters and digits."""
_MAX_OTHERS = 4
"""Authorities of other servers, or of this one before it was started again, that stay believed."""
_USERS, _PROXIES = "client-ca-file", "requestheader-client-ca-file"
_NAMES = "requestheader-allowed-names"
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
        self.header = header
        self._now = now

    def config_data(self, live: Mapping[str, str], client_ca: bytes = b"") -> dict[str, str]:
        """Return what the ConfigMap must say for extension servers to believe users and headers.

        ``live`` is what it has: what other servers over the same store believe stays believed. A configured
        certificate without its authority tells nothing of proxies.
        """
        believed = live.get(_PROXIES, "")
        users = combined(live.get(_USERS, ""), client_ca.decode("ascii"), self._now)
        data = {_USERS: users} if client_ca else {}
        header = self.header
        if not self.authority:
            if header is None:
                return data
            bundle = combined(believed, header.client_ca.decode("ascii"), self._now)
            return data | _told(live, header, bundle, header.allowed_names)
        own = self.authority.decode("ascii")
        if header is not None:
            bundle = header.client_ca.decode("ascii").strip() + "\n" + own
            allowed = (*header.allowed_names, NAME) if header.allowed_names else ()
            return data | _told(live, header, bundle, allowed)
        others = [one for one in _split(believed) if one.strip() != own.strip()]
        made = RequestHeader(b"", uid_headers=("X-Remote-Uid",))
        return data | _told(live, made, "".join([*others[-_MAX_OTHERS:], own]), (NAME,))

    def config_map(self, client_ca: bytes) -> Object:
        """Return the whole ConfigMap for a cluster that has none."""
        meta = {"name": CONFIG_MAP, "namespace": NAMESPACE}
        data = self.config_data({}, client_ca)
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def combined(live: str, own: str, now: datetime) -> str:
    """Return the authorities of both texts, each once, without those whose time is over. Pure."""
    found: dict[bytes, None] = {}
    for text in (live, own):
        for certificate in _certificates(text):
            if certificate.not_valid_after_utc > now:
                found[certificate.public_bytes(Encoding.PEM)] = None
    return b"".join(found).decode("ascii")


def _certificates(text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return []  # somebody wrote there what is none


def _union(live: str, own: Sequence[str]) -> tuple[str, ...]:
    """Return the names that a JSON list has, and those besides."""
    try:
        names = json.loads(live or "[]")
    except ValueError:
        names = []
    told = [one for one in names if isinstance(one, str)] if isinstance(names, list) else []
    return tuple(dict.fromkeys([*told, *own]))


def _told(
    live: Mapping[str, str], header: RequestHeader, bundle: str, allowed: Sequence[str]
) -> dict[str, str]:
    """Return what is told of proxies; names and headers of other servers stay beside this one's."""
    lists = {
        _NAMES: allowed,
        "requestheader-extra-headers-prefix": header.extra_prefixes,
        "requestheader-group-headers": header.group_headers,
        "requestheader-username-headers": header.username_headers,
    }
    if header.uid_headers:
        lists["requestheader-uid-headers"] = header.uid_headers
    data = {
        key: json.dumps(list(_union(live.get(key, ""), values)), separators=(",", ":"))
        for key, values in lists.items()
    }
    return {**data, _PROXIES: bundle}


def _split(bundle: str) -> list[str]:
    return [f"{part.strip()}\n{_END}\n" for part in bundle.split(_END) if part.strip()]


def headers_for(
    user: User,
    headers: Sequence[tuple[str, str]],
    header: RequestHeader | None = None,
    *,
    upgrade: str = "",
) -> Headers:
    """Return a request's headers with its user in the place of its credentials.

    ``header``: under which other names extension servers are told to believe this server.
    """
    dropped = _DROPPED | named_hop_headers(headers)
    sent = [
        (name, value)
        for name, value in without_credentials(headers, header)
        if name.lower() not in dropped and not name.lower().startswith("x-remote-")
    ]
    told = [("X-Remote-User", user.name)]
    if user.uid:
        told.append(("X-Remote-Uid", user.uid))
    told += [("X-Remote-Group", group) for group in user.groups]
    for key, values in user.extra:
        name = f"X-Remote-Extra-{quote(key, safe=_TOKEN)}"
        told += [(name, value) for value in values]
    sent += [(name, wire_text(value)) for name, value in told]
    if upgrade:
        sent += [("Connection", "Upgrade"), ("Upgrade", upgrade)]
    return sent
