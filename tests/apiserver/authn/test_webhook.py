"""Tokens that a remote service knows."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.authn.tokens import Refused
from tiphys.apiserver.authn.webhook import WebhookTokens
from tiphys.apiserver.remote import RemoteFailed

JANE = {"username": "jane", "uid": "42", "groups": ["dev"], "extra": {"k": ["a", "b"]}}


class Service:
    """Answers with one status, or fails."""

    def __init__(self, status: dict[str, Any] | None) -> None:
        self.status = status
        self.asked: list[dict[str, Any]] = []

    async def post(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body)
        if self.status is None:
            raise RemoteFailed("connection refused")
        return {"status": self.status}

    async def close(self) -> None:
        self.status = None


def tokens(status: dict[str, Any] | None, **rest: Any) -> tuple[WebhookTokens, Service, FakeClock]:
    service, clock = Service(status), FakeClock()
    remote: Any = service
    return WebhookTokens(remote, ("api",), clock, **rest), service, clock


async def test_a_known_token() -> None:
    asks, service, _ = tokens({"authenticated": True, "user": JANE}, version="v1")
    found = await asks.authenticate_token("t", ("api", "x"))
    assert found is not None
    assert (found.user.to_info(), found.audiences) == (JANE, ("api",))
    (review,) = service.asked
    assert (review["kind"], review["apiVersion"]) == ("TokenReview", "authentication.k8s.io/v1")
    assert review["spec"] == {"token": "t", "audiences": ["api", "x"]}


@pytest.mark.parametrize(
    ("status", "audiences", "want"),
    [
        ({"authenticated": True, "user": JANE, "audiences": ["x"]}, ("api", "x"), ("x",)),
        ({"authenticated": True, "user": JANE, "audiences": ["y"]}, ("api", "x"), None),
        ({"authenticated": True, "user": JANE}, ("x",), None),
        ({"authenticated": False}, ("api",), None),
        ({}, ("api",), None),
        ({"error": "never heard of it"}, ("x",), None),
    ],
)
async def test_audiences(
    status: dict[str, Any], audiences: tuple[str, ...], want: tuple[str, ...] | None
) -> None:
    asks, _, _ = tokens(status)
    found = await asks.authenticate_token("t", audiences)
    assert (found.audiences if found else None) == want


@pytest.mark.parametrize(
    ("status", "text"), [({"error": "no such token"}, "no such token"), (None, "connection refused")]
)
async def test_refusals(status: dict[str, Any] | None, text: str) -> None:
    asks, _, _ = tokens(status)
    with pytest.raises(Refused, match=text):
        await asks.authenticate_token("t", ("api",))


@pytest.mark.parametrize(
    "status",
    [{"authenticated": True, "user": JANE}, {"authenticated": False}, {"audiences": ["y"]}],
    ids=["somebody", "nobody", "for others"],
)
async def test_answers_are_remembered_for_a_while(status: dict[str, Any]) -> None:
    asks, service, clock = tokens(status, cache_ttl_s=60)
    for _ in range(3):
        await asks.authenticate_token("t", ("api",))
    assert len(service.asked) == 1
    await asks.authenticate_token("t", ("api", "x"))
    await asks.authenticate_token("u", ("api",))
    assert len(service.asked) == 3
    clock.advance(61)
    await asks.authenticate_token("t", ("api",))
    assert len(service.asked) == 4


@pytest.mark.parametrize(
    ("status", "ttl_s"), [({"error": "x"}, 60), (None, 60), ({"authenticated": False}, 0)]
)
async def test_errors_are_not(status: dict[str, Any] | None, ttl_s: float) -> None:
    asks, service, _ = tokens(status, cache_ttl_s=ttl_s)
    for _ in range(2):
        with contextlib.suppress(Refused):
            await asks.authenticate_token("t", ("api",))
    assert len(service.asked) == 2
