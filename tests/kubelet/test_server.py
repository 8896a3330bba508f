"""The endpoint's routes, who may use them, and upgrades passed on."""

import asyncio
from datetime import UTC, datetime

import pytest
from fake_cri import FakeRuntime
from pods import container, ended, have, pod, running

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import Forbidden, Unauthorized
from tiphys.client.fake_api import FakeApi
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.rest import Client
from tiphys.kubelet.options import ServerOptions
from tiphys.kubelet.sandbox import NodeSettings
from tiphys.kubelet.server import KubeletServer
from tiphys.kubelet.server_auth import Access, Caller, caller_of, subresource_of
from tiphys.kubelet.streaming import parse_head, proxy_upgrade, request_head
from tiphys.wire.message import Request
from tiphys.wire.pki import issue_client, make_ca


class Everybody:
    async def check(self, request):
        return Caller("me")


class Cache:
    def __init__(self, runtime):
        self.runtime = runtime

    def get(self, uid):
        return self.runtime


class Context:
    def __init__(self, tmp_path, runtime_pod):
        self.runtime = FakeRuntime()
        self.cache = Cache(runtime_pod)
        self.clock = FakeClock()
        self.settings = NodeSettings(logs_dir=str(tmp_path))
        self.client = None
        self.name = "n1"


def server(tmp_path, runtime_pod, the_pod=None):
    the_pod = the_pod or pod(container(), container("d"))
    return KubeletServer(Context(tmp_path, runtime_pod), ServerOptions(), lambda: [the_pod], Everybody())


async def ask(made, path, query="", method="GET", **headers):
    response = await made.handle(Request(method, path, query, headers))
    body = response.body
    if response.stream is not None:
        body = b"".join([piece async for piece in response.stream])
    return response.status, body.decode()


@pytest.mark.parametrize(
    ("path", "query", "status", "text"),
    [
        ("/healthz", "", 200, "ok"),
        ("/nothing", "", 404, "the server could not find the requested resource"),
        ("/containerLogs/ns/p/c", "", 200, "now\n"),
        ("/containerLogs/ns/p/c", "previous=true", 200, "before\n"),
        ("/containerLogs/ns/p/c", "tailLines=x", 400, "tailLines must be a number"),
        ("/containerLogs/ns/p/d", "", 400, 'container "d" in pod "p" is waiting to start: ContainerCreating'),
        ("/containerLogs/ns/p/e", "", 404, 'container "e" not found in pod "p"'),
        ("/containerLogs/ns/q/c", "", 404, 'pods "q" not found'),
        ("/exec/ns/p/c", "command=x&output=1", 400, "Upgrade request required"),
    ],
)
async def test_routes(tmp_path, path, query, status, text):
    folder = tmp_path / "ns_p_uid-1" / "c"
    folder.mkdir(parents=True)
    (folder / "0.log").write_text("2026-01-01T00:00:00Z stdout F before\n")
    (folder / "1.log").write_text("2026-01-01T00:00:00Z stdout F now\n")
    made = server(tmp_path, have(running(attempt=1), ended()))
    assert await ask(made, path, query) == (status, text)


async def test_no_previous_container(tmp_path):
    status, text = await ask(server(tmp_path, have(running())), "/containerLogs/ns/p/c", "previous=1")
    assert (status, text) == (400, 'previous terminated container "c" in pod "p" not found')


async def test_exec_needs_a_running_container_and_a_stream(tmp_path):
    made = server(tmp_path, have(ended()))
    upgrade = {"connection": "Upgrade", "upgrade": "SPDY/3.1"}
    status, text = await ask(made, "/exec/ns/p/c", "command=x&output=1", "POST", **upgrade)
    assert (status, text) == (404, 'unable to upgrade connection: container not found ("c")')
    made = server(tmp_path, have(running()))
    status, text = await ask(made, "/exec/ns/p/c", "command=x", "POST", **upgrade)
    assert (status, text) == (400, "you must specify at least 1 of stdin, stdout, stderr")


async def test_pods(tmp_path):
    status, text = await ask(server(tmp_path, have()), "/pods")
    assert status == 200
    assert '"kind":"PodList"' in text


def test_head():
    head = request_head(
        "POST",
        "/exec/x?a=1",
        "h:1",
        {"connection": "Upgrade", "x-stream-protocol-version": "v4, v3", "host": "no"},
    )
    assert head == (
        b"POST /exec/x?a=1 HTTP/1.1\r\nHost: h:1\r\nconnection: Upgrade\r\n"
        b"x-stream-protocol-version: v4\r\nx-stream-protocol-version: v3\r\n\r\n"
    )
    assert parse_head(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x") == (101, {"Upgrade": "x"})
    with pytest.raises(ValueError, match="not an HTTP response"):
        parse_head(b"hello")


class Pipe:
    """The client's side of an upgraded connection."""

    def __init__(self, *data):
        self.incoming = [*data]
        self.received = b""
        self.closed = asyncio.Event()

    async def read(self):
        return self.incoming.pop(0) if self.incoming else b""

    async def write(self, data):
        self.received += data

    async def close(self):
        self.closed.set()


async def test_upgrade_is_passed_on():
    async def runtime(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nfirst")
        writer.write(b"echo:" + await reader.read())
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(runtime, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        request = Request("POST", "/exec", headers={"upgrade": "x", "connection": "Upgrade"})
        response = await proxy_upgrade(request, f"http://127.0.0.1:{port}/exec/t")
        assert (response.status, response.headers) == (101, {"Upgrade": "x"})
        pipe = Pipe(b"a", b"b")
        await asyncio.wait_for(response.upgrade(pipe), 5)
    assert pipe.received == b"firstecho:ab"
    assert pipe.closed.is_set()


def certificate(user, *groups):
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    now = datetime.now(UTC)
    pair = issue_client(make_ca("ca", now), user, groups, now)
    return x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)


def test_caller():
    assert caller_of(certificate("bob", "a", "b")) == Caller("bob", ("a", "b"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/stats/summary", "stats"), ("/metrics/resource", "metrics"), ("/exec/a/b/c", "proxy")],
)
def test_subresource(path, expected):
    assert subresource_of(path) == expected


async def test_access():
    client = Client(InProcessTransport(FakeApi().handler))
    access = Access(client, "n1", FakeClock())
    with pytest.raises(Unauthorized):
        await access.check(Request("GET", "/pods"))
    with pytest.raises(Unauthorized):
        await access.check(Request("GET", "/pods", headers={"authorization": "Bearer stranger"}))
    with pytest.raises(Forbidden):
        await access.check(Request("GET", "/pods", peer_certificate=certificate("bob")))
    admin = await access.check(Request("GET", "/pods", peer_certificate=certificate("x", "system:masters")))
    assert admin.name == "x"
    await client.close()
