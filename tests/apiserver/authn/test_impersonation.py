"""Speaking as another: which rights are asked for, and who comes of it."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.errors import InternalError
from tiphys.apiserver.authn.impersonation import impersonate
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.requestinfo import RequestInfo

REAL = User("root")


class Asked:
    """Lets everything through and writes it down."""

    def __init__(self) -> None:
        self.questions: list[tuple[str, ...]] = []

    async def require(self, user: User, info: RequestInfo) -> None:
        assert (user, info.verb) == (REAL, "impersonate")
        parts = (info.group, info.namespace, info.resource, info.subresource, info.name)
        self.questions.append(tuple(part for part in parts if part))


AUTHENTICATED = "system:authenticated"
CASES: dict[str, tuple[dict[str, str], list[tuple[str, ...]], dict[str, Any]]] = {
    "user": ({"impersonate-user": "bob"}, [("users", "bob")], {"username": "bob", "groups": [AUTHENTICATED]}),
    "groups": (
        {"impersonate-user": "bob", "impersonate-group": "x, cn=a,ou=b"},
        [("users", "bob"), ("groups", "x"), ("groups", "cn=a,ou=b")],
        {"username": "bob", "groups": ["x", "cn=a,ou=b", AUTHENTICATED]},
    ),
    "service account": (
        {"impersonate-user": "system:serviceaccount:a:b"},
        [("a", "serviceaccounts", "b")],
        {"username": "system:serviceaccount:a:b",
         "groups": ["system:serviceaccounts", "system:serviceaccounts:a", AUTHENTICATED]},
    ),
    "no service account after all": (
        {"impersonate-user": "system:serviceaccount:a"},
        [("users", "system:serviceaccount:a")],
        {"username": "system:serviceaccount:a", "groups": [AUTHENTICATED]},
    ),
    "anonymous": (
        {"impersonate-user": "system:anonymous"},
        [("users", "system:anonymous")],
        {"username": "system:anonymous", "groups": ["system:unauthenticated"]},
    ),
    "unauthenticated": (
        {"impersonate-user": "bob", "impersonate-group": "system:unauthenticated"},
        [("users", "bob"), ("groups", "system:unauthenticated")],
        {"username": "bob", "groups": ["system:unauthenticated"]},
    ),
    "everything": (
        {"impersonate-user": "bob", "impersonate-uid": "7", "impersonate-extra-acme.com%2fx": "1, 2"},
        [("users", "bob"), ("authentication.k8s.io", "userextras", "acme.com/x", "1"),
         ("authentication.k8s.io", "userextras", "acme.com/x", "2"), ("authentication.k8s.io", "uids", "7")],
        {"username": "bob", "uid": "7", "groups": [AUTHENTICATED], "extra": {"acme.com/x": ["1", "2"]}},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("headers", "questions", "want"), CASES.values(), ids=CASES)
async def test_who_comes_of_it(
    headers: dict[str, str], questions: list[tuple[str, ...]], want: dict[str, Any]
) -> None:
    asked = Asked()
    assert (await impersonate(REAL, headers, asked)).to_info() == want
    assert asked.questions == questions


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"impersonate-group": "x"}, "requested [{Group  x    }] without impersonating a user"),
        ({"impersonate-uid": "7"}, "requested [{UID  7  authentication.k8s.io/v1  }] without impersonating a user"),
        ({"impersonate-extra-k": "v"},
         "requested [{UserExtra  v  authentication.k8s.io/v1  k}] without impersonating a user"),
    ],
)  # fmt: skip
async def test_nobody_to_be(headers: dict[str, str], text: str) -> None:
    with pytest.raises(InternalError) as caught:
        await impersonate(REAL, headers, Asked())
    assert caught.value.message == text


async def test_each_thing_needs_a_right(api: Any) -> None:
    role = {"metadata": {"name": "i"}, "rules": [
        {"apiGroups": [""], "resources": ["users"], "resourceNames": ["bob"], "verbs": ["impersonate"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["userextras/scopes"], "resourceNames": ["view"], "verbs": ["impersonate"]},
    ]}  # fmt: skip
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await api.create(f"{rbac}/clusterroles", role)
    await api.create(f"{rbac}/clusterrolebindings", {
        "metadata": {"name": "i"}, "subjects": [{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "ClusterRole", "name": "i", "apiGroup": "rbac.authorization.k8s.io"}})  # fmt: skip
    await api.settle()
    whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    ok = await api(
        "POST", whoami, {}, user="alice", **{"impersonate-user": "bob", "impersonate-extra-scopes": "view"}
    )
    assert ok.json["status"]["userInfo"]["extra"] == {"scopes": ["view"]}
    for headers, text in (
        ({"impersonate-user": "eve"}, 'users "eve" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope'),
        ({"impersonate-user": "bob", "impersonate-group": "dev"}, 'groups "dev" is forbidden: User "alice" cannot impersonate resource "groups" in API group "" at the cluster scope'),
        ({"impersonate-user": "bob", "impersonate-extra-scopes": "admin"},
         'userextras.authentication.k8s.io "admin" is forbidden: User "alice" cannot impersonate resource "userextras/scopes" in API group "authentication.k8s.io" at the cluster scope'),
        ({"impersonate-user": "bob", "impersonate-uid": "1"},
         'uids.authentication.k8s.io "1" is forbidden: User "alice" cannot impersonate resource "uids" in API group "authentication.k8s.io" at the cluster scope'),
    ):  # fmt: skip
        answer = await api("POST", whoami, {}, user="alice", **headers)
        assert (answer.status, answer.message) == (403, text)
