"""The line that each request has in the log from a verbosity on."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tiphys.apimachinery import verbosity
from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.observe.request_log import RequestLog
from tiphys.cmd.klog import parts
from tiphys.wire.message import Request, Response

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "tiphys.apiserver.observe.request_log")
    return caplog


def told(lines: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    found = [parts(record) for record in lines.records if record.name.endswith("request_log")]
    assert {message for message, _ in found} <= {"HTTP"}
    return [fields for _, fields in found]


@pytest.mark.parametrize(("level", "modules"), [(3, ()), (0, [("httplog", 3)])])
async def test_requests(serving: Any, lines: pytest.LogCaptureFixture, level: int, modules: Any) -> None:
    verbosity.ask(level, modules)
    async with serving() as api:
        assert getattr(api.server.handler, "at_once", None) is None
        listed = await api("GET", f"{MAPS}?limit=5")
        await api("PATCH", f"{MAPS}/m", {}, content_type="application/apply-patch+yaml")
        watch = await api.send("GET", f"{MAPS}?watch=1")
        before = len(told(lines))
        await watch.stream.aclose()
        found = told(lines)
        assert len(found) == before + 1
    assert [one["verb"] for one in found[-3:]] == ["LIST", "APPLY", "WATCH"]
    assert found[-3] == {
        "verb": "LIST", "URI": f"{MAPS}?limit=5", "latency": "0s", "userAgent": "test/1",
        "audit-ID": listed.headers["audit-id"], "srcIP": "", "apf_pl": "exempt", "apf_fs": "exempt",
        "apf_iseats": 1, "apf_fseats": 0, "apf_additionalLatency": "0s", "resp": 200,
    }  # fmt: skip
    assert found[-2]["resp"] == 422


@pytest.mark.parametrize(("level", "modules"), [(2, ()), (4, [("httplog", 2)])])
async def test_none_below_that(
    serving: Any, lines: pytest.LogCaptureFixture, level: int, modules: Any
) -> None:
    verbosity.ask(level, modules)
    async with serving() as api:
        await api("GET", MAPS)
    assert told(lines) == []


async def test_other_ends(lines: pytest.LogCaptureFixture) -> None:
    async def handler(request: Request) -> Response:
        if request.path == "/gone":
            raise ConnectionError
        if request.path == "/switch":
            return Response(101, {}, upgrade=lambda stream: stream.close())
        return Response(500, {}, b'{"a":1}')

    log = RequestLog(handler, None, FakeClock())
    await log(Request("GET", "/bad"))
    with pytest.raises(ConnectionError):
        await log(Request("GET", "/gone"))
    switched = await log(Request("GET", "/switch"))
    assert switched.upgrade is not None
    assert len(told(lines)) == 2

    class Nobody:
        async def close(self) -> None:
            return

    await switched.upgrade(Nobody())  # type: ignore[arg-type]
    bad, gone, switch = told(lines)
    assert (bad["resp"], bad["addedInfo"]) == (500, "\nlogging error output: '{\"a\":1}'\n")
    assert (gone["resp"], switch["hijacked"], "resp" in switch) == (0, True, False)
