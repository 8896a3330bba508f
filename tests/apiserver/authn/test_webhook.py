"""Tokens that a remote service knows."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.authn.token_cache import TokenCacheCounts
from tiphys.apiserver.authn.tokens import Authenticated, Refused
from tiphys.apiserver.authn.webhook import WebhookTokens
from tiphys.apiserver.outgoing.remote import RemoteFailed

JANE = {"username": "jane", "uid": "42", "groups": ["dev"], "extra": {"k": ["a", "b"]}}


class Service:
    """Answers with one status, or fails."""

    def __init__(self, status: dict[str, Any] | None) -> None:
        self.status = status
        self.asked: list[dict[str, Any]] = []

    async def post(self, body: dict[str, Any], _shapes: Any, _notes: Any = None) -> dict[str, Any]:
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


@pytest.mark.parametrize("status", [{"authenticated": True, "user": JANE}, {"error": "no such token"}, None])
async def test_the_same_is_asked_once_at_a_time(status: dict[str, Any] | None) -> None:
    """Whoever comes meanwhile gets the same answer, even if the first one goes."""
    asks, service, _ = tokens(status, cache_ttl_s=0)
    answer, let = service.post, asyncio.Event()

    async def slow(body: dict[str, Any], _shapes: Any, _notes: Any = None) -> dict[str, Any]:
        await let.wait()
        return await answer(body, _shapes)

    service.post = slow  # type: ignore[method-assign]
    first, *others = [asyncio.ensure_future(asks.authenticate_token("t", ("api",))) for _ in range(3)]
    other = asyncio.ensure_future(asks.authenticate_token("u", ("api",)))
    await asyncio.sleep(0)
    first.cancel()
    let.set()
    found = await asyncio.gather(first, *others, other, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert len(service.asked) == 2
    assert {type(one) for one in found[1:]} == {Authenticated if (status or {}).get("user") else Refused}
    with contextlib.suppress(Refused):
        await asks.authenticate_token("t", ("api",))
    assert len(service.asked) == 3


async def test_nobody_waits_for_a_service_that_is_closed() -> None:
    asks, service, _ = tokens(None)

    async def never(body: dict[str, Any], _shapes: Any) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    service.post = never  # type: ignore[method-assign]
    waiting = asyncio.ensure_future(asks.authenticate_token("t", ("api",)))
    await asyncio.sleep(0)
    await asks.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize(
    ("status", "ttl_s"), [({"error": "x"}, 60), (None, 60), ({"authenticated": False}, 0)]
)
async def test_errors_are_not(status: dict[str, Any] | None, ttl_s: float) -> None:
    asks, service, _ = tokens(status, cache_ttl_s=ttl_s)
    for _ in range(2):
        with contextlib.suppress(Refused):
            await asks.authenticate_token("t", ("api",))
    assert len(service.asked) == 2


def counted(counts: TokenCacheCounts) -> dict[str, float]:
    """Return what is counted of the cache, but sums and buckets, by name and status."""
    return {
        f"{one.name.removeprefix('authentication_token_cache_')} {one.labels['status']}": one.value
        for family in counts.collect()
        for one in family.samples
        if not one.name.endswith(("_sum", "_bucket"))
    }


async def test_what_is_remembered_is_told_from_what_is_asked() -> None:
    counts = TokenCacheCounts()
    asks, service, clock = tokens({"authenticated": True, "user": JANE}, counts=counts)
    assert counted(counts) == {}
    for _ in range(3):
        await asks.authenticate_token("t", ("api",))
    clock.advance(121)
    service.status = None
    with pytest.raises(Refused):
        await asks.authenticate_token("t", ("api",))
    await asyncio.sleep(0)
    assert counted(counts) == {
        "request_total hit": 2, "request_total miss": 2,
        "request_duration_seconds_count hit": 2, "request_duration_seconds_count miss": 2,
        "fetch_total ok": 1, "fetch_total error": 1,
        "active_fetch_count in_flight": 0, "active_fetch_count blocked": 0,
    }  # fmt: skip


async def test_who_waits_for_an_answer_is_counted_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = TokenCacheCounts()
    asks, service, clock = tokens({"authenticated": True, "user": JANE}, counts=counts)
    answered = asyncio.Event()
    post = service.post

    async def slowly(*asked: Any) -> dict[str, Any]:
        await answered.wait()
        return await post(*asked)

    monkeypatch.setattr(service, "post", slowly)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(asks.authenticate_token("t", ("api",)))
        await asyncio.sleep(0)
        assert counted(counts) == {"active_fetch_count in_flight": 1, "active_fetch_count blocked": 3}
        clock.advance(0.3)
        answered.set()
    buckets = {
        one.labels["le"]: one.value
        for family in counts.collect()
        for one in family.samples
        if one.labels.get("status") == "miss" and "le" in one.labels
    }
    assert " ".join(buckets) == "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 +Inf"
    assert (buckets["0.25"], buckets["0.5"]) == (0, 3)
