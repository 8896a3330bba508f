"""``--as``: a user who may impersonate speaks as another.

Source: the "User impersonation" page; authorization asks verb ``impersonate`` on users, groups, uids,
serviceaccounts and userextras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import unquote

from tiphys.apimachinery.errors import BadRequest
from tiphys.apiserver.authn.user import (
    ANONYMOUS,
    AUTHENTICATED,
    UNAUTHENTICATED,
    User,
    service_account_name,
    split_service_account,
)
from tiphys.apiserver.requestinfo import RequestInfo

Require = Callable[[User, RequestInfo], None]
"""Raises Forbidden unless the user may do that."""

_EXTRA = "impersonate-extra-"


def wanted(headers: Mapping[str, str]) -> bool:
    """Tell whether a request asks to speak as somebody else."""
    return any(name.startswith("impersonate-") for name in headers)


def _ask(
    resource: str, name: str, *, group: str = "", namespace: str = "", subresource: str = ""
) -> RequestInfo:
    return RequestInfo(
        path="", verb="impersonate", is_resource=True, group=group, version="v1" if group else "",
        namespace=namespace, resource=resource, subresource=subresource, name=name,
    )  # fmt: skip


def impersonate(user: User, headers: Mapping[str, str], require: Require) -> User:
    """Return who the request speaks as.

    Raises:
        BadRequest: groups or extras without a user.
        Forbidden: the real user may not.
    """
    name = headers.get("impersonate-user", "")
    uid = headers.get("impersonate-uid", "")
    groups = [group.strip() for group in headers.get("impersonate-group", "").split(",") if group.strip()]
    extras = {
        unquote(key[len(_EXTRA) :]): tuple(value.strip() for value in values.split(","))
        for key, values in headers.items()
        if key.startswith(_EXTRA)
    }
    if not name:
        raise BadRequest("requested impersonation without a user to impersonate")
    account = split_service_account(name)
    if account:
        require(user, _ask("serviceaccounts", account[1], namespace=account[0]))
    else:
        require(user, _ask("users", name))
    for group in groups:
        require(user, _ask("groups", group))
    for key, values in extras.items():
        for value in values:
            require(user, _ask("userextras", value, group="authentication.k8s.io", subresource=key))
    if uid:
        require(user, _ask("uids", uid, group="authentication.k8s.io"))
    if account and not groups:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}"]
        name = service_account_name(*account)
    found = User(name, uid, tuple(groups), tuple(sorted(extras.items())))
    if name == ANONYMOUS:
        return replace(found, groups=(*groups, UNAUTHENTICATED))
    if AUTHENTICATED in groups or UNAUTHENTICATED in groups:
        return found
    return replace(found, groups=(*groups, AUTHENTICATED))
