"""A front proxy's word: the user is in headers, and believed when the proxy's certificate is.

Source: the "Configure the Aggregation Layer" page; flags ``--requestheader-*``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from tiphys.apiserver.authn.user import User
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

    def user_of(
        self, headers: Mapping[str, str], certificate: bytes, issuers: tuple[bytes, ...] = ()
    ) -> User | None:
        """Return whom a request speaks for; None when it names nobody or its sender is no proxy."""
        name = _first(headers, self.username_headers)
        if not name or not is_issued_by(certificate, self.client_ca, issuers):
            return None
        if self.allowed_names and common_name(certificate) not in self.allowed_names:
            return None
        groups = [
            group for header in self.group_headers for group in values_of(headers, header.lower()) if group
        ]
        return User(name, _first(headers, self.uid_headers), tuple(groups), self._extra(headers))

    def _extra(self, headers: Mapping[str, str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        prefixes = tuple(prefix.lower() for prefix in self.extra_prefixes)
        found: dict[str, tuple[str, ...]] = {}
        for prefix in prefixes:
            for name in headers:
                if name.startswith(prefix):
                    key = unquote(name[len(prefix) :])
                    found[key] = (*found.get(key, ()), *values_of(headers, name))
        return tuple(sorted(found.items()))


def _first(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Return the first value of the first header that says anything."""
    for name in names:
        values = values_of(headers, name.lower())
        if values and values[0]:
            return values[0]
    return ""


@lru_cache(maxsize=1024)
def common_name(certificate: bytes) -> str:
    """Return the common name of a DER certificate, empty without one."""
    names = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


@lru_cache(maxsize=1024)
def is_issued_by(certificate: bytes, bundle: bytes, issuers: tuple[bytes, ...] = ()) -> bool:
    """Tell whether a PEM bundle has an authority for a DER certificate: its issuer, or that one's, and so on.

    TLS has verified all of them and the dates already, against all authorities that the server knows.
    """
    authorities = x509.load_pem_x509_certificates(bundle) if bundle else []
    for link in (certificate, *issuers):
        shown = x509.load_der_x509_certificate(link)
        if any(shown == authority or _has_signed(authority, shown) for authority in authorities):
            return True
    return False


def _has_signed(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
