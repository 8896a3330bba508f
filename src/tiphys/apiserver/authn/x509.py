"""Users from client certificates that were verified: CN is the user, every O a group."""

from __future__ import annotations

from functools import lru_cache

from tiphys.apimachinery.featuregates import on
from tiphys.apiserver.authn.user import User
from tiphys.wire.client_certificates import CREDENTIAL_ID, subject_of


def user_of(certificate: bytes) -> User | None:
    """Return whom a certificate (DER) names; None when it has no common name. Raises NotVerified."""
    return _user_of(certificate, with_uid=on("AllowParsingUserUIDFromCertAuth"))


def credential_of(user: User) -> str:
    """Return what the certificate is called that a user came with, empty where it was none."""
    for key, values in user.extra:
        if key == CREDENTIAL_ID and values and values[0].startswith("X509"):
            return values[0]
    return ""


@lru_cache(maxsize=1024)
def _user_of(certificate: bytes, *, with_uid: bool) -> User | None:
    subject = subject_of(certificate)
    if not subject.common_name:
        return None
    extra = ((CREDENTIAL_ID, (subject.credential,)),)
    return User(subject.common_name, subject.uid if with_uid else "", subject.organizations, extra)
