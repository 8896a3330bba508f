"""For whom a server's certificate is, asked as Go's clients ask: alternative names alone count.

Owns: the comparison, its words, and a TLS context whose handshakes end with it, when the certificate can be
looked at, before anything is said. Refuses: whose certificates are believed; that is OpenSSL's.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

_LEGACY: Final = "x509: certificate relies on legacy Common Name field, use SANs instead"
_NAMELESS: Final = "tls: either ServerName or InsecureSkipVerify must be specified in the tls.Config"


class NameRefused(ssl.SSLError):
    """A certificate is for somebody else; the text is Go's."""

    def __init__(self, text: str) -> None:
        super().__init__(0, text)
        self.library = self.reason = ""  # those that OpenSSL raises have them

    @property
    def is_legacy(self) -> bool:
        """Tell whether only the subject bears the name that was asked for."""
        return self.strerror == _LEGACY


class _NamedSocket(ssl.SSLSocket):
    def do_handshake(self, *args: Any, **how: Any) -> None:
        super().do_handshake(*args, **how)
        _verify(self)


class _NamedObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        _verify(self)


def _verify(shaken: ssl.SSLSocket | ssl.SSLObject) -> None:
    """Raises NameRefused."""
    if shaken.context.verify_mode is ssl.CERT_NONE:
        return
    if shaken.server_hostname is None:
        raise NameRefused(_NAMELESS)
    if fault := name_fault(shaken.getpeercert() or {}, shaken.server_hostname):
        raise NameRefused(fault)


class NamedContext(ssl.SSLContext):
    """A context for clients whose servers must bear the name that they are called by.

    No handshake of its sockets and objects succeeds with another one: it may be handed to asyncio too.
    """

    sslsocket_class = _NamedSocket
    sslobject_class = _NamedObject

    def __new__(cls) -> NamedContext:
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # done here: OpenSSL cannot say what it compared
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def trust(self, bundle: str = "", *, file: Path | None = None) -> None:
        """Believe the authorities of a PEM text or file alone; without either those of the system.

        Raises ssl.SSLError, OSError.
        """
        if bundle or file is not None:
            self.load_verify_locations(cafile=file, cadata=bundle or None)
        else:
            self.load_default_certs()


def name_fault(certificate: Mapping[str, Any], server_name: str) -> str:
    """Return why a certificate (as ``getpeercert`` tells of it) is not for a server; empty: it is."""
    kinds: dict[str, list[str]] = {"DNS": [], "IP Address": []}
    for kind, value in certificate.get("subjectAltName") or ():
        kinds.get(kind, []).append(str(value).strip())
    names, addresses = kinds["DNS"], [_address(one) for one in kinds["IP Address"]]
    wanted = _address(server_name)
    if wanted is not None:
        if wanted in addresses:
            return ""
    elif any(_matches(name, server_name) for name in names):
        return ""
    if "subjectAltName" not in certificate and any(
        _matches(name, server_name) for name in _common_names(certificate)
    ):
        return _LEGACY
    if wanted is not None and not addresses:
        because = "because it doesn't contain any IP SANs"
        return f"x509: cannot validate certificate for {server_name} {because}"
    valid = ", ".join(map(str, addresses) if wanted is not None else names)
    if not valid:
        return f"x509: certificate is not valid for any names, but wanted to match {server_name}"
    return f"x509: certificate is valid for {valid}, not {server_name}"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _matches(pattern: str, host: str) -> bool:
    """Tell whether a name is meant by another, whose first part may be ``*``."""
    parts, wanted = pattern.lower().split("."), host.lower().removesuffix(".").split(".")
    if len(parts) != len(wanted) or not all(wanted):
        return False
    if parts[0] == "*" and len(parts) > 1:
        parts, wanted = parts[1:], wanted[1:]
    return parts == wanted


def _common_names(certificate: Mapping[str, Any]) -> Iterator[str]:
    for attributes in certificate.get("subject") or ():
        yield from (value for name, value in attributes if name == "commonName")
