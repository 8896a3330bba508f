"""Who is asking: the value that authentication makes and authorization reads."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.names import is_dns1123_label, is_dns1123_subdomain

ANONYMOUS = "system:anonymous"
UNAUTHENTICATED = "system:unauthenticated"
AUTHENTICATED = "system:authenticated"
MASTERS = "system:masters"
NODES = "system:nodes"
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class User:
    """One identity. Hashable, so that decisions can be kept by it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody knows who this is."""
        return self.name == ANONYMOUS or UNAUTHENTICATED in self.groups

    def to_info(self) -> dict[str, Any]:
        """Render as ``authentication.k8s.io/v1 UserInfo``."""
        info: dict[str, Any] = {"username": self.name} if self.name else {}
        if self.uid:
            info["uid"] = self.uid
        if self.groups:
            info["groups"] = list(self.groups)
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra}
        return info

    def authenticated(self) -> User:
        """Return this user as a member of the group of all who have shown who they are."""
        if AUTHENTICATED in self.groups or UNAUTHENTICATED in self.groups or self.name == ANONYMOUS:
            return self
        return _authenticated(self)


@lru_cache(maxsize=4096)
def _authenticated(user: User) -> User:
    """Asked for with every request of a user: the same value each time also compares at once."""
    return replace(user, groups=(*user.groups, AUTHENTICATED))


APISERVER: Final = "system:apiserver"
"""An API server that asks another one, or itself."""
ANONYMOUS_USER = User(name=ANONYMOUS, groups=(UNAUTHENTICATED,))


def extra_key(name: str) -> str:
    """Return the key of an extra out of the end of a header's name: decoded, unless it is badly encoded."""
    return name if _BAD_ESCAPE.search(name) else unquote(name)


def service_account_name(namespace: str, name: str) -> str:
    """Return the user name of a service account."""
    return f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"


def split_service_account(username: str) -> tuple[str, str] | None:
    """Return ``(namespace, name)`` of a service account's user name, None for any other user."""
    if not username.startswith(SERVICE_ACCOUNT_PREFIX):
        return None
    namespace, _, name = username[len(SERVICE_ACCOUNT_PREFIX) :].partition(":")
    return None if is_dns1123_label(namespace) or is_dns1123_subdomain(name) else (namespace, name)
