"""A component's endpoint: open health, guarded metrics, and what they count."""

import asyncio
import contextlib
import socket
import ssl

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tiphys.apimachinery.clock import FakeClock, RealClock
from tiphys.apimachinery.families import GaugeMetricFamily
from tiphys.apimachinery.featuregates import parse, resolve
from tiphys.client import endpoint as endpoints
from tiphys.client import metrics
from tiphys.client.delegated import DelegatedOptions
from tiphys.client.endpoint import ComponentEndpoint, EndpointOptions, with_endpoint
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.client.workqueue import WorkQueue
from tiphys.wire import pki, serving_files
from tiphys.wire.message import Request, Response


class Reviews:
    """An API server that knows one token and what its user may."""

    def __init__(self):
        self.allowed = True
        self.asked = 0

    async def __call__(self, request):
        self.asked += 1
        body = orjson.loads(request.body)
        if request.path.endswith("tokenreviews"):
            good = body["spec"]["token"] == "good"
            status = {"authenticated": good, "user": {"username": "alice", "groups": ["g"]}}
        else:
            self.question = body["spec"]
            status = {"allowed": self.allowed and body["spec"]["user"] == "alice"}
        answer = orjson.dumps({**body, "status": status})
        return Response(201, {"content-type": "application/json"}, answer)


@pytest.fixture
async def world():
    reviews, clock = Reviews(), FakeClock()
    client = Client(InProcessTransport(reviews))
    options = EndpointOptions(
        flags={"secure-port": "10259", "leader-elect": "true"},
        configuration={"a.config.k8s.io": {"kind": "A"}},
    )
    yield reviews, clock, ComponentEndpoint("kube-scheduler", client, clock, options)
    await client.close()


def get(path, token=""):
    return Request("GET", path, headers={"authorization": f"Bearer {token}"} if token else {})


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [("/healthz", "", 200), ("/livez", "", 200), ("/readyz", "", 200), ("/metrics", "", 403),
     ("/metrics", "bad", 401), ("/metrics", "good", 200), ("/other", "good", 404), ("/other", "", 403),
     ("/healthz/ping", "good", 200), ("/healthz/pong", "good", 404), ("/flagz", "", 403),
     ("/configz", "", 403), ("/statusz", "", 403), ("/statusz", "good", 200)],
)  # fmt: skip
async def test_who_may_read_what(world, path, token, status):
    _, _, endpoint = world
    assert (await endpoint.handle(get(path, token))).status == status


@pytest.mark.parametrize(
    ("path", "token", "protocol", "sent_away"),
    [
        ("/metrics", "", "HTTP/2.0", True),
        ("/metrics", "bad", "HTTP/2.0", True),
        ("/metrics", "good", "HTTP/2.0", False),
        ("/metrics", "", "HTTP/1.1", False),
        ("/healthz", "", "HTTP/2.0", True),
        ("/healthz", "good", "HTTP/2.0", False),
    ],
)
async def test_strangers_keep_no_connection_of_http2(world, path, token, protocol, sent_away):
    _reviews, clock, endpoint = world
    request = get(path, token)
    request.protocol = protocol
    assert ((await endpoint.handle(request)).headers.get("connection") == "close") is sent_away
    gates = resolve(parse("UnauthenticatedHTTP2DOSMitigation=false"))
    lenient = ComponentEndpoint("kube-scheduler", endpoint._client, clock, EndpointOptions(gates=gates))
    request = get(path, token)
    request.protocol = protocol
    assert "connection" not in (await lenient.handle(request)).headers


async def test_an_answer_is_remembered_for_a_while(world):
    reviews, clock, endpoint = world
    reviews.allowed = False
    answer = await endpoint.handle(get("/metrics", "good"))
    assert reviews.question["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
    assert (reviews.question["user"], reviews.question["groups"]) == ("alice", ["g"])
    status = orjson.loads(answer.body)
    assert (answer.status, status["kind"], status["message"]) == (
        403, "Status", 'forbidden: User "alice" cannot get path "/metrics"'
    )  # fmt: skip
    reviews.allowed = True
    asked = reviews.asked
    assert (await endpoint.handle(get("/metrics", "good"))).status == 403
    assert reviews.asked == asked
    clock.advance(11)
    assert (await endpoint.handle(get("/metrics", "good"))).status == 200


async def test_who_shows_nothing_is_anonymous(world):
    reviews, _, endpoint = world
    answer = await endpoint.handle(get("/metrics"))
    assert reviews.question["user"] == "system:anonymous"
    assert reviews.question["groups"] == ["system:unauthenticated"]
    assert orjson.loads(answer.body)["message"] == (
        'forbidden: User "system:anonymous" cannot get path "/metrics"'
    )


async def test_administrators_need_no_question(world):
    reviews, clock, endpoint = world
    authority = pki.make_ca("ca", clock.now())
    pair = pki.issue_client(authority, "admin", ["system:masters"], clock.now())
    der = x509.load_pem_x509_certificate(pair.certificate).public_bytes(serialization.Encoding.DER)
    endpoint.trust(authority.certificate)
    request = Request("GET", "/metrics", shown_certificates=(der,))
    assert (await endpoint.handle(request)).status == 200
    assert reviews.asked == 0


async def test_without_an_api_server_nobody_is_let_in():
    async def away(_):
        raise TransportError("away")

    client = Client(InProcessTransport(away))
    endpoint = ComponentEndpoint("kube-scheduler", client, FakeClock())
    assert (await endpoint.handle(get("/healthz"))).status == 200
    assert (await endpoint.handle(get("/metrics"))).status == 500
    assert (await endpoint.handle(get("/metrics", "good"))).status == 401
    await client.close()


async def test_what_may_be_open_is_an_option():
    async def away(_):
        raise TransportError("away")

    client = Client(InProcessTransport(away))
    options = EndpointOptions(access=DelegatedOptions(open_paths=("/healthz/*", "/metrics")))
    endpoint = ComponentEndpoint("kube-scheduler", client, FakeClock(), options)
    for path, status in (("/metrics", 200), ("/healthz/ping", 200), ("/livez", 500)):
        assert (await endpoint.handle(get(path))).status == status
    await client.close()


async def test_what_it_was_started_with_is_shown(world):
    _, clock, endpoint = world
    clock.advance(3723)
    flags = (await endpoint.handle(get("/flagz", "good"))).body.decode()
    assert flags.startswith(
        "\nkube-scheduler flags\nWarning: This endpoint is not meant to be machine parseable"
    )
    assert flags.endswith("\nleader-elect=true\nsecure-port=10259\n")
    status = (await endpoint.handle(get("/statusz", "good"))).body.decode()
    assert "Up: 1 hr 02 min 03 sec\n" in status
    assert "Binary version: 1.36.0\n" in status
    config = await endpoint.handle(get("/configz", "good"))
    assert orjson.loads(config.body) == {"a.config.k8s.io": {"kind": "A"}}


async def test_health_says_what_was_looked_at(world):
    _, _, endpoint = world
    answer = await endpoint.handle(Request("GET", "/readyz", raw_query="verbose"))
    assert answer.body == b"[+]ping ok\nreadyz check passed\n"


@pytest.mark.parametrize(
    ("path", "query", "status", "body"),
    [
        ("/healthz", "", 500, "[+]a ok\n[-]b failed: reason withheld\nhealthz check failed\n"),
        ("/healthz/a", "", 200, "ok"),
        ("/healthz/b", "exclude=b", 500, "internal server error: gone\n"),
        ("/healthz", "exclude=b", 200, "ok"),
        ("/healthz", "exclude=b&verbose", 200, "[+]a ok\n[+]b excluded: ok\nhealthz check passed\n"),
        ("/livez", "", 200, "ok"),
        ("/livez/b", "", 404, "404 page not found\n"),
    ],
)
async def test_checks_of_a_component(path, query, status, body):
    client = Client(InProcessTransport(Reviews()))
    checks = {"healthz": {"a": None, "b": "gone"}, "livez": {"a": None}}
    made = ComponentEndpoint("kube-scheduler", client, FakeClock(), checks=checks.__getitem__)
    headers = {"authorization": "Bearer good"}
    answer = await made.handle(Request("GET", path, raw_query=query, headers=headers))
    assert (answer.status, answer.body.decode()) == (status, body)
    await client.close()


async def test_the_clusters_client_certificates_are_believed(monkeypatch):
    """The authority is in a ConfigMap; a handshake before it was read just has no client certificate."""
    monkeypatch.setattr(endpoints, "_LOOKUP_S", 0.005)
    clock = RealClock()
    authority, other = (pki.make_ca("clients", clock.now()) for _ in range(2))
    pair, later = (
        pki.issue_client(one, "admin", ["system:masters"], clock.now()) for one in (authority, other)
    )
    told, proxies = [authority], pki.make_ca("proxies", clock.now())
    proxy = x509.load_pem_x509_certificate(pki.issue_client(proxies, "proxy", (), clock.now()).certificate)
    spoken = Request(
        "GET",
        "/metrics",
        headers={"x-user": "root", "x-remote-group": "system:masters"},
        shown_certificates=(proxy.public_bytes(serialization.Encoding.DER),),
    )

    async def cluster(request):
        assert request.path.endswith("/namespaces/kube-system/configmaps/extension-apiserver-authentication")
        data = {"client-ca-file": told[0].certificate.decode()}
        data["requestheader-client-ca-file"] = proxies.certificate.decode()
        body = orjson.dumps({"data": {**data, "requestheader-username-headers": '["X-User"]'}})
        return Response(200, {"content-type": "application/json"}, body)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client = Client(InProcessTransport(cluster))
    endpoint = ComponentEndpoint("kube-scheduler", client, clock, EndpointOptions(port=port))
    running = asyncio.create_task(endpoint.run())
    try:
        await _until(port, _shows(pair), b"200")
        told[0] = other
        await _until(port, _shows(later), b"200")
        assert await _status(port, _shows(pair)) == b"401"
        assert (await endpoint.handle(spoken)).status == 200
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await client.close()


async def test_files_that_are_written_anew(tmp_path, monkeypatch):
    """Another certificate is shown, other clients are believed, without a restart."""
    monkeypatch.setattr(serving_files, "_LOOK_S", 0.005)
    clock = RealClock()
    authority, other = (pki.make_ca(name, clock.now()) for name in ("one", "other"))
    pair, later = (
        pki.issue_client(one, "admin", ["system:masters"], clock.now()) for one in (authority, other)
    )
    certificate, key, bundle = (tmp_path / name for name in ("tls.crt", "tls.key", "ca.crt"))
    pki.issue_server(authority, "localhost", ["localhost"], clock.now()).write(certificate, key)
    bundle.write_bytes(authority.certificate)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client = Client(InProcessTransport(None))
    options = EndpointOptions(
        port=port, certificate=certificate, key=key, client_ca=bundle, look_up_client_ca=False
    )
    running = asyncio.create_task(ComponentEndpoint("kube-scheduler", client, clock, options).run())
    try:
        await _until(port, _shows(pair), b"200")
        assert await _status(port, _shows(later)) == b"401"
        bundle.write_bytes(other.certificate)
        await _until(port, _shows(later), b"200")
        assert await _status(port, _shows(pair)) == b"401"
        pki.issue_server(other, "localhost", ["localhost"], clock.now()).write(certificate, key)
        demanding = ssl.create_default_context(cadata=other.certificate.decode())
        demanding.check_hostname = False
        pki.load_pair(demanding, later)
        await _until(port, demanding, b"200")
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await client.close()


def _shows(pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    pki.load_pair(context, pair)
    return context


async def _until(port, context, status):
    async with asyncio.timeout(10):
        while await _status(port, context) != status:  # noqa: ASYNC110 - another process would poll too
            await asyncio.sleep(0.01)


async def _status(port, context):
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        line = await reader.readline()
        writer.close()
        return line.split()[1] if line else b""
    except OSError:
        return b""


async def test_queues_are_counted():
    clock = FakeClock()
    queue = WorkQueue("counted-queue", clock=clock)
    for key in ("a", "b", "a"):
        queue.add(key)

    def lines():
        text = metrics.render("any").decode().splitlines()
        rows = [
            line.rsplit(" ", 1) for line in text if 'name="counted-queue"' in line and "bucket" not in line
        ]
        return {name.split("{")[0]: float(value) for name, value in rows}

    assert lines()["workqueue_adds_total"] == 2.0
    assert lines()["workqueue_depth"] == 2.0
    clock.advance(3)
    key = await queue.get()
    clock.advance(2)
    queue.done(key)
    queue.add_rate_limited(key)
    found = lines()
    assert found["workqueue_queue_duration_seconds_sum"] == 3.0
    assert found["workqueue_work_duration_seconds_sum"] == 2.0
    assert (found["workqueue_retries_total"], found["workqueue_depth"]) == (1.0, 1.0)
    queue.close()


async def test_the_endpoint_ends_with_the_work(world):
    _, _, endpoint = world
    done = []

    async def work():
        await asyncio.sleep(0)
        done.append(True)

    await with_endpoint(endpoint, work())
    assert done == [True]


async def test_health_by_itself_is_for_whom_may_read_metrics(world):
    _, _, endpoint = world
    await endpoint.handle(get("/livez/ping", "good"))
    assert (await endpoint.handle(get("/metrics/slis"))).status in (401, 403)
    answer = await endpoint.handle(get("/metrics/slis", "good"))
    assert b'kubernetes_healthcheck{name="ping",type="livez"} 1' in answer.body


async def test_families_apart_have_a_path_of_their_own(world):
    reviews, clock, endpoint = world
    client = Client(InProcessTransport(reviews))
    family = GaugeMetricFamily("apart", "[STABLE] Alone.", value=1)
    endpoint = ComponentEndpoint(
        "kube-scheduler", client, clock, shown={"/metrics/resources": lambda: [family]}
    )
    assert (await endpoint.handle(get("/metrics/resources"))).status == 403
    found = await endpoint.handle(get("/metrics/resources", "good"))
    assert (found.status, found.body.decode().splitlines()[-1]) == (200, "apart 1")
    assert "/metrics/resources" in (await endpoint.handle(get("/statusz", "good"))).body.decode()
    await client.close()
