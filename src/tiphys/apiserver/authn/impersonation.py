"""``--as``: a user who may impersonate speaks as another.

Source: the "User impersonation" page; authorization asks verb ``impersonate`` on users, groups, uids,
serviceaccounts and userextras.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol
from urllib.parse import unquote

from tiphys.apimachinery.errors import InternalError
from tiphys.apiserver.authn.user import (
    ANONYMOUS,
    AUTHENTICATED,
    UNAUTHENTICATED,
    User,
    split_service_account,
)
from tiphys.apiserver.requestinfo import RequestInfo


class Requires(Protocol):
    """Asks whether a user may do something. Raises Forbidden."""

    async def require(self, user: User, info: RequestInfo) -> None: ...


_EXTRA = "impersonate-extra-"


def wanted(headers: Mapping[str, str]) -> bool:
    """Tell whether a request asks to speak as somebody else."""
    return "impersonate-" in " ".join(headers) and any(name.startswith("impersonate-") for name in headers)


def _ask(
    resource: str, name: str, *, group: str = "", namespace: str = "", subresource: str = ""
) -> RequestInfo:
    return RequestInfo(
        path="", verb="impersonate", is_resource=True, group=group, version="v1" if group else "",
        namespace=namespace, resource=resource, subresource=subresource, name=name,
    )  # fmt: skip


async def impersonate(user: User, headers: Mapping[str, str], authorizer: Requires) -> User:
    """Return who the request speaks as.

    Raises:
        InternalError: groups, a uid or extras without a user. Forbidden: the real user may not.
    """
    name = headers.get("impersonate-user", "")
    uid = headers.get("impersonate-uid", "")
    groups = _values(headers.get("impersonate-group", ""))
    extras = {
        unquote(key[len(_EXTRA) :]): tuple(_values(values))
        for key, values in headers.items()
        if key.startswith(_EXTRA)
    }
    if not name:
        raise InternalError(f"requested {_shown(groups, extras, uid)} without impersonating a user")
    account = split_service_account(name)
    for question in _questions(name, account, groups, extras, uid):
        await authorizer.require(user, question)
    if account and not groups:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}"]
    found = User(name, uid, tuple(groups), tuple(sorted(extras.items())))
    if name == ANONYMOUS:
        return found if UNAUTHENTICATED in groups else replace(found, groups=(*groups, UNAUTHENTICATED))
    if AUTHENTICATED in groups or UNAUTHENTICATED in groups:
        return found
    return replace(found, groups=(*groups, AUTHENTICATED))


def _values(joined: str) -> list[str]:
    """Split what repeated headers were joined to; a comma alone is part of a name, as LDAP has it."""
    return [value.strip() for value in joined.split(", ") if value.strip()]


def _questions(
    name: str,
    account: tuple[str, str] | None,
    groups: Sequence[str],
    extras: Mapping[str, Sequence[str]],
    uid: str,
) -> Iterator[RequestInfo]:
    """Yield one question for each thing that is taken on."""
    if account:
        yield _ask("serviceaccounts", account[1], namespace=account[0])
    else:
        yield _ask("users", name)
    for group in groups:
        yield _ask("groups", group)
    for key, values in extras.items():
        for value in values:
            yield _ask("userextras", value, group="authentication.k8s.io", subresource=key)
    if uid:
        yield _ask("uids", uid, group="authentication.k8s.io")


def _shown(groups: Sequence[str], extras: Mapping[str, Sequence[str]], uid: str) -> str:
    """Print what was asked for as upstream does: references, most of their fields empty."""
    version = "authentication.k8s.io/v1"
    found = [f"{{Group  {group}    }}" for group in groups]
    found += [f"{{UserExtra  {v}  {version}  {key}}}" for key, values in extras.items() for v in values]
    found += [f"{{UID  {uid}  {version}  }}"] if uid else []
    return f"[{' '.join(found)}]"
