"""Deadlines of requests, and the end of the last one."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import BadRequest
from tiphys.apiserver.filters.flights import Flights, is_long_running, wanted_timeout_s
from tiphys.apiserver.filters.requestinfo import parse
from tiphys.wire.arrival import HELD_S
from tiphys.wire.message import Request

PODS = "/api/v1/namespaces/default/pods"


@pytest.mark.parametrize(
    ("query", "seconds"),
    [("", None), ("timeout=", None), ("limit=5&timeout=10s", 10.0), ("timeout=1m30s", 90.0),
     ("timeout=1.5h", 5400.0), ("timeout=200ms", 0.2), ("timeout=0", 0.0), ("timeout=-1s", -1.0),
     ("timeout=%2B2s", 2.0), ("timeout=-0", 0.0),
     ("timeoutSeconds=5", None)],
)  # fmt: skip
def test_timeouts_that_clients_ask_for(query: str, seconds: float | None) -> None:
    assert wanted_timeout_s(query) == seconds


@pytest.mark.parametrize(
    ("text", "why"),
    [("10", "missing unit in duration"), ("s", "invalid duration"), ("ten", "invalid duration"),
     ("1s2", "missing unit in duration"), ("1x", 'unknown unit "x" in duration'), ("-", "invalid duration"),
     ("1s-", 'unknown unit "s-" in duration'), ("--1s", "invalid duration"),
     ("3000000h", "invalid duration")],
)  # fmt: skip
def test_no_timeout_at_all(text: str, why: str) -> None:
    with pytest.raises(BadRequest) as caught:
        wanted_timeout_s(f"timeout={text}")
    assert caught.value.message == f'invalid timeout specified in the request URL - time: {why} "{text}"'


@pytest.mark.parametrize("text", ["1ns" * 334, "%31s" * 100_000])
def test_no_timeout_is_added_up_from_more_than_a_few_parts(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        wanted_timeout_s(f"timeout={text}")
    assert caught.value.message.endswith('..."')
    assert len(caught.value.message) < 1200


def test_the_first_timeout_counts() -> None:
    assert wanted_timeout_s("a=timeout=1s&timeout=2s&timeout=3s") == 2.0
    assert wanted_timeout_s("timeout=&timeout=3s") is None


@pytest.mark.parametrize(
    ("path", "query", "long"),
    [(PODS, "", False), (PODS, "watch=1", True), (f"{PODS}/p/exec", "", True),
     (f"{PODS}/p/log", "", True), (f"{PODS}/p/status", "", False), ("/livez", "", False)],
)  # fmt: skip
def test_what_may_last(path: str, query: str, long: bool) -> None:
    assert is_long_running(parse("GET", path, query)) is long


async def test_a_request_past_its_deadline_is_answered_with_504(api: Any) -> None:
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    api.server.backend.admission.admit = never
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    flights = api.server.traffic.traffic.flights
    asking = asyncio.ensure_future(api("POST", f"{PODS}?timeout=5s", pod))
    await asyncio.sleep(0)
    flights.sweep()
    await asyncio.sleep(0)
    assert not asking.done()
    assert len(flights) == 1
    api.clock.advance(6)
    flights.sweep()
    answer = await asking
    assert (answer.status, answer.json["reason"]) == (504, "Timeout")
    assert answer.message == (
        "Timeout: request did not complete within requested timeout - context deadline exceeded"
    )
    assert answer.json["kind"] == "Status"
    assert len(flights) == 0
    assert not asking.cancelled()


async def test_a_read_past_its_deadline_is_cut_off_by_a_filter(api: Any) -> None:
    """Which knows no kinds and no media types."""

    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    api.server.backend.store.list = never
    flights = api.server.traffic.traffic.flights
    asking = asyncio.ensure_future(
        api("GET", f"{PODS}?timeout=5s", accept="application/vnd.kubernetes.protobuf")
    )
    await asyncio.sleep(0)
    api.clock.advance(6)
    flights.sweep()
    answer = await asking
    assert (answer.status, answer.headers["content-type"]) == (504, "text/plain; charset=utf-8")
    assert answer.headers["cache-control"] == "no-cache, private"
    assert "x-kubernetes-pf-flowschema-uid" not in answer.headers
    assert orjson.loads(answer.raw) == {
        "metadata": {}, "status": "Failure", "reason": "Timeout", "details": {}, "code": 504,
        "message": "Timeout: request did not complete within the allotted timeout",
    }  # fmt: skip
    metrics = (await api("GET", "/metrics")).raw.decode()
    (ended,) = (
        line for line in metrics.splitlines() if line.startswith("apiserver_request_terminations_total{")
    )
    assert 'code="504"' in ended
    assert 'resource="pods"' in ended
    assert ended.endswith("} 1")


CUT = "Timeout: request did not complete within the allotted timeout"
GIVEN_UP = "Timeout: request did not complete within requested timeout - context deadline exceeded"


@pytest.mark.parametrize(
    ("query", "after_s", "comes", "told"),
    [("", 57, True, None), ("", 59, False, CUT), ("?timeout=40s", 37, False, None),
     ("?timeout=40s", 39, False, CUT), ("?timeout=5s", 4, False, CUT)],
)  # fmt: skip
async def test_a_body_has_until_the_request_timeout_to_come(
    api: Any, query: str, after_s: int, comes: bool, told: str | None
) -> None:
    """A write gives up earlier than a read, but not before it knows what to write."""
    body = asyncio.get_running_loop().create_future()

    async def receive() -> bytes:
        return bytes(await body)

    sent = {"content-type": "application/json", "authorization": "Bearer admin"}
    request = Request("POST", "/api/v1/namespaces/default/configmaps", query[1:], sent, receive=receive)
    request.scope[HELD_S] = 2.0
    flights = api.server.traffic.traffic.flights
    asking = asyncio.ensure_future(api.server.handler(request))
    await asyncio.sleep(0)
    api.clock.advance(after_s)
    flights.sweep()
    await asyncio.sleep(0)
    if comes:
        body.set_result(b'{"metadata": {"name": "late"}}')
        told = GIVEN_UP
    if told is None:
        assert not asking.done()
        asking.cancel()
        return
    answer = await asking
    assert (answer.status, orjson.loads(answer.body)["message"]) == (504, told)


async def test_the_most_at_once_are_shown_for_a_second() -> None:
    flights = Flights(FakeClock(), 60.0)

    def shown() -> dict[str, float]:
        (family,) = flights.collect()
        return {sample.labels["request_kind"]: sample.value for sample in family.samples}

    begun = [flights.begin(parse(method, PODS), "", 0.0) for method in ("GET", "GET", "GET", "POST")]
    for flight in begun[1:]:
        assert flight is not None
        flights.end(flight)
    assert shown() == {"readOnly": 3, "mutating": 1}
    flights.second()
    assert shown() == {"readOnly": 3, "mutating": 1}
    flights.second()
    assert shown() == {"readOnly": 1, "mutating": 0}


@pytest.mark.parametrize(
    ("method", "path", "query", "seconds"),
    [("GET", PODS, "", 60), ("GET", PODS, "timeout=40s", 40), ("GET", PODS, "timeout=0s", 60),
     ("GET", PODS, "timeout=-5s", 60), ("GET", PODS, "timeout=5m", 60), ("POST", PODS, "", 34),
     ("POST", PODS, "timeout=40s", 34), ("DELETE", PODS, "", 34), ("PATCH", f"{PODS}/p", "timeout=3s", 3),
     ("PUT", f"{PODS}/p/status", "", 34), ("POST", "/nowhere", "", 60)],
)  # fmt: skip
def test_how_long_a_request_may_take(method: str, path: str, query: str, seconds: float) -> None:
    async def begun() -> Any:
        return Flights(FakeClock(), 60.0).begin(parse(method, path), query, 0.0)

    assert asyncio.run(begun()).deadline == seconds


async def test_a_cancellation_that_is_no_deadline_goes_through(api: Any) -> None:
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    api.server.backend.admission.admit = never
    asking = asyncio.ensure_future(api("POST", f"{PODS}", {"metadata": {"name": "p"}}))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(api.server.traffic.traffic.flights) == 0


async def test_landed_waits_for_the_last() -> None:
    flights = Flights(FakeClock(), 60.0)
    await flights.landed(1.0)
    flight = flights.begin(parse("GET", PODS), "", 0.0)
    assert flight is not None
    waiting = asyncio.ensure_future(flights.landed(5.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    flights.end(flight)
    await waiting


async def test_landed_does_not_wait_for_ever() -> None:
    flights = Flights(FakeClock(), 60.0)
    flights.begin(parse("GET", PODS), "", 0.0)
    await flights.landed(0.001)
    assert len(flights) == 1


async def test_inflight_gauges() -> None:
    flights = Flights(FakeClock(), 60.0)
    for method in ("GET", "GET", "DELETE"):
        flights.begin(parse(method, f"{PODS}/p"), "", 0.0)
    (family,) = flights.collect()
    assert {tuple(one.labels.values()): one.value for one in family.samples} == {
        ("mutating",): 1, ("readOnly",): 2
    }  # fmt: skip
