"""Flow control over a whole server: what is asked of the cache, and what is counted."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from tiphys.apiserver.filters.requestinfo import parse

PODS = "/api/v1/namespaces/default/pods"
SECRETS = "/api/v1/namespaces/default/secrets"


def width(api: Any, method: str, path: str, query: str = "") -> Any:
    flow = api.server.traffic.flow
    return flow._estimate(parse(method, path, query), query, 1000)


async def test_lists_are_as_wide_as_what_they_hold(api: Any) -> None:
    await api.get(SECRETS)
    assert width(api, "GET", SECRETS).seats == 1
    for number in range(8):
        await api.create(SECRETS, {"metadata": {"name": f"s{number}"}, "data": {"text": "eHh4" * 15_000}})
    assert width(api, "GET", SECRETS).seats == 5
    assert width(api, "GET", SECRETS, "limit=2").seats == 2
    assert width(api, "GET", "/api/v1/namespaces/other/secrets").seats == 1
    assert width(api, "GET", "/apis/none.io/v1/things").seats == 1


async def test_writes_are_as_wide_as_their_echo(api: Any, make_pod: Any) -> None:
    assert width(api, "POST", PODS).most == 1

    async def watch() -> None:
        answer = await api.send("GET", f"{PODS}?watch=true")
        async for _ in answer.stream:
            pass

    watching = [asyncio.create_task(watch()) for _ in range(25)]
    try:
        await api.settle()
        found = width(api, "POST", PODS)
        assert (found.seats, found.final, found.extra_s) == (1, 3, 0.005)
        assert width(api, "POST", SECRETS).most == 1
        await api.create(PODS, make_pod("p"))
    finally:
        for task in watching:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_what_goes_before_is_time_of_a_request(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    flow, authenticator = api.server.traffic.flow, api.server.backend.authenticator
    authenticate, enter, held_up_s = authenticator.authenticate, flow.enter, []

    async def slowly(request: Any) -> Any:
        api.clock.advance(7.0)
        return await authenticate(request)

    async def noting(info: Any, user: Any, query: str, known: Any, arrived: float) -> Any:
        held_up_s.append(flow.clock.monotonic() - arrived)
        return await enter(info, user, query, known, arrived)

    monkeypatch.setattr(authenticator, "authenticate", slowly)
    monkeypatch.setattr(flow, "enter", noting)
    for _ in range(2):
        await api.get("/api/v1/nodes")
    assert held_up_s == [7.0, 7.0]


async def test_who_waits_is_counted_by_what_they_want(api: Any) -> None:
    name = "apiserver_current_inqueue_requests"
    flow = api.server.traffic.flow
    flow.reading.waiting.change(0.0, 2)
    flow.mutating.waiting.change(0.0, 1)
    lines = (await api("GET", "/metrics")).raw.decode().splitlines()
    assert f'{name}{{request_kind="readOnly"}} 2' in lines
    assert f'{name}{{request_kind="mutating"}} 1' in lines


async def test_plain_limits_let_nobody_wait(serving: Any) -> None:
    async with serving(priority_and_fairness=False) as api:
        raw = (await api("GET", "/metrics")).raw.decode()
        assert 'apiserver_current_inqueue_requests{request_kind="readOnly"} 0' in raw


FAMILIES = (
    "current_executing_requests", "current_executing_seats", "current_inqueue_requests",
    "dispatched_requests_total",
)  # fmt: skip


async def test_what_runs_is_counted_by_schema_and_level(api: Any) -> None:
    await api.get("/api", user="alice")
    raw = (await api("GET", "/metrics")).raw.decode()
    lines = raw.splitlines()
    labels = '{flow_schema="global-default",priority_level="global-default"}'
    for name in FAMILIES:
        assert any(line.startswith(f"apiserver_flowcontrol_{name}{labels}") for line in lines), name
    exempt = (
        'apiserver_flowcontrol_current_executing_requests{flow_schema="exempt",priority_level="exempt"} 1'
    )
    assert exempt in lines
    for name in ("nominal_limit_seats", "upper_limit_seats", "demand_seats_high_watermark"):
        assert f'apiserver_flowcontrol_{name}{{priority_level="workload-low"}}' in raw


async def test_who_watches_a_nodes_pods_makes_no_write_wider(api: Any) -> None:
    async def watch() -> None:
        answer = await api.send("GET", "/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3Dn")
        async for _ in answer.stream:
            pass

    watching = [asyncio.create_task(watch()) for _ in range(25)]
    try:
        await api.settle()
        assert width(api, "POST", PODS).most == 1
    finally:
        for task in watching:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_paths_that_anybody_can_make_longer_are_not_kept(api: Any) -> None:
    for slashes in (1, 2, 3000, 4000):
        assert (await api("GET", f"/api{'/' * slashes}")).status == 200
    assert api.server._chain._counting._answered == {"/api/", "/api//"}
