"""Streams into containers: which is meant, what the runtime is asked, and its refusals."""

import asyncio

import pytest
from endpoint import Context, Everybody, ask
from pods import container, ended, have, pod, running
from spdy_runtime import SpdyRuntime

from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.featuregates import resolve
from tiphys.kubelet.options import ServerOptions
from tiphys.kubelet.runtime import RuntimeFailure
from tiphys.kubelet.server.server import KubeletServer
from tiphys.kubelet.server.streaming import headers_for_runtime, proxy_upgrade
from tiphys.kubelet.server.streams import websocket_ports
from tiphys.wire.message import Request

SPDY = {"connection": "Upgrade", "upgrade": "SPDY/3.1"}
WEBSOCKET = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-key": "a"}
NO_STREAM = "you must specify at least 1 of stdin, stdout, stderr"


class Runtime:
    """Remembers what it is asked."""

    def __init__(self, failure=None, url="http://127.0.0.1:1/exec/token"):
        self.asked, self._failure, self._url = [], failure, url

    async def stream_url(self, call, fields):
        self.asked.append((call, fields))
        if self._failure:
            raise self._failure
        return self._url


def server(tmp_path, found, runtime=None, the_pod=None):
    context = Context(tmp_path, found)
    context.runtime = runtime or Runtime()
    the_pod = the_pod or pod(container(), container("d", tty=True))
    return KubeletServer(context, ServerOptions(), lambda: [the_pod], Everybody())


@pytest.mark.parametrize(
    ("path", "query", "status", "text"),
    [
        ("/exec/ns/q/c", "command=x", 400, NO_STREAM),
        ("/exec/ns/p/c", "command=x&output=true", 400, NO_STREAM),
        ("/exec/ns/p/c", "command=x&stdout=1", 400, NO_STREAM),
        ("/exec/ns/p/c", "command=x&tty=1&error=1", 400, NO_STREAM),
        ("/exec/ns/q/c", "command=x&output=1", 404, "pod does not exist"),
        ("/exec/ns/p/e", "command=x&output=1", 500, 'container not found ("e")'),
        ("/attach/ns/q/c", "", 400, NO_STREAM),
        ("/attach/ns/q/c", "output=1", 404, "pod does not exist"),
        ("/attach/ns/p/e", "output=1", 500, "container e not found in pod p_ns"),
        ("/attach/ns/p/uid-2/c", "output=1", 500, "pod p_ns not found"),
        ("/portForward/ns/q/uid-1", "", 404, "pod does not exist"),
        ("/portForward/ns/p/uid-2", "", 404, "pod not found"),
    ],
)
async def test_streams_to_what_is_not_there(tmp_path, path, query, status, text):
    made = server(tmp_path, have(running()))
    assert await ask(made, path, query, "POST", **SPDY) == (status, text)


async def test_containers_and_pods_that_do_not_run(tmp_path):
    made = server(tmp_path, have(ended(), sandboxes=[]))
    for path, text in (
        ("/exec/ns/p/c", 'container not found ("c")'),
        ("/attach/ns/p/c", "container c not found in pod p_ns"),
        ("/portForward/ns/p", 'pod not found ("p_ns")'),
    ):
        assert await ask(made, path, "output=1", "POST", **SPDY) == (500, text)


@pytest.mark.parametrize(
    ("path", "query", "call", "expected"),
    [
        ("/exec/ns/p/c", "command=ls&command=-l&output=1&error=1&tty=1", "Exec",
         {"container_id": "c0", "cmd": ["ls", "-l"], "stdin": False, "stdout": True, "stderr": False,
          "tty": True}),
        ("/exec/ns/p/another/c", "command=ls&input=1&error=1", "Exec",
         {"container_id": "c0", "cmd": ["ls"], "stdin": True, "stdout": False, "stderr": True,
          "tty": False}),
        ("/attach/ns/p/c", "output=1&tty=1", "Attach",
         {"container_id": "c0", "stdin": False, "stdout": True, "stderr": False, "tty": False}),
        ("/attach/ns/p/uid-1/d", "output=1&error=1", "Attach",
         {"container_id": "d0", "stdin": False, "stdout": True, "stderr": True, "tty": True}),
    ],
)  # fmt: skip
async def test_what_the_runtime_is_asked(tmp_path, path, query, call, expected):
    runtime = Runtime(RuntimeFailure("UNKNOWN", "no"))
    await ask(server(tmp_path, have(running(), running("d")), runtime), path, query, "POST", **SPDY)
    assert runtime.asked == [(call, expected)]


@pytest.mark.parametrize(
    ("code", "name", "status", "retry"),
    [
        ("NOT_FOUND", "NotFound", 404, None),
        ("RESOURCE_EXHAUSTED", "ResourceExhausted", 429, "60"),
        ("INVALID_ARGUMENT", "InvalidArgument", 500, None),
        ("UNKNOWN", "Unknown", 500, None),
    ],
)
@pytest.mark.parametrize("path", ["/exec/ns/p/c", "/attach/ns/p/c", "/portForward/ns/p"])
async def test_the_runtimes_refusals(tmp_path, path, code, name, status, retry):
    made = server(tmp_path, have(running()), Runtime(RuntimeFailure(code, "gone")))
    answer = await made.handle(Request("POST", path, "output=1", SPDY))
    assert (answer.status, answer.body) == (status, f"rpc error: code = {name} desc = gone".encode())
    assert answer.headers.get("Retry-After") == retry


@pytest.mark.parametrize("path", ["/exec/ns/p/c", "/attach/ns/p/c", "/portForward/ns/p"])
async def test_who_does_not_upgrade(tmp_path, path):
    """The last of all faults: the runtime has made a place for the stream by then."""
    runtime = Runtime()
    answer = await ask(server(tmp_path, have(running()), runtime), path, "output=1", "POST")
    assert answer == (500, "Upgrade request required\n")
    assert len(runtime.asked) == 1


async def test_a_runtime_that_cannot_be_reached(tmp_path):
    made = server(tmp_path, have(running()))
    status, text = await ask(made, "/exec/ns/p/c", "output=1", "POST", **SPDY)
    reason = "dial tcp 127.0.0.1:1: connect: connection refused"
    assert (status, text) == (500, f"error dialing backend: {reason}\n")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["80"], [80]),
        (["80,90", "1"], [80, 90, 1]),
        (["65535"], [65535]),
        ([], 'query parameter "port" is required'),
        ([""], 'query parameter "port" cannot be empty'),
        (["80", ""], 'query parameter "port" cannot be empty'),
        (["abc"], 'unable to parse "abc" as a port: strconv.ParseUint: parsing "abc": invalid syntax'),
        (["80,"], 'unable to parse "80," as a port: strconv.ParseUint: parsing "": invalid syntax'),
        (["-1"], 'unable to parse "-1" as a port: strconv.ParseUint: parsing "-1": invalid syntax'),
        (["+1"], 'unable to parse "+1" as a port: strconv.ParseUint: parsing "+1": invalid syntax'),
        (["65536"], 'unable to parse "65536" as a port: strconv.ParseUint: parsing "65536": '
         "value out of range"),
        (["1" * 40], f'unable to parse "{"1" * 40}" as a port: strconv.ParseUint: parsing "{"1" * 40}": '
         "value out of range"),
        (["0"], 'port "0" must be > 0'),
        (["80,0"], 'port "80,0" must be > 0'),
    ],
)  # fmt: skip
def test_ports_of_a_websocket(texts, expected):
    if isinstance(expected, list):
        assert websocket_ports(texts) == expected
        return
    with pytest.raises(BadRequest) as refused:
        websocket_ports(texts)
    assert refused.value.message == expected


async def test_ports_are_asked_of_websockets_alone(tmp_path):
    runtime = Runtime(RuntimeFailure("UNKNOWN", "no"))
    made = server(tmp_path, have(running()), runtime)
    assert await ask(made, "/portForward/ns/q", "", **WEBSOCKET) == (
        400, 'query parameter "port" is required'
    )  # fmt: skip
    await ask(made, "/portForward/ns/p", "port=80,81", **WEBSOCKET)
    await ask(made, "/portForward/ns/p", "port=x", "POST", **SPDY)
    assert [fields["port"] for _, fields in runtime.asked] == [[80, 81], []]


def test_headers_that_go_on():
    headers = {"connection": "Upgrade", "x-stream-protocol-version": "v4, v3", "host": "no",
               "authorization": "Bearer x", "x-forwarded-for": "1.2.3.4"}  # fmt: skip
    assert headers_for_runtime(headers, "10.0.0.1") == [
        ("connection", "Upgrade"), ("x-stream-protocol-version", "v4"),
        ("x-stream-protocol-version", "v3"), ("x-forwarded-for", "1.2.3.4, 10.0.0.1"),
    ]  # fmt: skip
    assert headers_for_runtime({}, "") == []


class Pipe:
    """The client's side of an upgraded connection."""

    def __init__(self, *data):
        self.incoming = [*data]
        self.received = b""
        self.echoed, self.closed = asyncio.Event(), asyncio.Event()

    async def read(self):
        if self.incoming:
            return self.incoming.pop(0)
        await self.echoed.wait()
        return b""

    async def write(self, data):
        self.received += data
        if self.received.endswith(b"b"):
            self.echoed.set()

    async def close(self):
        self.closed.set()


class Backend:
    """A streaming server that answers with one text, then says again what it hears."""

    def __init__(self, said):
        self._said, self.head = said, b""
        self.done = asyncio.Event()

    async def __call__(self, reader, writer):
        self.head = await reader.readuntil(b"\r\n\r\n")
        writer.write(self._said)
        while data := await reader.read(1):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        self.done.set()


async def upgraded(backend):
    listener = await asyncio.start_server(backend, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        request = Request("POST", "/exec", headers={"upgrade": "x", "connection": "Upgrade"})
        response = await proxy_upgrade(request, f"http://127.0.0.1:{port}/exec/t")
        pipe = Pipe(b"a", b"b")
        if response.upgrade is not None:
            await asyncio.wait_for(response.upgrade(pipe), 5)
            assert pipe.closed.is_set()
        await asyncio.wait_for(backend.done.wait(), 5)
        return response, pipe.received


async def test_upgrade_is_passed_on():
    backend = Backend(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nfirst")
    response, received = await upgraded(backend)
    assert (response.status, response.headers) == (101, {"Upgrade": "x"})
    assert received == b"firstab"
    assert backend.head.startswith(b"POST /exec/t HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("said", "status", "text"),
    [
        (b"404 Not Found\r\nContent-Length: 4\r\nContent-Type: text/x\r\n\r\ngone", 404, b"gone"),
        (b"200 OK\r\nContent-Length: 0\r\n\r\n", 500, b"invalid upgrade response: status code 200\n"),
    ],
)
async def test_an_upgrade_that_is_refused(said, status, text):
    response, _ = await upgraded(Backend(b"HTTP/1.1 " + said))
    assert (response.status, response.body) == (status, text)


class Client:
    """What a client of a websocket sends, and hears."""

    def __init__(self, *messages):
        self.messages, self.heard = [*messages], b""
        self.done = asyncio.Event()

    async def read(self):
        if self.messages:
            data = self.messages.pop(0)
            return bytes((0x82, 0x80 | len(data), 0, 0, 0, 0)) + data
        await self.done.wait()
        return b""

    async def write(self, data):
        self.heard += data
        if CLOSE in self.heard:
            self.done.set()

    async def close(self):
        self.done.set()


CLOSE = b"\x88\x02\x03\xe8"
V5 = {**WEBSOCKET, "sec-websocket-protocol": "v5.channel.k8s.io"}
TUNNEL = {**WEBSOCKET, "sec-websocket-protocol": "SPDY/3.1+portforward.k8s.io"}


async def talked(made, path, query, headers, *messages):
    response = await made.handle(Request("GET", path, query, headers))
    assert response.status == 101
    client = Client(*messages)
    await asyncio.wait_for(response.upgrade(client), 5)
    return response.headers["Sec-WebSocket-Protocol"], client.heard


@pytest.mark.parametrize("verb", ["exec", "attach"])
async def test_commands_of_newer_clients_are_translated(tmp_path, verb):
    async with SpdyRuntime().listening(f"/{verb}/t") as backend:
        made = server(tmp_path, have(running()), Runtime(url=backend.url))
        chosen, heard = await talked(made, f"/{verb}/ns/p/c", "command=x&output=1", V5)
    assert chosen == "v5.channel.k8s.io"
    assert heard.startswith(b"\x82\x01\x01")
    assert b"\x01hello" in heard
    assert heard.endswith(b'\x03{"metadata":{},"status":"Success"}' + CLOSE)
    assert "X-Stream-Protocol-Version: v4.channel.k8s.io".lower() in backend.heads[0].lower()
    text = f'kubelet_websocket_streaming_requests_total{{subresource="{verb}"}} 1'
    assert text in (await ask(made, "/metrics"))[1]


async def test_a_runtime_that_refuses_a_translated_command(tmp_path):
    gone = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\ngone\n"
    async with SpdyRuntime(gone).listening("/exec/t") as backend:
        made = server(tmp_path, have(running()), Runtime(url=backend.url))
        _, heard = await talked(made, "/exec/ns/p/c", "output=1", V5)
    assert b'"message":"Internal error occurred: unable to upgrade connection: gone"' in heard
    _, heard = await talked(server(tmp_path, have(running())), "/exec/ns/p/c", "output=1", V5)
    reason = b'error sending request: Post \\"http://127.0.0.1:1/exec/token\\": dial tcp 127.0.0.1:1: connect'
    assert reason in heard


async def test_ports_of_newer_clients_are_tunneled(tmp_path):
    async with SpdyRuntime().listening("/portforward/t") as backend:
        made = server(tmp_path, have(running()), Runtime(url=backend.url))
        chosen, heard = await talked(made, "/portForward/ns/p", "", TUNNEL, b"spdy bytes")
    assert chosen == "SPDY/3.1+portforward.k8s.io"
    assert heard == b"\x82\x0aspdy bytes" + CLOSE
    assert backend.heads[0].startswith("POST /portforward/t HTTP/1.1\r\n")
    assert made._streams.counts == {"portforward": 1}


async def test_a_tunnel_that_is_refused(tmp_path):
    gone = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\ngone\n"
    async with SpdyRuntime(gone).listening("/portforward/t") as backend:
        made = server(tmp_path, have(running()), Runtime(url=backend.url))
        assert await ask(made, "/portForward/ns/p", **TUNNEL) == (404, "gone\n")
    text = "error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused\n"
    made = server(tmp_path, have(running()))
    assert await ask(made, "/portForward/ns/p", **TUNNEL) == (500, text)


async def test_without_the_gate_newer_websockets_are_like_any(tmp_path):
    context = Context(tmp_path, have(running()))
    context.runtime = Runtime()
    options = ServerOptions(gates=resolve({"ExtendWebSocketsToKubelet": False}))
    made = KubeletServer(context, options, lambda: [pod(container())], Everybody())
    answer = await ask(made, "/portForward/ns/p", **TUNNEL)
    assert answer == (400, 'query parameter "port" is required')
    status, text = await ask(made, "/exec/ns/p/c", "output=1", **V5)
    assert (status, text[:21]) == (500, "error dialing backend")
