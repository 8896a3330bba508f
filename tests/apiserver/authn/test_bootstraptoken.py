"""Bootstrap tokens: which Secrets let whom in."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.apiserver.authn.bootstraptoken import has_expired, user_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = {
    "token-id": "abcdef",
    "token-secret": "0123456789abcdef",
    "usage-bootstrap-authentication": "true",
}


def secret(kind: str = "bootstrap.kubernetes.io/token", **changes: str | None) -> dict[str, Any]:
    named = {key.replace("_", "-"): value for key, value in changes.items()}
    data = {key: value for key, value in {**GOOD, **named}.items() if value is not None}
    return {
        "metadata": {"name": "bootstrap-token-abcdef"},
        "type": kind,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def raw(key: str, value: str) -> dict[str, Any]:
    """A Secret that holds that under a key, whatever it decodes to."""
    return {**secret(), "data": {**secret()["data"], key: value}}


GROUPS = ("system:bootstrappers",)
CASES: dict[str, tuple[dict[str, Any], tuple[str, ...] | None]] = {
    "good": (secret(), GROUPS),
    "groups": (
        secret(auth_extra_groups="system:bootstrappers:b,system:bootstrappers:a"),
        (*GROUPS, "system:bootstrappers:a", "system:bootstrappers:b"),
    ),
    "a group of another kind": (secret(auth_extra_groups="system:masters"), None),
    "not yet over": (secret(expiration="2026-01-01T00:00:01Z"), GROUPS),
    "over": (secret(expiration="2026-01-01T00:00:00Z"), None),
    "an expiry that is no time": (secret(expiration="soon"), None),
    "an expiry of another form": (secret(expiration="20270101T000000Z"), None),
    "an expiry with an offset": (secret(expiration="2026-01-01T01:00:01+01:00"), GROUPS),
    "an expiry that is no text": ({**secret(), "data": {**secret()["data"], "expiration": "//4A"}}, None),
    "groups that are no text": (
        {**secret(), "data": {**secret()["data"], "auth-extra-groups": "//4A"}},
        None,
    ),
    "an empty group": (secret(auth_extra_groups="system:bootstrappers:a,"), None),
    "another type": (secret("Opaque"), None),
    "another secret": (secret(token_secret="x" * 16), None),
    "no secret": (secret(token_secret=None), None),
    "another id": (secret(token_id="abcdeg"), None),
    "not for authentication": (secret(usage_bootstrap_authentication="false"), None),
    "going": ({**secret(), "metadata": {"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z"}}, None),
    "no base64": (raw("token-secret", "!"), None),
}


@pytest.mark.parametrize(("stored", "groups"), CASES.values(), ids=CASES)
def test_whom_a_secret_lets_in(stored: dict[str, Any], groups: tuple[str, ...] | None) -> None:
    user = user_of(stored, "abcdef", "0123456789abcdef", NOW)
    if groups is None:
        assert user is None
    else:
        assert user is not None
        assert (user.name, user.groups) == ("system:bootstrap:abcdef", groups)


def test_no_expiry_never_ends() -> None:
    assert not has_expired("", NOW)


@pytest.mark.parametrize("enabled", [True, False])
async def test_through_the_server(serving: Any, enabled: bool) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    async with serving(enable_bootstrap_token_auth=enabled) as api:
        await api.create("/api/v1/namespaces/kube-system/secrets", secret())
        answer = await api("POST", path, {}, user="abcdef.0123456789abcdef")
        if not enabled:
            assert answer.status == 401
            return
        info = answer.json["status"]["userInfo"]
        assert info == {
            "username": "system:bootstrap:abcdef",
            "groups": ["system:bootstrappers", "system:authenticated"],
        }
        for wrong in ("abcdef.0123456789abcdeg", "abcdee.0123456789abcdef", "abcdef.0123456789abcdef\n"):
            assert (await api("POST", path, {}, user=wrong.strip() + "x")).status == 401
        await api("DELETE", "/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef")
        assert (await api("POST", path, {}, user="abcdef.0123456789abcdef")).status == 401
