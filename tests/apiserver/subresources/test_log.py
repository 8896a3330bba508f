"""Logs of pods, as a body and over a websocket, from a kubelet of ours on loopback."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.apiserver.subresources.streaming_kubelet import POD, WEBSOCKET, Kubelet, read
from tests.wire.pipe import Pipe

from tiphys.apimachinery.featuregates import resolve
from tiphys.apiserver.subresources.log import chosen


async def test_log(api: Any, kubelet: Kubelet) -> None:
    response = await api.send("GET", POD + "/log?tailLines=2&timestamps=yes&follow=false&previous")
    assert (response.status, await read(response)) == (200, b"one\ntwo\n")
    (asked,) = kubelet.asked
    container = (await api.get(POD))["spec"]["containers"][0]["name"]
    assert asked.path == f"/containerLogs/default/p/{container}"
    assert asked.query == {"tailLines": ["2"], "timestamps": ["true"], "previous": ["true"]}
    assert "authorization" not in asked.headers


FORMS = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "text/plain, */*;q=0.1"])
async def test_a_log_is_text_whatever_is_accepted(api: Any, kubelet: Kubelet, accept: str) -> None:
    response = await api.send("GET", POD + "/log", accept=accept)
    assert (response.status, await read(response)) == (200, b"one\ntwo\n")


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        ("text/plain", f"only the following media types are accepted: {FORMS}"),
        ("text/html", f"406: Not Acceptable\n\nAvailable representations: text/plain, {FORMS}"),
    ],
)
async def test_text_alone_cannot_be_asked_for(api: Any, kubelet: Kubelet, accept: str, text: str) -> None:
    """It is what comes, and upstream's router lets it pass, but not the handler behind that."""
    answer = await api("GET", POD + "/log", accept=accept)
    assert (answer.status, answer.message) == (406, text)
    assert kubelet.asked == []


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("container=none", 400, "container none is not valid for pod p"),
        ("tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ("tailLines=", 400, 'strconv.ParseInt: parsing "": invalid syntax'),
        ("tailLines=abc", 400, 'strconv.ParseInt: parsing "abc": invalid syntax'),
        (
            "limitBytes=0&tailLines=-1",
            422,
            "[tailLines: Invalid value: -1: must be greater than or equal to 0, "
            "limitBytes: Invalid value: 0: must be greater than 0]",
        ),
        (
            "sinceSeconds=0&sinceTime=2020-01-01T00:00:00Z",
            422,
            "is invalid: : Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
        ("stream=All", 422, "stream: Forbidden: may not be specified"),
        (
            "sinceTime=yesterday",
            400,
            'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
        ),
    ],
)
async def test_log_refusals(api: Any, kubelet: Kubelet, query: str, status: int, text: str) -> None:
    answer = await api("GET", f"{POD}/log?{query}")
    assert (answer.status, text in answer.message) == (status, True), answer.message
    assert kubelet.asked == []


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("stream=Both", 'stream: Unsupported value: "Both"'),
        ("stream=Stdout&tailLines=1", "Forbidden: `tailLines` and specific `stream` are mutually exclusive"),
    ],
)
async def test_one_stream_of_a_log(serving: Any, make_pod: Any, query: str, text: str) -> None:
    gates = resolve({"PodLogsQuerySplitStreams": True})
    async with serving(feature_gates=gates) as api:
        await api.create("/api/v1/namespaces/default/pods", make_pod("p"))
        answer = await api("GET", f"{POD}/log?{query}")
        assert (answer.status, text in answer.message) == (422, True), answer.message


@pytest.mark.parametrize(
    ("offered", "accepted", "frame"),
    [
        ({}, None, b"\x82\x00\x82\x04one\n\x82\x04two\n"),
        ({"sec_websocket_protocol": "binary.k8s.io"}, "binary.k8s.io", b"\x82\x00\x82\x04one\n\x82\x04two\n"),
        (
            {"sec_websocket_protocol": "base64.binary.k8s.io"},
            "base64.binary.k8s.io",
            b"\x81\x00\x81\x08b25lCg==\x81\x08dHdvCg==",
        ),
    ],
    ids=["no name", "binary", "base64"],
)
async def test_log_over_a_websocket(
    api: Any, kubelet: Kubelet, offered: dict[str, str], accepted: str | None, frame: bytes
) -> None:
    response = await api.send("GET", POD + "/log", **WEBSOCKET, **offered)
    assert (response.status, response.headers.get("Sec-WebSocket-Protocol")) == (101, accepted)
    pipe = Pipe()
    sending = asyncio.create_task(response.upgrade(pipe))
    await pipe.until(frame)
    pipe.inward.put_nowait(b"")
    async with asyncio.timeout(10):
        await sending


async def test_log_over_an_unknown_websocket_protocol(api: Any, kubelet: Kubelet) -> None:
    response = await api.send("GET", POD + "/log", **WEBSOCKET, sec_websocket_protocol="v9.channel.k8s.io")
    assert (response.status, response.body, response.upgrade) == (403, b"", None)
    gone = await api(
        "GET", "/api/v1/namespaces/default/pods/none/log", **WEBSOCKET, sec_websocket_protocol="v9"
    )
    assert gone.status == 404


async def test_log_over_a_websocket_that_lacks_what_it_takes(api: Any, kubelet: Kubelet) -> None:
    response = await api.send("GET", POD + "/log", connection="Upgrade", upgrade="websocket")
    assert (response.status, response.body, response.upgrade) == (400, b"mismatch challenge/response", None)


@pytest.mark.parametrize(
    ("offered", "protocol"),
    [
        ([], ""),
        (["base64.binary.k8s.io", "binary.k8s.io"], "base64.binary.k8s.io"),
        (["v4.channel.k8s.io", "binary.k8s.io"], "binary.k8s.io"),
        (["channel.k8s.io"], None),
    ],
)
def test_protocols_of_logs(offered: list[str], protocol: str | None) -> None:
    assert chosen(offered) == protocol
