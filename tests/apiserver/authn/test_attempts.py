"""Who came, as metrics tell it."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.errors import Unauthorized
from tiphys.apiserver.authn.attempts import Attempts, NobodyShown, shown_name


def told(attempts: Attempts) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in attempts.collect()
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ("admin", "admin"), ("client", "client"), ("kube_proxy", "kube_proxy"), ("kubelet", "kubelet"),
        ("system:serviceaccount:kube-system:default", "system:serviceaccount:kube-system:default"),
        ("system:serviceaccount:kube-system:other", "other"), ("system:node:n1", "other"), ("", "other"),
        ("alice@example.com", "email_id"),
    ],
)  # fmt: skip
def test_names_are_few(user: str, name: str) -> None:
    assert shown_name(user) == name


def test_counts() -> None:
    attempts = Attempts()
    attempts.known("admin", 0.5)
    attempts.of("admin").count += 1  # who is known from before takes no time
    attempts.of("admin", "a certificate").count += 1
    assert attempts.of("admin") is not attempts.of("admin", "a certificate")
    attempts.known("a@b", 0.25)
    attempts.refused(NobodyShown("Unauthorized"), 1.0)
    attempts.refused(Unauthorized("Unauthorized"), 2.0)
    found = told(attempts)
    assert attempts.succeeded == 4
    assert {key[-1]: value for key, value in found.items() if key[0] == "authentication_attempts"} == {
        "success": 4, "failure": 1, "error": 1
    }  # fmt: skip
    assert found["authenticated_user_requests", "admin"] == 3
    assert found["authenticated_user_requests", "email_id"] == 1
    seconds = "authentication_duration_seconds"
    assert (found[f"{seconds}_count", "success"], found[f"{seconds}_sum", "success"]) == (4, 0.75)
    assert (found[f"{seconds}_count", "error"], found[f"{seconds}_sum", "error"]) == (1, 2.0)


@pytest.mark.parametrize(
    ("headers", "result"),
    [
        ({}, "failure"),
        ({"authorization": "Basic YTpi"}, "failure"),
        ({"authorization": "Bearer wrong"}, "error"),
        ({"authorization": "Bearer alice"}, "success"),
    ],
    ids=["nothing shown", "what nobody reads", "a wrong token", "a right one"],
)
async def test_results(serving: Any, headers: dict[str, str], result: str) -> None:
    async with serving(anonymous_auth=False) as api:
        before = told(api.server.attempts)
        status = (await api("GET", "/version", user="", **headers)).status
        assert status == (200 if result == "success" else 401)
        after = told(api.server.attempts)
        name = "authentication_attempts"
        changed = {key[1] for key in after if key[0] == name and after[key] != before[key]}
        assert changed == {result}


async def test_who_is_answered_quickly_is_counted_too(api: Any) -> None:
    path = "/api/v1/namespaces/default"
    chain, memo = api.server._chain, dict[Any, Any]()
    for _ in range(3):
        await chain(_asking(path, memo))
    before = api.server.attempts.succeeded
    assert chain.at_once(memo, ("GET", path, path, "")) is not None
    assert api.server.attempts.succeeded == before + 1


def _asking(path: str, memo: dict[Any, Any]) -> Any:
    from tiphys.wire.message import Request

    headers = {"authorization": "Bearer admin", "accept": "application/json"}
    memo.setdefault("seen", True)
    return Request("GET", path, headers=headers, raw_path=path, memo=memo)


@pytest.mark.parametrize("modes", [("AlwaysAllow",), ("RBAC", "AlwaysAllow")])
async def test_strangers_are_not_let_in_where_everything_is_allowed(
    serving: Any, caplog: pytest.LogCaptureFixture, modes: tuple[str, ...]
) -> None:
    async with serving(authorization_modes=modes) as api:
        assert (await api("GET", "/api/v1/secrets", user="")).status == 401
        assert (await api("GET", "/api/v1/secrets")).status == 200
    assert "Resetting AnonymousAuth to false" in caplog.text
