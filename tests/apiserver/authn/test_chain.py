"""Who gets in, and as whom."""
# ruff: noqa: E501

from __future__ import annotations

import logging
import re
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
    info = await who(api, impersonate_user="bob", impersonate_group="x")
    assert (info["username"], info["groups"]) == ("bob", ["x", "system:authenticated"])
    info = await who(api, impersonate_user="system:serviceaccount:a:b")
    assert info["groups"] == [
        "system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"
    ]  # fmt: skip
    answer = await api("GET", "/api", user="alice", impersonate_user="bob")
    assert answer.message == 'forbidden: User "alice" cannot impersonate-on:user-info:get path "/api"'


async def test_token_review(api: Any) -> None:
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    review = await api.create(path, {"spec": {"token": "alice"}})
    assert review["status"]["authenticated"] is True
    assert review["status"]["user"]["username"] == "alice"
    review = await api.create(path, {"spec": {"token": "nobody"}})
    assert not review["status"].get("authenticated")


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("alice\n", {"authenticated": True}),
        ("alice of whom else", {"authenticated": True}),
        (" alice", {"user": {}}),
        ("\t", {"user": {}}),
        ("bob!", {"user": {}, "error": "invalid bearer token"}),
    ],
)
async def test_a_reviewed_token_is_read_as_one_of_a_header(
    api: Any, token: str, status: dict[str, Any]
) -> None:
    review = await api.create("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
    assert {key: review["status"].get(key) for key in status} == status


async def test_a_review_without_a_token(api: Any) -> None:
    answer = await api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {}})
    assert (answer.status, answer.json["reason"], answer.message) == (
        400, "BadRequest", "token is required for TokenReview in authentication"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("t,u,1\n", [TokenEntry("t", "u", "1")]),
        ('t,u,1,"a,b"\n\n', [TokenEntry("t", "u", "1", ("a", "b"))]),
        ("", []),
        ("\nt,u,1,g,other\n", [TokenEntry("t", "u", "1", ("g",))]),
        (",u,1\nt,u,1\n", [TokenEntry("t", "u", "1")]),
        (" t,u , 1,g,x", [TokenEntry(" t", "u ", " 1", ("g",))]),
        (
            't,u,1,"a, b,"\r\ns,v,2,""',
            [TokenEntry("t", "u", "1", ("a", " b", "")), TokenEntry("s", "v", "2", ("",))],
        ),
        ("t,u,1\ns,v,2\nt,w,3\n", [TokenEntry("t", "w", "3"), TokenEntry("s", "v", "2")]),
    ],
)
def test_token_file(text: str, want: list[TokenEntry]) -> None:
    assert list(tokenfile.parse(text)) == want


@pytest.mark.parametrize(("text", "found"), [("t,u,1\na,b\n", 2), ("a\n", 1)])
def test_bad_token_file(text: str, found: int) -> None:
    wanted = f"token file 'f' must have at least 3 columns (token, user name, user uid), found {found}"
    with pytest.raises(ValueError, match=re.escape(wanted)):
        tokenfile.parse(text, "f")
    with pytest.raises(ValueError, match="parse error on line 1, column 12: extraneous"):
        tokenfile.parse('t,u,1,"a,b\n')


@pytest.mark.parametrize(
    "secret", ["abcdef.0123456789abcdef", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln", "s3cr3t"]
)
async def test_no_token_is_logged(api: Any, caplog: pytest.LogCaptureFixture, secret: str) -> None:
    with caplog.at_level(logging.DEBUG):
        assert (await api("GET", "/api", user=secret)).status == 401
        review = await api.create("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": secret}})
    assert "invalid bearer token" in review["status"]["error"]
    assert secret not in caplog.text


async def test_what_a_refusal_says_in_the_log(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default"
    token = (await api.create(f"{path}/token", {"spec": {}}))["status"]["token"]
    api.clock.advance(4000)
    with caplog.at_level(logging.DEBUG):
        assert (await api("GET", "/api", user=token)).status == 401
    assert "[invalid bearer token, service account token has expired]" in caplog.text
    assert token not in caplog.text
