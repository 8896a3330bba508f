"""The steps of requests that took long: which are told of, and in what words."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tiphys.apimachinery import verbosity
from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.tracing import CLIENT, SERVER, Span, Tracer, event, present, step
from tiphys.apiserver.observe.step_log import StepLog, Steps, text_of

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 10, 25, 0, 15, 15, 525000, UTC))


class Server:
    """Makes spans as a server does, and keeps what is told of them."""

    def __init__(self, clock: FakeClock) -> None:
        self.told: list[str] = []
        self.log = StepLog(self.told.append)
        self.clock = clock
        self.ended: list[Span] = []
        self.tracer = Tracer(0, clock, None, self._end)

    def _end(self, span: Span) -> None:
        self.ended.append(span)
        self.log.take(span)

    def request(self, before_s: float, storing_s: float, after_s: float) -> None:
        whole = self.tracer.begin("POST /things", kind=SERVER)
        with present(whole):
            with step("authorization"):
                self.clock.advance(1)
            with step("Create", {"url": "/things", "verb": "POST"}):
                self.clock.advance(before_s)
                event("limitedReadBody succeeded", {"len": 10})
                with step("Create etcd3", {"key": "/things/t"}):
                    event("About to Encode")
                    self.clock.advance(storing_s)
                    event("Txn call succeeded")
                    with step("etcdserverpb.KV/Txn", kind=CLIENT):
                        pass
                self.clock.advance(after_s)
                event("Writing http response done")
        self.tracer.end(whole)


@pytest.mark.parametrize(
    ("took", "count"), [((0.0, 0.1, 0.1), 0), ((0.6, 0.0, 0.0), 1), ((0.0, 0.6, 0.0), 1)]
)
def test_who_is_told_of(clock: FakeClock, took: tuple[float, float, float], count: int) -> None:
    server = Server(clock)
    server.request(*took)
    assert len(server.told) == count
    assert not server.log._ended


def test_what_is_told(clock: FakeClock) -> None:
    server = Server(clock)
    server.request(0.3, 0.6, 0.001)
    number = server.told[0].partition("]")[0].removeprefix("Trace[")
    head = f"Trace[{number}]:"
    assert server.told[0].splitlines() == [
        f'{head} "Create" url:/things,verb:POST (25-Oct-2026 00:15:16.525) (total time: 901ms):',
        f'{head} ---"limitedReadBody succeeded" len:10 300ms (00:15:16.825)',
        f'{head} ["Create etcd3" key:/things/t 600ms (00:15:16.825)',
        f'{head}  ---"Txn call succeeded" 600ms (00:15:17.425)]',
        f"{head} [901ms] [901ms] END",
    ]


def test_more_is_told_where_more_is_asked_for(clock: FakeClock) -> None:
    verbosity.ask(4)
    server = Server(clock)
    server.request(0.6, 0.0, 0.001)
    told = [line.partition(": ")[2] for line in server.told[0].splitlines()]
    assert told[1:-1] == [
        '---"limitedReadBody succeeded" len:10 600ms (00:15:17.125)',
        '["Create etcd3" key:/things/t 0ms (00:15:17.125)',
        ' ---"About to Encode" 0ms (00:15:17.125)',
        ' ---"Txn call succeeded" 0ms (00:15:17.125)]',
        '---"Writing http response done" 1ms (00:15:17.126)',
    ]


def test_a_long_step_of_what_is_not_itself_long(clock: FakeClock) -> None:
    """Answers may take five seconds to write, the store half a one."""
    server = Server(clock)
    whole = server.tracer.begin("GET", kind=SERVER)
    with present(whole), step("SerializeObject"):
        clock.advance(2)
        with step("GuaranteedUpdate etcd3"):
            clock.advance(1)
    server.tracer.end(whole)
    (told,) = server.told
    assert '"GuaranteedUpdate etcd3" (25-Oct-2026 00:15:17.525) (total time: 1000ms):' in told


def test_requests_that_never_end_are_forgotten(clock: FakeClock) -> None:
    server = Server(clock)
    for _ in range(5000):
        with present(server.tracer.begin("GET", kind=SERVER)), step("Get"):
            pass
    assert len(server.log._ended) == 4096


def test_text_without_anything(clock: FakeClock) -> None:
    server = Server(clock)
    with server.tracer.span("Get") as span:
        clock.advance(timedelta(seconds=61.5).total_seconds())
    assert text_of(Steps(span), 7) == (
        'Trace[7]: "Get" (25-Oct-2026 00:15:15.525) (total time: 61500ms):\nTrace[7]: [1m1.5s] [1m1.5s] END\n'
    )


@pytest.mark.parametrize(
    ("level", "modules", "tells"), [(1, (), False), (2, (), True), (0, [("tr*", 2)], True)]
)
async def test_a_server_tells(
    serving: Any, caplog: pytest.LogCaptureFixture, level: int, modules: Any, tells: bool
) -> None:
    verbosity.ask(level, modules)
    caplog.set_level(logging.INFO, "tiphys.apiserver.observe.step_log")
    clock = FakeClock()
    async with serving(clock=clock) as api:
        assert (api.server.tracing is not None) is tells
        quick = api.store.commit

        async def slow(*args: Any) -> int:
            clock.advance(0.75)
            return int(await quick(*args))

        api.store.commit = slow
        await api.create(MAPS, {"metadata": {"name": "m"}})
        await api.get(f"{MAPS}/m")
        api.store.commit = quick
    told = [text for _, _, text in caplog.record_tuples if text.startswith("Trace[")]
    assert len(told) == tells
    if tells:
        assert told[0].partition(": ")[2].startswith('"Create" accept:application/json,audit-id:')
        assert ",client:,api-group:,api-version:v1,name:,subresource:,namespace:default," in told[0]
        assert '["Create etcd3" audit-id:' in told[0]
        assert '---"Txn call succeeded" 750ms' in told[0]
