"""What is remembered of tokens, for how long, and what is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.authn.token_cache import TokenCache, TokenCacheCounts
from tiphys.apiserver.authn.tokens import Authenticated, Refused
from tiphys.apiserver.authn.user import User

JANE = User("jane")
CONFIGURED = "authentication_token_cache_request_total"


class Asked:
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self, answer: Authenticated | Exception | None) -> None:
        self.answer, self.times = answer, 0

    async def __call__(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        self.times += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def asked_again(clock: FakeClock, asked: Asked, after_s: float, **ttls: float) -> bool:
    """Tell whether a question is asked once more so long after the first."""
    cache = TokenCache(asked, clock, TokenCacheCounts(), **{"ttl_s": 10.0, **ttls})
    for seconds in (after_s, 0.0):
        try:
            await cache.get("t", ("a",))
        except Refused:
            assert isinstance(asked.answer, Refused)
        clock.advance(seconds)
        await asyncio.sleep(0)
    return asked.times == 2


@pytest.mark.parametrize(
    ("answer", "after_s", "failure_ttl_s", "again"),
    [
        (Authenticated(JANE), 9.9, 0.0, False),
        (Authenticated(JANE), 10.0, 0.0, True),
        (None, 0.0, 0.0, True),
        (None, 4.9, 5.0, False),
        (None, 5.0, 5.0, True),
        (Refused("no"), 0.0, 5.0, True),
    ],
)
async def test_how_long_an_answer_holds(
    answer: Any, after_s: float, failure_ttl_s: float, *, again: bool
) -> None:
    clock = FakeClock()
    assert await asked_again(clock, Asked(answer), after_s, failure_ttl_s=failure_ttl_s) == again


@pytest.mark.parametrize(("after_s", "again"), [(2.9, False), (3.0, True)])
async def test_no_longer_than_the_token_is_good(after_s: float, *, again: bool) -> None:
    clock = FakeClock()
    answer = Authenticated(JANE, until_s=clock.now().timestamp() + 3)
    assert await asked_again(clock, Asked(answer), after_s) == again


async def test_a_token_that_is_good_no_longer_is_not_kept() -> None:
    clock = FakeClock()
    answer = Authenticated(JANE, until_s=clock.now().timestamp())
    assert await asked_again(clock, Asked(answer), 0.0)


async def test_the_oldest_answers_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiphys.apiserver.authn.token_cache._MOST", 2)
    asked = Asked(Authenticated(JANE))
    cache = TokenCache(asked, FakeClock(), TokenCacheCounts(), ttl_s=10.0)
    for token in ("a", "b", "c", "c", "b", "a"):
        await cache.get(token, ())
    assert asked.times == 4


async def test_tokens_of_the_cluster_itself_are_looked_at_each_time(api: Any) -> None:
    """Who takes one back sees it refused at once; upstream's holds for ten seconds more."""
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await api.create(accounts, {"metadata": {"name": "s"}})
    made = await api.create(f"{accounts}/s/token", {"spec": {}})
    whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    for _ in range(3):
        assert (await api("POST", whoami, {}, user=made["status"]["token"])).status == 201
    assert (await api("DELETE", f"{accounts}/s")).status == 200
    assert (await api("POST", whoami, {}, user=made["status"]["token"])).status == 401
    assert CONFIGURED.encode() not in (await api("GET", "/metrics")).raw
