"""What kubelets refuse, how they are believed, and certificates that change, as clients are told of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from tests.apiserver.subresources.streaming_kubelet import WEBSOCKET, read
from tests.wire.pipe import Pipe

from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.subresources import proxy
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

pytestmark = pytest.mark.asyncio(loop_scope="module")
PODS = "/api/v1/namespaces/default/pods"
UPGRADE = {"upgrade": "SPDY/3.1", "connection": "Upgrade"}


class World:
    """A server that believes one authority of kubelets, and a kubelet that answers as it is told."""

    def __init__(self, api: Any, port: int, authority: Path) -> None:
        self.api = api
        self.port = port
        self.authority = authority
        self.kubelet = f"https://127.0.0.1:{port}"

    async def log(self, name: str, query: str = "") -> Any:
        return await self.api("GET", f"{PODS}/{name}/log{query}")

    async def words(self, name: str, query: str = "") -> tuple[int, bytes]:
        response = await self.api.send("GET", f"{PODS}/{name}/log{query}")
        return response.status, await read(response)

    async def counted(self, name: str) -> list[str]:
        lines = (await self.api("GET", "/metrics")).raw.decode().splitlines()
        return [line for line in lines if line.startswith(name)]


async def kubelet(request: Request) -> Response:
    """Answer with the status, or the text, that the pod's name tells of."""
    pod = request.path.split("/")[3]
    if pod == "moved":
        return Response(302, {"Location": "/elsewhere"})
    if pod == "status":
        status = {"kind": "Status", "apiVersion": "v1", "message": "so it is", "reason": "Gone", "code": 410}
        return Response(410, {"Content-Type": "application/json"}, orjson.dumps(status))
    if pod in ("broken", "torn"):
        return Response(500 if pod == "torn" else 200, {"Content-Type": "text/plain"}, stream=_broken_off())
    if not pod.startswith("s"):
        return Response(200, {"Content-Type": "text/plain"}, b"words")
    return Response(int(pod[1:]), {"Content-Type": "text/plain", "X-Own": "yes"}, b"why it is so\n")


async def _broken_off() -> AsyncIterator[bytes]:
    yield b"words"
    raise ConnectionResetError("and no more")


ANSWERS: dict[str, tuple[int, str, str]] = {
    # pod -> code, reason, message of a request for its log
    "s400": (400, "BadRequest", "why it is so\n"),
    "s500": (500, "InternalError", "Internal error occurred: why it is so\n"),
    "s404": (404, "NotFound", "the server could not find the requested resource ( pods/log s404)"),
    "s403": (403, "Forbidden", "why it is so ( pods/log s403)"),
    "s401": (401, "Unauthorized",
             "the server has asked for the client to provide credentials ( pods/log s401)"),
    "s418": (418, "", "the server responded with the status code 418 but did not return more information"
                      " ( pods/log s418)"),
    "s502": (502, "InternalError", 'an error on the server ("why it is so") has prevented the request from '
                                   "succeeding ( pods/log s502)"),
    "s503": (503, "ServiceUnavailable",
             "the server is currently unable to handle the request ( pods/log s503)"),
    "moved": (500, "", 'Get "{kubelet}/elsewhere": redirects forbidden'),
    "torn": (500, "InternalError", "Internal error occurred: unexpected EOF"),
}  # fmt: skip
PASSED = {"s400": 400, "s403": 403, "s404": 404, "s500": 500}
IN_THE_CHANNEL: dict[str, tuple[int, str, str]] = {
    "s500": (500, "InternalError", "Internal error occurred: unable to upgrade connection: why it is so"),
    "s404": (500, "InternalError", "Internal error occurred: unable to upgrade connection: why it is so"),
    "torn": (500, "InternalError", "Internal error occurred: unable to upgrade connection: "
                                   "unable to read error from server response"),
    "status": (410, "Gone", "so it is"),
    "moved": (500, "InternalError",
              'Internal error occurred: error sending request: Post "{kubelet}/elsewhere": '
              "redirect not allowed"),
    "away": (500, "InternalError",
             'Internal error occurred: error sending request: Post "https://127.0.0.1:1/exec/default/away/c?'
             'output=1&command=ls": dial tcp 127.0.0.1:1: connect: connection refused'),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    tmp_path_factory: pytest.TempPathFactory, serving: Any, make_pod: Any
) -> AsyncIterator[World]:
    now = RealClock().now()
    authority = pki.make_ca("nodes", now)
    context = pki.server_context(pki.issue_server(authority, "n1", ["127.0.0.1"], now), authority.certificate)
    path = tmp_path_factory.mktemp("kubelet") / "ca.crt"
    path.write_bytes(authority.certificate)
    options = {"kubelet_certificate_authority": path}
    async with serve(kubelet, ssl_context=context, grace_s=0.1) as server, serving(**options) as api:
        for name, port, address in (
            ("n1", server.port, "127.0.0.1"),
            ("n2", 1, "127.0.0.1"),
            ("n3", server.port, ""),
        ):
            node = await api.create("/api/v1/nodes", {"metadata": {"name": name}})
            node["status"] = {
                "addresses": [{"type": "InternalIP" if address else "Other", "address": address or "x"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            }
            await api.put(f"/api/v1/nodes/{name}/status", node)
        for name in {*ANSWERS, *PASSED, *IN_THE_CHANNEL, "good", "broken", "nowhere"}:
            node_name = {"away": "n2", "nowhere": "n3"}.get(name, "n1")
            pod = make_pod(name, nodeName=node_name)
            pod["spec"]["containers"][0]["name"] = "c"
            await api.create(PODS, pod)
        yield World(api, server.port, path)


async def test_a_node_that_does_not_tell_its_port(serving: Any, make_pod: Any) -> None:
    async with serving(kubelet_port=1) as api:
        node = await api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
        node["status"] = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
        await api.put("/api/v1/nodes/n1/status", node)
        await api.create(PODS, make_pod("p", nodeName="n1"))
        answer = await api("GET", f"{PODS}/p/log")
        assert "https://127.0.0.1:1/containerLogs/default/p/c" in answer.message


@pytest.mark.parametrize("pod", ANSWERS)
async def test_refused_logs(world: World, pod: str) -> None:
    code, reason, message = ANSWERS[pod]
    answer = await world.log(pod)
    assert answer.message == message.format(kubelet=world.kubelet)
    assert (answer.status, answer.json["code"], answer.json.get("reason", "")) == (code, code, reason)


async def test_logs_of_nobody(world: World) -> None:
    answer = await world.log("away", "?follow=true")
    assert (answer.status, answer.json.get("reason")) == (500, None)
    assert answer.message == (
        'Get "https://127.0.0.1:1/containerLogs/default/away/c?follow=true": '
        "dial tcp 127.0.0.1:1: connect: connection refused"
    )
    answer = await world.log("nowhere")
    assert (answer.status, answer.message) == (
        500, "no preferred addresses found; known addresses: [{Other x}]"
    )  # fmt: skip


async def test_a_log_that_breaks_off_ends(world: World) -> None:
    assert await world.words("broken") == (200, b"words")
    response = await world.api.send("GET", f"{PODS}/broken/log", **WEBSOCKET)
    pipe = Pipe()
    async with asyncio.timeout(10):
        await response.upgrade(pipe)
    assert bytes(pipe.outward) == b"\x82\x00\x82\x05words\x88\x02\x03\xe8"


async def test_what_a_proxy_passes_on_breaks_off_too(world: World) -> None:
    response = await world.api.send("GET", "/api/v1/nodes/n1/proxy/containerLogs/default/broken/c")
    with pytest.raises(ConnectionError, match="unexpected EOF"):
        await read(response)


@pytest.mark.parametrize("pod", PASSED)
@pytest.mark.parametrize("verb", ["exec?command=ls&stdout=1", "attach?stdout=1", "portforward?ports=80"])
async def test_refused_streams_are_told_in_the_kubelets_words(world: World, pod: str, verb: str) -> None:
    response = await world.api.send("POST", f"{PODS}/{pod}/{verb}", **UPGRADE)
    assert (response.status, await read(response)) == (PASSED[pod], b"why it is so\n")
    assert response.headers["X-Own"] == "yes"


async def test_streams_that_are_none(world: World) -> None:
    answer = await world.api("POST", f"{PODS}/good/exec?command=ls&stdout=1", **UPGRADE)
    assert (answer.status, answer.message) == (500, "invalid upgrade response: status code 200")
    answer = await world.api("POST", f"{PODS}/away/exec?command=ls&stdout=1", **UPGRADE)
    assert (answer.status, answer.message) == (
        500, "error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused"
    )  # fmt: skip
    answer = await world.api("POST", f"{PODS}/good/exec?command=ls&stdout=1", upgrade="SPDY/3.1")
    assert (answer.status, answer.message) == (400, "Upgrade request required")


@pytest.mark.parametrize("pod", IN_THE_CHANNEL)
async def test_refusals_come_in_the_channel_of_errors(world: World, pod: str) -> None:
    """A websocket of the fifth protocol is there before the kubelet is asked."""
    code, reason, message = IN_THE_CHANNEL[pod]
    before = await world.counted("apiserver_stream_translator_requests_total")
    response = await world.api.send(
        "GET", f"{PODS}/{pod}/exec?command=ls&stdout=1", **WEBSOCKET,
        sec_websocket_protocol="v5.channel.k8s.io",
    )  # fmt: skip
    assert response.status == 101
    pipe = Pipe()
    pipe.inward.put_nowait(b"")  # the client leaves as soon as it is told
    async with asyncio.timeout(10):
        await response.upgrade(pipe)
    text = bytes(pipe.outward)
    assert text.startswith(b"\x82\x01\x01")
    found = orjson.loads(text[text.index(b"{") : text.rindex(b"}") + 1])
    assert text[text.index(b"{") - 1] == 3
    assert found["message"] == message.format(kubelet=world.kubelet)
    assert (found["code"], found["reason"], found["status"]) == (code, reason, "Failure")
    assert "kind" not in found
    after = await world.counted("apiserver_stream_translator_requests_total")
    assert before != after
    assert any(f'code="{code}"' in line for line in after)


async def test_a_refused_tunnel(world: World) -> None:
    response = await world.api.send(
        "GET", f"{PODS}/s404/portforward", **WEBSOCKET, sec_websocket_protocol="SPDY/3.1+portforward.k8s.io"
    )
    assert (response.status, await read(response)) == (404, b"why it is so\n")
    assert await world.counted("apiserver_stream_tunnel_requests_total") == [
        'apiserver_stream_tunnel_requests_total{code="404"} 1'
    ]


async def test_a_kubelet_that_is_not_believed(world: World) -> None:
    """What another authority signed is refused, unless the client does not mind; the file may change."""
    good = world.authority.read_bytes()
    url = f'Get "{world.kubelet}/containerLogs/default/good/c"'
    assert await world.words("good") == (200, b"words")
    try:
        world.authority.write_bytes(pki.make_ca("others", RealClock().now()).certificate)
        answer = await world.log("good")
        assert (answer.status, answer.message) == (
            500,
            f"{url}: tls: failed to verify certificate: x509: certificate signed by unknown authority",
        )
        assert await world.words("good", "?insecureSkipTLSVerifyBackend=true") == (200, b"words")
        world.authority.write_bytes(b"half a fi")
        assert (await world.log("good")).status == 500, "the last that was good holds on"
    finally:
        world.authority.write_bytes(good)
        os.utime(world.authority)
    assert await world.words("good") == (200, b"words")
    assert (await world.counted("kube_apiserver_pod_logs_backend_tls_failure_total"))[0].endswith(" 2")
    used = "\n".join(await world.counted("kube_apiserver_pod_logs_insecure_backend_total"))
    assert 'usage="skip_tls_allowed"} 1' in used
    assert 'usage="enforce_tls"}' in used


async def test_a_certificate_of_another_node(world: World, make_pod: Any) -> None:
    """It must be for the address that is asked, whoever has signed it."""
    now = RealClock().now()
    authority = pki.make_ca("nodes", now)
    good = world.authority.read_bytes()
    context = pki.server_context(pki.issue_server(authority, "n4", ["10.9.8.7"], now), authority.certificate)
    async with serve(kubelet, ssl_context=context, grace_s=0.1) as server:
        node = await world.api.create("/api/v1/nodes", {"metadata": {"name": "n4"}})
        node["status"] = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": server.port}},
        }
        await world.api.put("/api/v1/nodes/n4/status", node)
        await world.api.create(PODS, make_pod("elsewhere", nodeName="n4"))
        world.authority.write_bytes(authority.certificate)
        try:
            answer = await world.log("elsewhere")
        finally:
            world.authority.write_bytes(good)
    assert answer.status == 500
    assert "x509: certificate is valid for 10.9.8.7, not 127.0.0.1" in answer.message


async def test_other_ports_of_nodes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def other(request: Request) -> Response:
        return Response(200, {}, request.path.encode())

    path = "/api/v1/nodes/{}/proxy/a/b"
    async with serve(other, grace_s=0.1) as server:
        answer = await world.api("GET", path.format(f"n1:{server.port}"))
        assert (answer.status, answer.message) == (400, "address not allowed")
        monkeypatch.setattr(proxy, "is_reachable", bool)
        for name in (f"n1:{server.port}", f"http:n1:{server.port}"):
            response = await world.api.send("GET", path.format(name))
            assert (response.status, await read(response)) == (200, b"/a/b"), name
        own = await world.api.send(
            "GET", f"/api/v1/nodes/https:n1:{world.port}/proxy/containerLogs/default/x/c"
        )
        assert (own.status, await read(own)) == (200, b"words")
    for name in (":80", "ftp:n1:80", "a:b:c:d"):
        answer = await world.api("GET", path.format(name))
        assert (answer.status, answer.message) == (400, f'invalid node request "{name}"')
