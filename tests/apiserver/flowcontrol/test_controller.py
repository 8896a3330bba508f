"""The shell: seats taken and given back, queues, refusals, live configuration."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apis.flowcontrol.mandatory import MANDATORY
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.filters.requestinfo import RequestInfo, parse
from tiphys.apiserver.flowcontrol import dump, objects
from tiphys.apiserver.flowcontrol.controller import FlowControl, Rejected
from tiphys.apiserver.flowcontrol.inflight import MaxInFlight
from tiphys.apiserver.flowcontrol.work import ONE, Width
from tiphys.wire.message import Request

ALICE = User("alice", groups=("system:authenticated",))
ADMIN = User("admin", groups=("system:masters",))
GET = parse("GET", "/api/v1/namespaces/default/pods/p")
POST = parse("POST", "/api/v1/namespaces/default/pods")


def level(name: str, queues: int = 0, length: int = 0, shares: int = 1) -> dict[str, Any]:
    response: dict[str, Any] = {"type": "Reject"}
    if queues:
        response = {
            "type": "Queue", "queuing": {"queues": queues, "handSize": 1, "queueLengthLimit": length}
        }  # fmt: skip
    limited = {"nominalConcurrencyShares": shares, "limitResponse": response}
    meta = {"name": name, "uid": f"uid-{name}"}
    return {"metadata": meta, "spec": {"type": "Limited", "limited": limited}}


def control(seats: int = 2, *, queues: int = 0, length: int = 0, wait_s: float = 15.0) -> FlowControl:
    """One level for everybody, with all the seats."""
    flow = FlowControl(FakeClock(), seats, wait_s * 4, lambda _info, _query, _most: ONE)
    for one in objects.priority_levels():
        if one["metadata"]["name"] != "exempt":
            flow.set_level(one["metadata"]["name"], None)
    idle = level("catch-all", shares=0)
    flow.set_level("catch-all", idle)
    flow.set_level("global-default", level("global-default", queues, length))
    return flow


async def test_seats_run_out_and_come_back() -> None:
    flow = control(2)
    tickets = [await flow.enter(GET, ALICE, "") for _ in range(2)]
    with pytest.raises(Rejected) as refused:
        await flow.enter(GET, ALICE, "")
    assert refused.value.why == "concurrency-limit"
    tickets[0].leave()
    tickets.append(await flow.enter(GET, ALICE, ""))
    for ticket in tickets[1:]:
        ticket.leave()
    assert flow.levels["global-default"].executing == 0


async def test_a_refusal_reads_as_upstreams() -> None:
    flow = control(0)
    await flow.enter(GET, ALICE, "")  # one is let in even where there is no seat
    with pytest.raises(Rejected) as refused:
        await flow.enter(GET, ALICE, "")
    answer = refused.value.response()
    assert (answer.status, answer.body) == (429, b"Too many requests, please try again later.\n")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["x-kubernetes-pf-prioritylevel-uid"] == "uid-global-default"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_refusals_that_go_on_ask_for_more_patience() -> None:
    flow = control(0)
    await flow.enter(GET, ALICE, "")
    asked = []
    for _second in range(4):
        for _ in range(20):
            with pytest.raises(Rejected) as refused:
                await flow.enter(GET, ALICE, "")
        asked.append(refused.value.response().headers["retry-after"])
        flow.clock.advance(1)  # type: ignore[attr-defined]
    assert asked == ["1", "2", "2", "4"]


async def test_who_ran_before_anybody_waited_is_charged_too() -> None:
    """A flow that took all seats at once does not also come first in the queues."""
    flow = control(4, queues=64, length=50)
    crowd, alone = User("crowd"), User("alone")
    flow.set_schema("one", {
        "metadata": {"name": "one", "uid": "u"},
        "spec": {
            "matchingPrecedence": 1, "distinguisherMethod": {"type": "ByUser"},
            "priorityLevelConfiguration": {"name": "global-default"},
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "*"}}],
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"],
                                   "clusterScope": True, "namespaces": ["*"]}],
            }],
        },
    })  # fmt: skip
    running = [await flow.enter(GET, crowd, "") for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        flow.clock.advance(1)  # type: ignore[attr-defined]
        first = group.create_task(flow.enter(GET, crowd, ""))
        await asyncio.sleep(0)
        second = group.create_task(flow.enter(GET, alone, ""))
        await asyncio.sleep(0)
        flow.clock.advance(1)  # type: ignore[attr-defined]
        running.pop().leave()
        await asyncio.sleep(0)
        assert (first.done(), second.done()) == (False, True)
        running.pop().leave()
    for ticket in [*running, first.result(), second.result()]:
        ticket.leave()
    level_now = flow.levels["global-default"]
    assert level_now.queues is not None
    assert (level_now.queues.in_use, level_now.executing) == (0, 0)


@pytest.mark.parametrize(
    ("after", "seats"),
    [
        (level("global-default", queues=1, length=1), 1),
        (level("global-default", queues=8, length=9), 1),
        (level("global-default"), 1),
        ({"metadata": {"name": "global-default"}, "spec": {"type": "Exempt"}}, None),
        (None, 1),
    ],
    ids=["smaller", "larger", "refuses", "exempt", "deleted"],
)
async def test_who_waits_survives_a_change(after: dict[str, Any] | None, seats: int | None) -> None:
    flow = control(1, queues=4, length=5)
    ticket = await flow.enter(GET, ALICE, "")
    order: list[int] = []

    async def ask(number: int) -> None:
        mine = await flow.enter(GET, ALICE, "")
        order.append(number)
        mine.leave()

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(ask(number))
            await asyncio.sleep(0)
        old = flow.levels["global-default"].queues
        assert old is not None
        assert old.waiting == 3
        flow.set_level("global-default", after)
        flow.configure()
        if seats is not None:
            assert old.waiting == 3
            ticket.leave()
    assert order == [0, 1, 2]
    if seats is None:
        ticket.leave()
    assert (old.waiting, old.in_use) == (0, 0)


async def test_exempt_requests_have_seats_all_the_same() -> None:
    """What they take is not there for others, until the watchers that a write woke have been told."""
    flow = control(2)
    widths = {"list": Width(5), "create": Width(1, 3, 0.001)}
    flow._estimate = lambda info, _query, _most: widths.get(info.verb, ONE)  # type: ignore[assignment]
    listing = await flow.enter(parse("GET", "/api/v1/pods"), ADMIN, "")
    writing = await flow.enter(POST, ADMIN, "")
    level = flow.levels["exempt"]
    counts = flow.counts["exempt", "exempt"]
    assert (level.seats, counts.seats, level.executing) == (8, 8, 2)
    rows = dump.handle(flow, Request("GET", f"{dump.ROOT}dump_requests", "", {}, b""))
    assert rows is not None
    assert isinstance(rows.body, bytes)
    assert sorted(line.split(",")[6].strip() for line in rows.body.decode().splitlines()[1:]) == ["1", "5"]
    listing.leave()
    writing.leave()
    assert (level.seats, counts.seats, level.executing, counts.executing) == (3, 3, 0, 0)
    await asyncio.sleep(0.01)
    assert (level.seats, level.held.end_period(1.0).high, counts.seats) == (0, 8, 0)


@pytest.mark.parametrize(("timeout_s", "query", "wait_s"), [
    (60, "", 15), (60, "timeout=20s", 5), (60, "timeout=90s", 15), (480, "", 60), (480, "timeout=8m", 60),
])  # fmt: skip
def test_how_long_a_request_may_wait(timeout_s: float, query: str, wait_s: float) -> None:
    flow = control(2, wait_s=timeout_s / 4)
    assert flow._patience_s(GET, query) == wait_s


async def test_exempt_requests_know_no_limit() -> None:
    flow = control(0)
    tickets = [await flow.enter(GET, ADMIN, "") for _ in range(50)]
    assert flow.levels["exempt"].executing == 50
    for ticket in tickets:
        ticket.leave()
    assert flow.levels["exempt"].executing == 0


async def test_who_waits_goes_on_when_a_seat_is_free() -> None:
    flow = control(1, queues=4, length=5)
    first = await flow.enter(GET, ALICE, "")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(flow.enter(GET, ALICE, ""))
        await asyncio.sleep(0)
        queues = flow.levels["global-default"].queues
        assert queues is not None
        assert queues.waiting == 1
        assert not waiting.done()
        first.leave()
    waiting.result().leave()
    assert (queues.waiting, queues.in_use) == (0, 0)
    counts = flow.counts["global-default", "global-default"]
    assert counts.dispatched == 2
    assert sum(counts.waits.buckets) == 1


async def test_a_full_queue_refuses() -> None:
    flow = control(1, queues=1, length=1)
    await flow.enter(GET, ALICE, "")
    waiting = asyncio.ensure_future(flow.enter(GET, ALICE, ""))
    await asyncio.sleep(0)
    with pytest.raises(Rejected) as refused:
        await flow.enter(GET, ALICE, "")
    assert refused.value.why == "queue-full"
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    queues = flow.levels["global-default"].queues
    assert queues is not None
    assert queues.waiting == 0


async def test_nobody_waits_for_ever() -> None:
    flow = control(1, queues=1, length=1, wait_s=0.001)
    await flow.enter(GET, ALICE, "")
    with pytest.raises(Rejected) as refused:
        await flow.enter(GET, ALICE, "")
    assert refused.value.why == "time-out"
    queues = flow.levels["global-default"].queues
    assert queues is not None
    assert (queues.waiting, queues.in_use) == (0, 1)


async def test_who_was_held_up_before_waits_the_less() -> None:
    """A request may wait for a part of its time, and that began when it came."""
    flow = control(1, queues=1, length=1, wait_s=3600.0)
    flow.clock.advance(7200.0)  # type: ignore[attr-defined]
    running = await flow.enter(GET, ALICE, "", None, 0.0)
    for held_up_s in (60.0, 3600.0):
        with pytest.raises(Rejected) as refused:
            await flow.enter(GET, ALICE, "timeout=1m", None, flow.clock.monotonic() - held_up_s)
        assert refused.value.why == "time-out"
    running.leave()


async def test_a_change_of_the_objects_holds_for_the_next_request() -> None:
    flow = control(1)
    ticket = await flow.enter(GET, ALICE, "")
    flow.set_level("global-default", level("global-default", queues=2, length=3))
    after = asyncio.ensure_future(flow.enter(GET, ALICE, ""))
    await asyncio.sleep(0)
    assert not after.done()  # the seat is taken still, but now there is a queue
    ticket.leave()
    (await after).leave()
    queues = flow.levels["global-default"].queues
    assert queues is not None
    assert queues.in_use == 0
    assert len(queues.queues) == 2


async def test_a_schema_for_a_user_who_is_known_already_holds_for_the_next_request() -> None:
    flow = control(1)
    assert flow.flow_of(ALICE, GET).schema.name == "global-default"
    rule = {
        "subjects": [{"kind": "User", "user": {"name": ALICE.name}}],
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"],
                           "clusterScope": True}],
    }  # fmt: skip
    spec = {
        "priorityLevelConfiguration": {"name": "global-default"},
        "matchingPrecedence": 1,
        "rules": [rule],
    }
    flow.set_schema("hers", {"metadata": {"name": "hers"}, "spec": spec})
    assert flow.flow_of(ALICE, GET).schema.name == "hers"
    flow.set_schema("hers", None)
    assert flow.flow_of(ALICE, GET).schema.name == "global-default"


async def test_a_schema_without_its_level_is_passed_over() -> None:
    flow = control(1)
    flow.set_level("global-default", None)
    assert not flow.has_level("global-default")
    flow.set_level("catch-all", level("catch-all"))
    ticket = await flow.enter(GET, ALICE, "")
    assert ticket.headers["x-kubernetes-pf-prioritylevel-uid"] == "uid-catch-all"


async def test_mandatory_objects_hold_even_when_deleted() -> None:
    flow = control(1)
    for name in MANDATORY:
        flow.set_level(name, None)
        flow.set_schema(name, None)
    await flow.enter(GET, ADMIN, "")
    await flow.enter(GET, User("stranger"), "")
    assert ("catch-all", "catch-all") in flow.counts


async def test_idle_seats_are_lent_to_a_busy_level() -> None:
    flow = FlowControl(FakeClock(), 600, 60.0, lambda _info, _query, _most: ONE)
    flow.borrow()
    queues = flow.levels["global-default"].queues
    assert queues is not None
    assert queues.limit == 56, "what nobody asks for is shared out even at rest"
    tickets = [await flow.enter(GET, ALICE, "") for _ in range(56)]
    asked = [asyncio.ensure_future(flow.enter(GET, ALICE, "")) for _ in range(40)]
    await asyncio.sleep(0)
    assert queues.waiting == 40
    flow.clock.advance(10)  # type: ignore[attr-defined]
    flow.borrow()
    assert queues.limit >= 96
    assert queues.waiting == 0
    for ticket in [*tickets, *await asyncio.gather(*asked)]:
        ticket.leave()
    assert queues.in_use == 0


async def test_dumps() -> None:
    flow = control(1, queues=2, length=5)
    await flow.enter(GET, ALICE, "")
    waiting = asyncio.ensure_future(flow.enter(POST, ALICE, ""))
    await asyncio.sleep(0)

    def lines(what: str, query: str = "") -> list[list[str]]:
        answer = dump.handle(flow, Request("GET", f"{dump.ROOT}{what}", query))
        assert answer is not None
        assert isinstance(answer.body, bytes)
        return [[cell.strip() for cell in line.split(",")] for line in answer.body.decode().splitlines()]

    levels = {row[0]: row for row in lines("dump_priority_levels")}
    assert list(levels)[1:] == sorted(flow.levels)
    assert levels["PriorityLevelName"][1:6] == [
        "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests"
    ]  # fmt: skip
    assert levels["global-default"][1:6] == ["1", "false", "false", "1", "1"]
    assert levels["exempt"][1:6] == ["0", "true", "false", "0", "0"]
    rows = [row for row in lines("dump_queues") if row[0] == "global-default"]
    assert sorted(row[2] for row in rows) == ["0", "1"]
    assert sorted(row[8] for row in rows) == ["0.00000000ss", "0.00300000ss"]
    header, row, running = lines("dump_requests", "includeRequestDetails=1")
    found = dict(zip(header, row, strict=True))
    assert found["StartTime"] == "0001-01-01T00:00:00Z"
    runs = dict(zip(header, running, strict=True))
    assert (runs["RequestIndexInQueue"], runs["Verb"], runs["StartTime"]) == (
        "-1", "get", "2026-01-01T00:00:00Z"
    )  # fmt: skip
    exempt = await flow.enter(GET, ADMIN, "")
    row = next(row for row in lines("dump_requests") if row[0] == "exempt")
    assert row[2:5] == ["-1", "-1", ""]
    exempt.leave()
    assert found["FlowDistingsher"] == "alice"
    assert found["Verb"] == "create"
    assert found["APIPath"] == "/api/v1/namespaces/default/pods"
    assert dump.handle(flow, Request("GET", f"{dump.ROOT}nothing")) is None
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_plain_limits_of_reads_and_writes() -> None:
    gate = MaxInFlight(reading=1, mutating=0)
    ticket = await gate.enter(GET, ALICE, "")
    for _ in range(3):
        (await gate.enter(POST, ALICE, "")).leave()
    with pytest.raises(Rejected):
        await gate.enter(GET, ALICE, "")
    (await gate.enter(GET, ADMIN, "")).leave()
    (await gate.enter(parse("GET", "/api/v1/pods", "watch=1"), ALICE, "")).leave()
    ticket.leave()
    (await gate.enter(GET, ALICE, "")).leave()
    assert ticket.headers == {}


async def test_a_write_holds_its_seats_until_its_watchers_are_told() -> None:
    flow = control(5, queues=1, length=5)
    flow._estimate = lambda info, _query, _most: Width(1, 4, 0.001) if info.verb == "create" else ONE
    write = await flow.enter(POST, ALICE, "")
    read = await flow.enter(GET, ALICE, "")
    level_now = flow.levels["global-default"]
    assert level_now.queues is not None
    counts = flow.counts[next(key for key in flow.counts if key[1] == "global-default")]
    assert (level_now.queues.in_use, level_now.executing) == (5, 2)
    assert (counts.seats, counts.executing) == (5, 2)
    read.leave()
    write.leave()
    assert (level_now.queues.in_use, level_now.executing, counts.seats) == (4, 0, 4)
    level_now.queues.limit = 4
    flow.clock.advance(1)  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        (await flow.enter(GET, ALICE, "")).leave()  # waits for the seats that are held
    assert (counts.seats, counts.executing, level_now.tickets) == (0, 0, set())


@pytest.mark.parametrize(("queues", "most"), [(0, 100), (4, 15)])
async def test_how_much_one_request_may_take_follows_the_level(queues: int, most: int) -> None:
    flow = control(100, queues=queues, length=5)
    asked = []

    def estimate(_info: Any, _query: str, most: int) -> Width:
        asked.append(most)
        return ONE

    flow._estimate = estimate
    (await flow.enter(GET, ALICE, "")).leave()
    assert asked == [flow.levels["global-default"].widest] == [most]


@pytest.mark.parametrize(
    ("info", "query", "patience_s"),
    [
        (GET, "", 15.0),
        (GET, "timeout=5s", 1.25),
        (GET, "timeout=10m", 15.0),
        (GET, "timeout=0", 15.0),
        (parse("GET", "/api/v1/pods", "watch=1&timeout=5s"), "watch=1&timeout=5s", 15.0),
    ],
)
def test_how_long_a_request_may_wait_follows_its_own_deadline(
    info: RequestInfo, query: str, patience_s: float
) -> None:
    assert control(wait_s=15.0)._patience_s(info, query) == patience_s


@pytest.mark.parametrize(("queues", "name"), [(0, ""), (1, ""), (2, "alice")])
def test_flows_have_names_where_they_are_dealt_queues(queues: int, name: str) -> None:
    flow = control(queues=queues, length=5)
    assert flow.flow_of(ALICE, GET).name == name


async def test_a_deleted_level_goes_when_its_last_request_has_left() -> None:
    flow = control(1, queues=1, length=5)
    flow.set_level("short", level("short", shares=1))
    flow.set_schema("short", {"metadata": {"name": "short"}, "spec": {
        "priorityLevelConfiguration": {"name": "short"}, "matchingPrecedence": 1,
        "rules": [{"subjects": [{"kind": "User", "user": {"name": "alice"}}],
                   "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"],
                                      "namespaces": ["*"]}]}],
    }})  # fmt: skip
    ticket = await flow.enter(GET, ALICE, "")
    assert flow.levels["short"].executing == 1
    flow.set_level("short", None)
    other = await flow.enter(GET, ALICE, "")
    assert flow.levels["short"].quiescing
    assert flow.levels["short"].bounds.nominal == 1, "it has its part until then"
    assert flow.levels["global-default"].executing == 1, "new ones go elsewhere"
    answer = dump.handle(flow, Request("GET", f"{dump.ROOT}dump_priority_levels"))
    assert answer is not None
    assert isinstance(answer.body, bytes)
    assert any(
        line.split()[:4] == ["short,", "0,", "false,", "true,"] for line in answer.body.decode().splitlines()
    )
    ticket.leave()
    flow.borrow()
    assert "short" not in flow.levels
    other.leave()


async def test_who_gives_up_waiting_is_counted() -> None:
    flow = control(1, queues=1, length=5)
    await flow.enter(GET, ALICE, "")
    waiting = asyncio.ensure_future(flow.enter(GET, ALICE, ""))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    counts = flow.counts["global-default", "global-default"]
    assert counts.rejected == {"cancelled": 1}
    assert counts.executing == 1
