"""Users from client certificates that were verified: CN is the user, every O a group."""

from __future__ import annotations

from functools import lru_cache

from tiphys.apiserver.authn.user import User
from tiphys.wire.client_certificates import CREDENTIAL_ID, subject_of


@lru_cache(maxsize=1024)
def user_of(certificate: bytes) -> User | None:
    """Return whom a certificate (DER) names; None when it has no common name. Raises NotVerified."""
    subject = subject_of(certificate)
    if not subject.common_name:
        return None
    extra = ((CREDENTIAL_ID, (subject.credential,)),)
    return User(subject.common_name, subject.uid, subject.organizations, extra)
