"""Who gets in, and as whom."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.authn import tokenfile
from tiphys.apiserver.options import TokenEntry

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


async def who(api: Any, **rest: Any) -> Any:
    return (await api.create(WHOAMI, {}, **rest))["status"]["userInfo"]


async def test_static_token(api: Any) -> None:
    assert await who(api, user="admin") == {
        "username": "admin", "uid": "1", "groups": ["system:masters", "system:authenticated"]
    }  # fmt: skip


async def test_bad_token_and_anonymous(api: Any) -> None:
    answer = await api("GET", "/api", user="wrong")
    assert (answer.status, answer.json["message"], answer.json["reason"]) == (
        401,
        "Unauthorized",
        "Unauthorized",
    )
    answer = await api("GET", "/api/v1/pods", user="")
    assert answer.message == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope'
    )
    assert (await api("GET", "/healthz", user="")).raw == b"ok"


async def test_impersonation(api: Any) -> None:
    info = await who(api, impersonate_user="bob", impersonate_group="x, y")
    assert (info["username"], info["groups"]) == ("bob", ["x", "y", "system:authenticated"])
    info = await who(api, impersonate_user="system:serviceaccount:a:b")
    assert info["groups"] == [
        "system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"
    ]  # fmt: skip
    answer = await api("GET", "/api", user="alice", impersonate_user="bob")
    assert answer.message == (
        'users "bob" is forbidden: User "alice" cannot impersonate resource "users" in API group "" '
        "at the cluster scope"
    )


async def test_token_review(api: Any) -> None:
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    review = await api.create(path, {"spec": {"token": "alice"}})
    assert review["status"]["authenticated"] is True
    assert review["status"]["user"]["username"] == "alice"
    review = await api.create(path, {"spec": {"token": "nobody"}})
    assert not review["status"].get("authenticated")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("t,u,1\n", [TokenEntry("t", "u", "1")]),
        ('t,u,1,"a,b"\n\n', [TokenEntry("t", "u", "1", ("a", "b"))]),
        ("", []),
    ],
)
def test_token_file(text: str, want: list[TokenEntry]) -> None:
    assert list(tokenfile.parse(text)) == want


@pytest.mark.parametrize("text", ["a,b\n", ",u,1\n"])
def test_bad_token_file(text: str) -> None:
    with pytest.raises(ValueError, match="token file line 1"):
        tokenfile.parse(text)
