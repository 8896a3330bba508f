"""Connections through each kind of proxy: what arrives, what is said of failures, what is counted."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.apiserver.egress.proxies import Asked, Konnectivity, connect_proxy

from tiphys.apimachinery import tracing
from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.config_files import BadConfiguration
from tiphys.apiserver.egress import konnectivity, tunnels
from tiphys.apiserver.egress.config import Selection
from tiphys.apiserver.egress.konnectivity import CLOSE_REQ, DIAL_CLS, DIAL_REQ
from tiphys.apiserver.egress.selector import EgressSelector
from tiphys.wire import client, pki
from tiphys.wire.dial import Tunnel
from tiphys.wire.message import ByteStream, Request, Response
from tiphys.wire.server import Server, serve

DEADLINE_S = 60
CLOCK = RealClock()
CA = pki.make_ca("ca", CLOCK.now())
OTHER_CA = pki.make_ca("other", CLOCK.now())
PAIR = pki.issue_server(CA, "server", ["127.0.0.1"], CLOCK.now())
CLIENT = pki.issue_client(CA, "kube-apiserver", (), CLOCK.now())
LARGE = bytes(range(256)) * 8_000
WAYS = {
    "TCP": ("http_connect", "tcp"),
    "TLS": ("http_connect", "tcp"),
    "unix": ("http_connect", "uds"),
    "gRPC": ("grpc", "uds"),
}


async def app(request: Request) -> Response:
    if request.path == "/echo":
        return Response(101, {"Connection": "Upgrade", "Upgrade": "raw"}, upgrade=echo)
    return Response(200, {}, request.body or LARGE)


async def echo(stream: ByteStream) -> None:
    while data := await stream.read():
        await stream.write(data)


def trusting(ca: pki.KeyPair = CA) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=ca.certificate.decode())


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The files of certificates that a selection names."""
    (tmp_path / "ca.crt").write_bytes(CA.certificate)
    CLIENT.write(tmp_path / "client.crt", tmp_path / "client.key")
    return {
        "ca_file": str(tmp_path / "ca.crt"),
        "certificate_file": str(tmp_path / "client.crt"),
        "key_file": str(tmp_path / "client.key"),
    }


class Way:
    """A selector with a proxy of one kind before the cluster, and a server behind it."""

    def __init__(self, selector: EgressSelector, asked: Asked, servers: dict[bool, Server]) -> None:
        self.selector, self.asked, self.servers = selector, asked, servers

    @property
    def tunnel(self) -> Tunnel:
        assert self.selector.cluster is not None
        return self.selector.cluster

    async def send(
        self, method: str, path: str, *, tls: bool, body: bytes = b"", **more: str
    ) -> client.Answer:
        return await client.send(
            "127.0.0.1", self.servers[tls].port, method, path, more, body=body,
            ssl_context=trusting() if tls else None, through=self.tunnel,
        )  # fmt: skip

    def figure(self, name: str, **labels: str) -> float:
        assert self.selector.collect is not None
        found = [
            sample.value
            for family in self.selector.collect()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items() and "le" not in sample.labels
        ]
        return sum(found)


@asynccontextmanager
async def leading(kind: str, tmp_path: Path, files: dict[str, str]) -> AsyncIterator[Way]:
    asked, socket = Asked(), tmp_path / "proxy.sock"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(DEADLINE_S))
        if kind == "gRPC":
            await stack.enter_async_context(Konnectivity(asked).serving(socket))
            one = Selection("cluster", "GRPC", socket=str(socket))
        elif kind == "unix":
            await stack.enter_async_context(connect_proxy(asked, path=socket))
            one = Selection("cluster", "HTTPConnect", socket=str(socket))
        elif kind == "TLS":
            context = pki.server_context(PAIR, CA.certificate)
            context.verify_mode = ssl.CERT_REQUIRED
            port = await stack.enter_async_context(connect_proxy(asked, context=context))
            one = Selection("cluster", "HTTPConnect", f"https://127.0.0.1:{port}", **files)
        else:
            port = await stack.enter_async_context(connect_proxy(asked))
            one = Selection("cluster", "HTTPConnect", f"http://127.0.0.1:{port}")
        servers = {
            tls: await stack.enter_async_context(
                serve(app, ssl_context=pki.server_context(PAIR, None) if tls else None, grace_s=0.1)
            )
            for tls in (False, True)
        }
        selector = tunnels.make([one], CLOCK)
        stack.push_async_callback(selector.close)
        yield Way(selector, asked, servers)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("kind", WAYS)
async def test_requests_go_through(kind: str, tls: bool, tmp_path: Path, files: dict[str, str]) -> None:
    async with leading(kind, tmp_path, files) as way:
        answer = await way.send("GET", "/", tls=tls)
        assert (answer.status, await answer.read()) == (200, LARGE)
        await answer.close()
        answer = await way.send("POST", "/", tls=tls, body=LARGE[::-1])
        assert await answer.read() == LARGE[::-1]
        await answer.close()
        assert way.asked.addresses == [f"127.0.0.1:{way.servers[tls].port}"] * 2
        labels = dict(zip(("protocol", "transport"), WAYS[kind], strict=True))
        assert way.figure("apiserver_egress_dialer_dial_start_total", **labels) == 2
        assert way.figure("apiserver_egress_dialer_dial_duration_seconds_count", **labels) == 2
        assert way.figure("apiserver_egress_dialer_dial_failure_count") == 0


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("kind", WAYS)
async def test_upgrades_go_through_and_end(
    kind: str, tls: bool, tmp_path: Path, files: dict[str, str]
) -> None:
    async with leading(kind, tmp_path, files) as way:
        answer = await way.send("GET", "/echo", tls=tls, Connection="Upgrade", Upgrade="raw")
        assert answer.status == 101
        await answer.raw.write(b"one")
        assert await answer.raw.read() == b"one"
        await answer.close()
        await way.asked.closed.wait()


async def test_each_dial_is_a_span(tmp_path: Path, files: dict[str, str]) -> None:
    spans: list[tracing.Span] = []
    tracer = tracing.Tracer(tracing.MILLION, CLOCK, spans.append)
    async with leading("unix", tmp_path, files) as way:
        with tracer.span("request") as span, tracing.present(span):
            await (await way.send("GET", "/", tls=False)).close()
    assert [span.name for span in spans] == ["Proxy via http_connect protocol over uds", "request"]
    assert spans[0].attributes == {"address": way.asked.addresses[0]}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
            "proxy error from {proxy} while dialing 10.0.0.1:10250, code 503: 503 Service Unavailable",
        ),
        (
            b"HTTP/1.1 200 OK\r\n\r\nhello",
            'unexpected 5 bytes of buffered data from CONNECT proxy "{proxy}"',
        ),
        (
            b"",
            "reading HTTP response from CONNECT to 10.0.0.1:10250 via proxy {proxy} failed: unexpected EOF",
        ),
        (
            b"SSH-2.0-OpenSSH\r\n\r\n",
            "reading HTTP response from CONNECT to 10.0.0.1:10250 via proxy {proxy} failed: "
            'malformed HTTP response "SSH-2.0-OpenSSH"',
        ),
    ],
)
@pytest.mark.parametrize("kind", ["TCP", "TLS", "unix"])
async def test_proxies_that_refuse(
    kind: str, answer: bytes, text: str, tmp_path: Path, files: dict[str, str]
) -> None:
    async with leading(kind, tmp_path, files) as way:
        way.asked.answer = answer
        with pytest.raises(client.ConnectFailed) as caught:
            await client.send("10.0.0.1", 10250, "GET", "/", {}, through=way.tunnel)
        proxy: Any = getattr(way.tunnel, "_proxy")  # noqa: B009
        named = proxy.path if kind == "unix" else f"127.0.0.1:{proxy.port}"
        assert str(caught.value) == text.format(proxy=named)
        assert way.figure("apiserver_egress_dialer_dial_failure_count", stage="proxy") == 1
        assert way.figure("apiserver_egress_dialer_dial_duration_seconds_count") == 0


async def refusal(one: Selection, stage: str, reason: str = "") -> str:
    """Return what is said of a connection that fails."""
    selector = tunnels.make([one], CLOCK)
    assert selector.cluster is not None
    assert selector.collect is not None
    try:
        with pytest.raises(client.ConnectFailed) as caught:
            await client.send("10.0.0.1", 10250, "GET", "/", {}, through=selector.cluster)
        samples = [sample for family in selector.collect() for sample in family.samples if sample.value == 1]
        failed = [one.labels["stage"] for one in samples if one.name.endswith("dial_failure_count")]
        assert failed == [stage]
        reasons = [one.labels["reason"] for one in samples if "reason" in one.labels]
        assert reasons == ([reason] if reason else [])
    finally:
        await selector.close()
    return str(caught.value)


async def test_proxies_that_are_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "nobody.sock")
    unix = Selection("cluster", "HTTPConnect", socket=path)
    assert await refusal(unix, "connect") == f"dial unix {path}: connect: no such file or directory"
    grpc = Selection("cluster", "GRPC", socket=path)
    assert await refusal(grpc, "connect") == (
        'connection error: desc = "transport: error while dialing: '
        f'dial unix {path}: connect: no such file or directory"'
    )
    async with connect_proxy(Asked()) as port:
        tcp = Selection("cluster", "HTTPConnect", f"http://127.0.0.1:{port}")
    assert await refusal(tcp, "connect") == f"dial tcp 127.0.0.1:{port}: connect: connection refused"


async def test_a_proxy_that_is_not_believed(files: dict[str, str]) -> None:
    pair = pki.issue_server(OTHER_CA, "server", ["127.0.0.1"], CLOCK.now())
    named = pki.issue_server(CA, "server", ["proxy.example"], CLOCK.now())
    texts = {
        "certificate signed by unknown authority": pair,
        "cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs": named,
    }
    for text, shown in texts.items():
        async with serve(app, ssl_context=pki.server_context(shown, None), grace_s=0.1) as server:
            one = Selection("cluster", "HTTPConnect", f"https://127.0.0.1:{server.port}", **files)
            assert await refusal(one, "connect") == (f"tls: failed to verify certificate: x509: {text}")
    asked = Asked(answer=b"HTTP/1.1 403 Forbidden\r\n\r\n")
    async with connect_proxy(asked, context=pki.server_context(named, None)) as port:
        url = f"https://127.0.0.1:{port}"
        one = Selection("cluster", "HTTPConnect", url, server_name="proxy.example", **files)
        assert (await refusal(one, "proxy")).endswith("code 403: 403 Forbidden")


@pytest.mark.parametrize(
    ("said", "text", "reason"),
    [
        ({"error": "no route to host"}, "no route to host", "endpoint"),
        ({"refuses": True}, "dial closed", "dialclosed"),
    ],
)
async def test_konnectivity_that_refuses(said: Any, text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    async with Konnectivity(Asked(), **said).serving(path):
        assert await refusal(Selection("cluster", "GRPC", socket=str(path)), "proxy", reason) == text


async def test_konnectivity_is_told_that_nobody_waits_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(konnectivity, "_LAST_S", DEADLINE_S)
    path, proxy = tmp_path / "proxy.sock", Konnectivity(Asked(), silent=True)
    async with asyncio.timeout(DEADLINE_S), proxy.serving(path):
        selector = tunnels.make([Selection("cluster", "GRPC", socket=str(path))], CLOCK)
        assert selector.cluster is not None
        dial = asyncio.create_task(client.send("10.0.0.1", 1, "GET", "/", {}, through=selector.cluster))
        await proxy.dialed.wait()
        dial.cancel()
        await asyncio.gather(dial, return_exceptions=True)
        await proxy.asked.closed.wait()
        assert proxy.seen == [DIAL_REQ, DIAL_CLS]
        await selector.close()


async def test_konnectivity_is_told_of_the_end(tmp_path: Path) -> None:
    path, asked = tmp_path / "proxy.sock", Asked()
    proxy = Konnectivity(asked)
    async with asyncio.timeout(DEADLINE_S), proxy.serving(path), serve(app, grace_s=0.1) as server:
        selector = tunnels.make([Selection("cluster", "GRPC", socket=str(path))], CLOCK)
        assert selector.cluster is not None
        answer = await client.send("127.0.0.1", server.port, "GET", "/", {}, through=selector.cluster)
        await answer.read()
        await answer.close()
        await asked.closed.wait()
        assert (proxy.seen[0], proxy.seen[-1]) == (DIAL_REQ, CLOSE_REQ)
        await selector.close()


async def test_the_end_of_a_server_ends_its_connections(tmp_path: Path, files: dict[str, str]) -> None:
    for kind in ("TLS", "gRPC"):
        async with leading(kind, tmp_path, files) as way:
            answer = await way.send("GET", "/echo", tls=False, Connection="Upgrade", Upgrade="raw")
            await way.selector.close()
            assert await answer.raw.read() == b""
            await answer.close()


def test_certificates_that_cannot_be_used(tmp_path: Path, files: dict[str, str]) -> None:
    junk = tmp_path / "junk"
    junk.write_text("no PEM")
    said = 'failed to setup egress selector: failed to create dialer for egressSelection "cluster": '
    for key, text in (
        ("ca_file", "failed to append CA cert to the cert pool"),
        ("key_file", f"failed to read key pair {files['certificate_file']} & {junk}, got "),
    ):
        one = Selection("cluster", "HTTPConnect", "https://127.0.0.1:1", **{**files, key: str(junk)})
        with pytest.raises(BadConfiguration) as caught:
            tunnels.make([one], CLOCK)
        assert str(caught.value).startswith(said + text)


def test_direct_selections_are_no_tunnels() -> None:
    selector = tunnels.make([Selection("etcd"), Selection("cluster")], CLOCK)
    assert selector.named("etcd") is selector.named("cluster") is selector.named("") is None
