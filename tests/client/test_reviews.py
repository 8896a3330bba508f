"""What endpoints ask the API server about their callers, and for how long they remember it."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import Unauthorized
from tiphys.client import metrics
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.rest import Client
from tiphys.client.reviews import Caller, Lifetimes, NotReviewed, Reviews
from tiphys.wire.message import Request, Response

BOB = Caller("bob", ("dev",), "7", {"k": ("v",)})
LIST = {"verb": "list", "resource": "pods"}


class Server:
    """Knows one token and lets everybody list."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.broken = False

    async def __call__(self, request: Request) -> Response:
        body = orjson.loads(request.body)
        self.asked.append(body["spec"])
        if self.broken:
            return Response(500, {"content-type": "application/json"}, b"{}")
        spec = body["spec"]
        if body["kind"] == "TokenReview":
            user = {"username": "bob", "uid": "7", "groups": ["dev"], "extra": {"k": ["v"]}}
            status: dict[str, Any] = {"authenticated": True, "user": user} if spec["token"] == "good" else {}
        else:
            asked = spec.get("resourceAttributes") or spec["nonResourceAttributes"]
            status = {"allowed": asked["verb"] == "list"}
        return Response(201, {"content-type": "application/json"}, orjson.dumps({**body, "status": status}))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def reviews(server: Server, clock: FakeClock) -> Reviews:
    return Reviews(Client(InProcessTransport(server)), clock, Lifetimes(10.0, 20.0, 5.0))


async def test_a_token_is_asked_about_once(server: Server, reviews: Reviews, clock: FakeClock) -> None:
    assert [await reviews.whose("good") for _ in range(2)] == [BOB] * 2
    assert server.asked == [{"token": "good"}]
    clock.advance(10)
    await reviews.whose("good")
    assert len(server.asked) == 2


async def test_a_wrong_token_is_remembered_as_well(server: Server, reviews: Reviews) -> None:
    for _ in range(2):
        with pytest.raises(Unauthorized):
            await reviews.whose("bad")
    assert len(server.asked) == 1


async def test_what_a_caller_may(server: Server, reviews: Reviews) -> None:
    assert await reviews.may(BOB, LIST, resource=True)
    assert server.asked == [
        {"user": "bob", "uid": "7", "groups": ["dev"], "extra": {"k": ["v"]}, "resourceAttributes": LIST}
    ]
    assert not await reviews.may(Caller("eve"), {"verb": "get", "path": "/x"}, resource=False)
    assert server.asked[1] == {
        "user": "eve", "groups": [], "nonResourceAttributes": {"verb": "get", "path": "/x"},
    }  # fmt: skip


@pytest.mark.parametrize(("verb", "seconds"), [("list", 20), ("get", 5)])
async def test_each_answer_has_its_time(
    server: Server, reviews: Reviews, clock: FakeClock, verb: str, seconds: int
) -> None:
    asked = {**LIST, "verb": verb}
    for _ in range(2):
        await reviews.may(BOB, asked, resource=True)
    assert len(server.asked) == 1
    clock.advance(seconds)
    await reviews.may(BOB, asked, resource=True)
    assert len(server.asked) == 2


async def test_one_answer_is_not_anothers(server: Server, reviews: Reviews) -> None:
    for caller in (BOB, Caller("bob"), Caller("eve", ("dev",))):
        await reviews.may(caller, LIST, resource=True)
    await reviews.may(BOB, LIST, resource=False)
    assert len(server.asked) == 4


async def test_nobody_to_ask(server: Server, reviews: Reviews) -> None:
    server.broken = True
    with pytest.raises(Unauthorized):
        await reviews.whose("good")
    with pytest.raises(NotReviewed):
        await reviews.may(BOB, LIST, resource=True)
    server.broken = False
    assert await reviews.whose("good") == BOB
    assert await reviews.may(BOB, LIST, resource=True)


async def test_questions_are_counted_by_their_answers(
    server: Server, reviews: Reviews, clock: FakeClock
) -> None:
    codes = [(kind, code) for kind in ("authn", "authz") for code in ("201", "500")]

    def counted(what: str) -> list[float]:
        names = [(f"apiserver_delegated_{kind}_request_{what}", {"code": code}) for kind, code in codes]
        return [metrics.REGISTRY.sample_value(*name) or 0.0 for name in names]

    before = [counted("total"), counted("duration_seconds_count")]
    for broken in (False, True):
        server.broken = broken
        with contextlib.suppress(Unauthorized):
            await reviews.whose("good" if broken else "other")
        with contextlib.suppress(NotReviewed):
            await reviews.may(BOB, {**LIST, "name": str(broken)}, resource=True)
    now = [counted("total"), counted("duration_seconds_count")]
    for new, old in zip(now, before, strict=True):
        assert [one - was for one, was in zip(new, old, strict=True)] == [1, 1, 1, 1]
