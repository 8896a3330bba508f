"""Exec, attach, port-forward and proxy, against a kubelet of ours that speaks HTTP and SPDY on loopback."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from tests.apiserver.subresources.streaming_kubelet import (
    POD,
    WEBSOCKET,
    Kubelet,
    declare,
    kubelet_of,
    left_at_once,
    masked,
    read,
)
from tests.wire.pipe import Pipe

from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.featuregates import resolve
from tiphys.apiserver.subresources import proxy
from tiphys.apiserver.subresources.kubelet_link import choose_container
from tiphys.apiserver.subresources.streams import ports_of
from tiphys.wire import relay
from tiphys.wire.client import ConnectFailed, send
from tiphys.wire.server import serve


async def test_a_pod_without_node(api: Any, kubelet: Kubelet, make_pod: Any) -> None:
    await api.create("/api/v1/namespaces/default/pods", make_pod("q"))
    answer = await api("GET", POD[:-1] + "q/log")
    assert (answer.status, answer.raw) == (204, b"")
    for stream in ("exec?command=ls&stdout=1", "exec", "attach", "portforward"):
        answer = await api("POST", f"{POD[:-1]}q/{stream}")
        assert (answer.status, answer.message) == (400, "pod q does not have a host assigned")


@pytest.mark.parametrize(
    ("containers", "named", "chosen"),
    [
        ({"containers": ["c"]}, "", "c"),
        ({"containers": ["c"], "initContainers": ["i"]}, "", "c"),
        ({"containers": ["c", "d"], "initContainers": ["i"], "ephemeralContainers": ["e"]}, "e", "e"),
        ({"containers": ["c", "d"]}, "", "choose one of: [c d]"),
        ({"containers": ["c", "d"], "initContainers": ["i"], "ephemeralContainers": ["e"]}, "",
         "choose one of: [i c d e]"),
        ({"containers": ["c", "d"]}, "x", "container x is not valid for pod p"),
    ],
)  # fmt: skip
def test_which_container(containers: dict[str, list[str]], named: str, chosen: str) -> None:
    """That one is the default is for clients to know."""
    annotations = {"kubectl.kubernetes.io/default-container": "c"}
    spec = {kind: [{"name": name} for name in names] for kind, names in containers.items()}
    pod = {"metadata": {"name": "p", "annotations": annotations}, "spec": spec}
    try:
        found = choose_container(pod, named)
    except BadRequest as error:
        found = error.message
    assert found.endswith(chosen)


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
async def test_exec_needs_an_upgrade(api: Any, kubelet: Kubelet, accept: str) -> None:
    answer = await api("POST", POD + "/exec?command=ls&stdout=1", accept=accept)
    assert (answer.status, answer.message) == (400, "Upgrade request required")


async def test_spdy_is_passed_on_as_it_is(api: Any, kubelet: Kubelet) -> None:
    response = await api.send("POST", POD + "/portforward", upgrade="SPDY/3.1", connection="Upgrade")
    assert response.status == 101
    pipe = Pipe()
    pipe.inward.put_nowait(b"any bytes")
    relaying = asyncio.create_task(response.upgrade(pipe))
    await pipe.until(b"any bytes")
    pipe.inward.put_nowait(b"")
    async with asyncio.timeout(10):
        await relaying


async def test_bytes_take_their_time_where_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(relay.asyncio, "sleep", sleep)
    for limit, pauses in ((0, []), (100, [0.09, 0.01])):
        source, target = Pipe(), Pipe()
        for data in (b"any bytes", b"x", b""):
            source.inward.put_nowait(data)
        slept.clear()
        await relay.copy(source, target, limit)
        assert (bytes(target.outward), slept) == (b"any bytesx", pauses)


async def test_websocket_v5_becomes_spdy(api: Any, kubelet: Kubelet) -> None:
    response = await api.send(
        "GET", POD + "/exec?command=cat&stdin=1&stdout=1&stderr=1", **WEBSOCKET,
        sec_websocket_protocol="v5.channel.k8s.io",
    )  # fmt: skip
    assert response.status == 101
    assert {name.lower(): value for name, value in response.headers.items()}[
        "sec-websocket-protocol"
    ] == "v5.channel.k8s.io"
    pipe = Pipe()
    pipe.inward.put_nowait(masked(b"\x00hello\n"))
    bridge = asyncio.create_task(response.upgrade(pipe))
    await pipe.until(struct.pack(">BBH", 0x88, 2, 1000))
    pipe.inward.put_nowait(masked(b"\x00nobody takes this\n"))
    pipe.inward.put_nowait(masked(struct.pack(">H", 1000), opcode=8))
    async with asyncio.timeout(10):
        await bridge
    assert pipe.outward.startswith(b"\x82\x01\x01"), "the client is heard before the kubelet is asked"
    assert kubelet.asked[0].query == {"input": ["1"], "output": ["1"], "error": ["1"], "command": ["cat"]}
    assert b"\x01HELLO\n" in pipe.outward
    assert b'\x03{"metadata":{},"status":"Success"}' in pipe.outward
    assert api.server.backend.streams.translated == {200: 1}


@pytest.mark.parametrize(
    ("offered", "asked"),
    [
        ("SPDY/3.1+portforward.k8s.io", "portforward.k8s.io"),
        (
            "v9, SPDY/3.1+v2.portforward.k8s.io,SPDY/3.1+portforward.k8s.io",
            "v2.portforward.k8s.io, portforward.k8s.io",
        ),
    ],
)  # fmt: skip
async def test_portforward_tunnel(api: Any, kubelet: Kubelet, offered: str, asked: str) -> None:
    response = await api.send("GET", POD + "/portforward", **WEBSOCKET, sec_websocket_protocol=offered)
    assert response.status == 101
    headers = kubelet.asked[0].headers
    assert (headers["upgrade"], headers["x-stream-protocol-version"]) == ("SPDY/3.1", asked)
    assert response.headers["Sec-WebSocket-Protocol"] == f"SPDY/3.1+{asked.partition(',')[0]}"
    pipe = Pipe()
    pipe.inward.put_nowait(masked(b"spdy bytes"))
    tunnel = asyncio.create_task(response.upgrade(pipe))
    await pipe.until(b"spdy bytes")
    pipe.inward.put_nowait(masked(struct.pack(">H", 1000), opcode=8))
    pipe.inward.put_nowait(b"")
    async with asyncio.timeout(10):
        await tunnel
    assert api.server.backend.streams.tunneled == {101: 1}


ROUTED = "apiserver_websocket_streaming_requests_total"


@pytest.mark.parametrize(
    ("path", "protocol", "target"),
    [
        ("/exec?command=cat&stdout=1", "v5.channel.k8s.io", "/exec/default/p/c"),
        ("/attach?stdout=1", "v5.channel.k8s.io", "/attach/default/p/c"),
        ("/portforward", "SPDY/3.1+portforward.k8s.io", "/portForward/default/p"),
    ],
)
async def test_websockets_reach_kubelets_that_declare_so(
    api: Any, kubelet: Kubelet, path: str, protocol: str, target: str
) -> None:
    await declare(api, "ExtendWebSocketsToKubelet")
    await left_at_once(await api.send("GET", POD + path, **WEBSOCKET, sec_websocket_protocol=protocol))
    (asked,) = kubelet.asked
    assert (asked.method, asked.path, asked.headers["upgrade"]) == ("GET", target, "websocket")
    assert asked.headers["sec-websocket-protocol"] == protocol
    name = path.partition("?")[0].strip("/")
    text = (await api("GET", "/metrics")).raw.decode()
    (line,) = (line for line in text.splitlines() if line.startswith(f"{ROUTED}{{"))
    assert f'subresource="{name}"' in line
    assert 'proxy_type="proxied_to_kubelet"' in line
    assert line.endswith(" 1")
    assert not api.server.backend.streams.translated


@pytest.mark.parametrize(
    ("gates", "declared", "upgrade", "routed"),
    [
        ({}, [], "SPDY/3.1", {("exec", "translated_at_apiserver"): 1}),
        ({}, ["Other"], "SPDY/3.1", {("exec", "translated_at_apiserver"): 1}),
        ({}, ["ExtendWebSocketsToKubelet", "Other"], "websocket", {("exec", "proxied_to_kubelet"): 1}),
        ({"ExtendWebSocketsToKubelet": False}, ["ExtendWebSocketsToKubelet"], "SPDY/3.1",
         {("exec", "translated_at_apiserver"): 1}),
        ({"TranslateStreamCloseWebsocketRequests": False}, [], "websocket", {}),
    ],
)  # fmt: skip
async def test_who_speaks_spdy(
    serving: Any, make_pod: Any, gates: dict[str, bool], declared: list[str], upgrade: str, routed: Any
) -> None:
    async with serving(feature_gates=resolve(gates)) as api, kubelet_of(api, make_pod) as kubelet:
        await declare(api, *declared)
        protocol = "v5.channel.k8s.io"
        response = await api.send(
            "GET", POD + "/exec?command=cat&stdin=1", **WEBSOCKET, sec_websocket_protocol=protocol
        )
        await left_at_once(response)
        assert [one.headers["upgrade"] for one in kubelet.asked] == [upgrade]
        assert api.server.backend.streams.routed == routed


async def test_a_tunnel_to_what_speaks_something_else(api: Any, kubelet: Kubelet) -> None:
    kubelet.speaks = "websocket"
    offered = "SPDY/3.1+portforward.k8s.io"
    answer = await api("GET", POD + "/portforward", **WEBSOCKET, sec_websocket_protocol=offered)
    assert (answer.status, answer.raw) == (500, b"unable to upgrade: missing upgrade headers in response\n")
    assert api.server.backend.streams.tunneled == {500: 1}


async def test_node_proxy(api: Any, kubelet: Kubelet) -> None:
    response = await api.send("POST", "/api/v1/nodes/n1/proxy/a/b?x=1", b"ping", content_type="text/plain")
    assert (response.status, await read(response)) == (200, b"ping")
    (asked,) = kubelet.asked
    assert (asked.path, asked.raw_query, asked.headers.get("authorization")) == ("/a/b", "x=1", None)


async def test_proxy_paths_end_in_a_slash(api: Any, kubelet: Kubelet) -> None:
    response = await api.send("GET", "/api/v1/nodes/n1/proxy")
    assert (response.status, response.headers["Location"]) == (301, "/api/v1/nodes/n1/proxy/")


async def test_pod_proxy(api: Any, make_pod: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "is_reachable", bool)
    async with serve(Kubelet(), grace_s=0.1) as server:
        made = await api.create("/api/v1/namespaces/default/pods", make_pod("web", nodeName="n1"))
        made["status"] |= {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
        await api.put("/api/v1/namespaces/default/pods/web/status", made)
        base = f"/api/v1/namespaces/default/pods/web:{server.port}/proxy"
        response = await api.send("GET", base + "/x")
        assert (response.status, await read(response)) == (200, b"pong")


async def test_pods_that_cannot_be_reached(api: Any, make_pod: Any) -> None:
    await api.create("/api/v1/namespaces/default/pods", make_pod("web"))
    answer = await api("GET", "/api/v1/namespaces/default/pods/web/proxy/")
    assert (answer.status, answer.message) == (400, "address not allowed")
    answer = await api("GET", "/api/v1/namespaces/default/services/none/proxy/")
    assert (answer.status, answer.message) == (404, 'endpoints "none" not found')


async def test_client_to_nobody() -> None:
    async with serve(Kubelet(), grace_s=0.1) as server:
        port = server.port
    with pytest.raises(ConnectFailed, match=f"dial tcp 127.0.0.1:{port}: "):
        await send("127.0.0.1", port, "GET", "/", {})


async def test_client_reads_bodies_of_all_kinds() -> None:
    async with serve(Kubelet(), grace_s=0.1) as server:
        for method, path, body, expected in (
            ("GET", "/containerLogs/x", b"", b"one\ntwo\n"),
            ("POST", "/echo", b"x" * 200_000, b"x" * 200_000),
            ("HEAD", "/echo", b"", b""),
        ):
            answer = await send("127.0.0.1", server.port, method, path, {}, body=body)
            assert (answer.status, await answer.read()) == (200, expected)
            await answer.close()
        answer = await send("127.0.0.1", server.port, "GET", "/moved", {})
        assert (answer.status, answer.header("location"), answer.header("none")) == (302, "/elsewhere", "")
        await answer.close()


def test_ports() -> None:
    assert ports_of(["80,81", "0", "65535"]) == [80, 81, 0, 65535]
    for text, fault in {"": "invalid syntax", "-1": "invalid syntax", "65536": "value out of range"}.items():
        with pytest.raises(BadRequest) as caught:
            ports_of([text])
        wanted = f'cannot convert to []int32: strconv.ParseUint: parsing "{text}": {fault}'
        assert caught.value.message == wanted
