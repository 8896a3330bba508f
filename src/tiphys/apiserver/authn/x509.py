"""Users from client certificates that TLS has already verified: CN is the user, every O a group."""

from __future__ import annotations

from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import NameOID

from tiphys.apiserver.authn.user import User


@lru_cache(maxsize=1024)
def user_of(der: bytes) -> User | None:
    """Return whom a certificate names; None when it has no common name."""
    certificate = x509.load_der_x509_certificate(der)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names or not names[0].value:
        return None
    groups = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return User(name=str(names[0].value), groups=tuple(str(group.value) for group in groups))
