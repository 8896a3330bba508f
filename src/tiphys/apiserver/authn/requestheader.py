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

    def user_of(self, headers: Mapping[str, str], certificate: bytes) -> User | None:
        """Return whom a request speaks for; None when it names nobody or its sender is no proxy."""
        name = _first(headers, self.username_headers)
        if not name or not is_issued_by(certificate, self.client_ca):
            return None
        if self.allowed_names and common_name(certificate) not in self.allowed_names:
            return None
        groups = [
            group for header in self.group_headers for group in _values(headers.get(header.lower(), ""))
        ]
        return User(name, _first(headers, self.uid_headers), tuple(groups), self._extra(headers))

    def _extra(self, headers: Mapping[str, str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        prefixes = tuple(prefix.lower() for prefix in self.extra_prefixes)
        found = {
            unquote(name[len(prefix) :]): tuple(_values(value))
            for prefix in prefixes
            for name, value in headers.items()
            if name.startswith(prefix)
        }
        return tuple(sorted(found.items()))


def _first(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := headers.get(name.lower(), ""))), "")


def _values(joined: str) -> list[str]:
    """Split what repeated headers were joined to; a comma alone is part of a name, as LDAP has it."""
    return [value for value in joined.split(", ") if value]


@lru_cache(maxsize=1024)
def common_name(certificate: bytes) -> str:
    """Return the common name of a DER certificate, empty without one."""
    names = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


@lru_cache(maxsize=1024)
def is_issued_by(certificate: bytes, bundle: bytes) -> bool:
    """Tell whether one of the authorities in a PEM bundle has signed a DER certificate itself.

    TLS has verified the chain and the dates already, against all authorities that the server knows.
    """
    leaf = x509.load_der_x509_certificate(certificate)
    for authority in x509.load_pem_x509_certificates(bundle) if bundle else ():
        try:
            leaf.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False
