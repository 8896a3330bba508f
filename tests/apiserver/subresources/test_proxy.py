"""Every method and path through ``proxy`` of pods and Services, plain and over TLS; redirects and pages."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from tests.apiserver.subresources.streaming_kubelet import read

from tiphys.apiserver.subresources import proxy
from tiphys.apiserver.subresources.proxy import passed_path, split_path
from tiphys.wire import pki
from tiphys.wire.http1 import encode_head
from tiphys.wire.message import RepeatedHeaders, Request, Response
from tiphys.wire.server import serve

PODS, SERVICES = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/services"
GRANTS = ("Credentials", "Headers", "Methods", "Origin")
LINK = b'<a href="/rewriteme">test</a>'


async def _unsized() -> AsyncIterator[bytes]:
    yield b"four"


async def echo(request: Request) -> Response:
    """Say what was asked; ``/page`` is a page, ``/away`` redirects."""
    if request.path == "/page":
        return Response(200, {"Content-Type": "text/html; charset=utf-8"}, LINK)
    if request.path == "/packed":
        headers = {"Content-Type": "text/html", "Content-Encoding": "gzip"}
        return Response(200, headers, gzip.compress(LINK))
    if request.path == "/away":
        return Response(302, {"Location": f"/there?from={request.raw_query}"})
    if request.path == "/sized":
        return Response(200, {"Content-Type": "text/plain"}, b"four")
    if request.path == "/unsized":
        return Response(200, {"Content-Type": "text/plain"}, stream=_unsized())
    if request.path == "/strange":
        return Response(200, {"Content-Type": "text/html", "Content-Encoding": "br"}, LINK)
    if request.path == "/headers":
        headers = RepeatedHeaders({"Set-Cookie": "a=1; Path=/", "Connection": "X-Hop", "X-Hop": "1"})
        headers.repeat("Set-Cookie", "b=2, x")
        headers |= {f"Access-Control-Allow-{what}": "*" for what in GRANTS}
        headers |= {"Proxy-Authenticate": "Basic", "Content-Disposition": 'filename="ü"'}
        return Response(200, headers, b"{}")
    if request.path == "/empty":
        return Response(204)
    said = {
        "method": request.method,
        "path": request.path,
        "query": request.raw_query,
        "body": request.body.decode(),
        "uri": request.headers.get("x-forwarded-uri", ""),
        "token": request.headers.get("authorization", ""),
        **{name: request.headers[name] for name in ("x-own", "x-hop") if name in request.headers},
    }
    return Response(200, {"Content-Type": "application/json"}, orjson.dumps(said))


@dataclass(frozen=True)
class Ports:
    plain: int
    secure: int


@pytest.fixture
async def ports(api: Any, make_pod: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ports]:
    """A pod and a Service that stand for two servers on loopback, where nobody is led otherwise."""
    monkeypatch.setattr(proxy, "is_reachable", bool)
    now = datetime.now(UTC)
    authority = pki.make_ca("test", now)
    context = pki.server_context(pki.issue_server(authority, "x", ["localhost"], now), authority.certificate)
    async with serve(echo, grace_s=0.1) as plain, serve(echo, ssl_context=context, grace_s=0.1) as secure:
        found = Ports(plain.port, secure.port)
        wanted = make_pod("web", nodeName="n1")
        wanted["spec"]["containers"][0]["ports"] = [{"containerPort": found.plain}]
        made = await api.create(PODS, wanted)
        made["status"] |= {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
        await api.put(PODS + "/web/status", made)
        entries = [{"name": "http", "port": 80}, {"name": "tls", "port": 443}]
        await api.create(SERVICES, {"metadata": {"name": "web"}, "spec": {"ports": entries}})
        served = [{"name": "http", "port": found.plain}, {"name": "tls", "port": found.secure}]
        pod = {"kind": "Pod", "namespace": "default", "name": "web"}
        subset = {"addresses": [{"ip": "127.0.0.1", "targetRef": pod}], "ports": served}
        # Loopback is no address that clients may write: the object is there as an old one would be.
        row = api.server.table.by_path("", "v1", "endpoints")
        meta = {"name": "web", "namespace": "default", "uid": "u"}
        endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": [subset]}
        await api.server.objects.create(row, endpoints)
        yield found


def roads(ports: Ports) -> list[str]:
    return [
        f"{PODS}/web/proxy",
        f"{PODS}/web:{ports.plain}/proxy",
        f"{PODS}/http:web:{ports.plain}/proxy",
        f"{PODS}/https:web:{ports.secure}/proxy",
        f"{SERVICES}/web:http/proxy",
        f"{SERVICES}/web:80/proxy",
        f"{SERVICES}/http:web:http/proxy",
        f"{SERVICES}/https:web:tls/proxy",
        f"{SERVICES}/https:web:443/proxy",
    ]


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@pytest.mark.parametrize("method", METHODS)
async def test_methods_with_a_path(api: Any, ports: Ports, method: str) -> None:
    body = b"hello" if method in ("POST", "PUT", "PATCH") else b""
    for road in roads(ports):
        response = await api.send(method, f"{road}/some/path?x=1", body, content_type="text/plain")
        assert response.status == 200, road
        said = {
            "method": method,
            "path": "/some/path",
            "query": "x=1",
            "body": body.decode(),
            "uri": f"{road}/some/path",
            "token": "",
        }
        assert response.length == len(orjson.dumps(said))
        assert await read(response) == (b"" if method == "HEAD" else orjson.dumps(said))


@pytest.mark.parametrize("method", METHODS)
async def test_methods_without_a_path(api: Any, ports: Ports, method: str) -> None:
    for road in roads(ports)[:6]:
        response = await api.send(method, f"{road}?method={method}", b"")
        if method in ("GET", "HEAD"):
            assert (response.status, response.headers["Location"]) == (301, f"{road}/?method={method}")
        else:
            assert response.status == 200
            assert orjson.loads(await read(response))["path"] == "/"


async def test_redirects_and_pages_lead_through_the_proxy(api: Any, ports: Ports) -> None:
    for road in roads(ports):
        response = await api.send("GET", f"{road}/away?here")
        assert (response.status, response.headers["Location"]) == (302, f"{road}/there?from=here")
        await read(response)
        expected = f'<a href="{road}/rewriteme">test</a>'.encode()
        assert await read(await api.send("GET", f"{road}/page")) == expected
        assert gzip.decompress(await read(await api.send("GET", f"{road}/packed"))) == expected


async def test_headers_are_passed_on_as_they_are(api: Any, ports: Ports) -> None:
    """Each cookie by itself, texts in their own bytes, and nothing that was for the next hop alone."""
    response = await api.send("GET", f"{roads(ports)[0]}/headers")
    await read(response)
    sent = encode_head(200, response.headers, length=2, closing=False, date="", chunked=False).decode()
    assert [line for line in sent.split("\r\n") if line.startswith("Set-Cookie")] == [
        "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2, x",
    ]  # fmt: skip
    assert 'Content-Disposition: filename="ü"\r\n' in sent
    assert "Access-Control-Allow" not in sent, "what others may read is not for a pod to say"
    assert not {"connection", "x-hop", "proxy-authenticate"} & {name.lower() for name in response.headers}


async def test_what_a_client_says_to_the_next_hop_alone(api: Any, ports: Ports) -> None:
    road = f"{roads(ports)[0]}/echo"
    said = orjson.loads(
        await read(await api.send("GET", road, connection="close, X-Hop", x_hop="1", x_own="2"))
    )
    assert (said.get("x-own"), said.get("x-hop")) == ("2", None)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_few_bytes_that_stand_for_many_come_a_little_at_a_time(encoding: str) -> None:
    page = bytes(1 << 22) + LINK
    coder = proxy._Coder(encoding)
    packed = gzip.compress(page) if encoding == "gzip" else zlib.compress(page)
    pieces = [*coder.decode(packed), coder.rest()]
    assert max(map(len, pieces)) <= 1 << 16
    assert b"".join(pieces) == page


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pages_that_were_compressed_in_parts(size: int) -> None:
    coder = proxy._Coder("gzip")
    packed = gzip.compress(LINK) + gzip.compress(b"more")
    pieces = [piece for at in range(0, len(packed), size) for piece in coder.decode(packed[at : at + size])]
    assert b"".join([*pieces, coder.rest()]) == LINK + b"more"


async def test_lengths_hold_for_what_is_passed_on_as_it_is(api: Any, ports: Ports) -> None:
    road = roads(ports)[0]
    for method, path, length in (
        ("GET", "/away", 0),
        ("GET", "/sized", 4),
        ("HEAD", "/sized", 4),
        ("GET", "/unsized", None),
        ("GET", "/page", None),
        ("HEAD", "/page", None),
        ("GET", "/packed", None),
        ("GET", "/strange", len(LINK)),
        ("GET", "/empty", None),
    ):
        response = await api.send(method, road + path)
        assert response.length == length, (method, path)
        assert "content-length" not in {name.lower() for name in response.headers}
        await read(response)


async def test_answers_that_nobody_reads_are_closed(api: Any, ports: Ports) -> None:
    """Else warnings of connections left open fail the test."""
    for method, path in (("HEAD", "/sized"), ("HEAD", "/page"), ("GET", "/empty"), ("GET", "/unsized")):
        response = await api.send(method, roads(ports)[0] + path)
        await response.stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(response.stream)


SPLIT = {
    "pod": ("/api/v1/namespaces/a/pods/p/proxy", ""),
    "slash": ("/api/v1/namespaces/a/pods/p/proxy", "/"),
    "node": ("/api/v1/nodes/n:10250/proxy", "/stats/summary"),
    "a path that names it again": ("/api/v1/namespaces/a/pods/p/proxy", "/x/proxy/y"),
    "the namespace is called so": ("/api/v1/namespaces/proxy/pods/p/proxy", "/x"),
    "the namespace begins so": ("/api/v1/namespaces/proxy-1234/pods/https:p:443/proxy", "/x"),
    "the object begins so": ("/api/v1/namespaces/a/services/proxy-service-1:portname1/proxy", "/"),
    "the node is called so": ("/api/v1/nodes/proxy/proxy", "/pods"),
    "encoded": ("/api/v1/namespaces/a/services/http%3Aweb%3A80/proxy", "/a%2Fb"),
}


@pytest.mark.parametrize(("prefix", "rest"), SPLIT.values(), ids=SPLIT)
def test_what_is_passed_on(prefix: str, rest: str) -> None:
    assert split_path(prefix + rest) == (prefix, rest)


@pytest.mark.parametrize(
    ("said", "asked", "path"),
    [(None, "/a%20b", "/a%20b"), (None, "", "/"), ("/c d", "/a", "/c%20d"), ("c", "", "/c"), ("", "/a", "/")],
)
def test_the_path_that_admission_says(said: str | None, asked: str, path: str) -> None:
    request = Request("GET", "/x", "", {}, b"")
    if said is not None:
        request.scope["proxied_path"] = said
    assert passed_path(request, asked) == path


async def test_objects_that_are_called_proxy(api: Any, ports: Ports, make_pod: Any) -> None:
    made = await api.create(PODS, make_pod("proxy-1", nodeName="n1"))
    made["status"] |= {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
    await api.put(PODS + "/proxy-1/status", made)
    road = f"{PODS}/proxy-1:{ports.plain}/proxy"
    said = orjson.loads(await read(await api.send("GET", f"{road}/some/path")))
    assert (said["path"], said["uri"]) == ("/some/path", f"{road}/some/path")
    assert await read(await api.send("GET", f"{road}/page")) == (
        f'<a href="{road}/rewriteme">test</a>'.encode()
    )
    assert (await api.send("GET", f"{road}?method=GET")).headers["Location"] == f"{road}/?method=GET"


NOWHERE = {
    "no such port": (f"{SERVICES}/web:other/proxy/", 503, 'no endpoints available for service "web:other"'),
    "which of the ports": (f"{SERVICES}/web/proxy/", 503, 'no endpoints available for service "web"'),
    "scheme": (f"{SERVICES}/ftp:web:80/proxy/", 400, 'invalid service request "ftp:web:80"'),
    "no such number": (f"{SERVICES}/web:81/proxy/", 503, 'no service port 81 found for service "web"'),
    "nobody": (f"{SERVICES}/none/proxy/", 404, 'endpoints "none" not found'),
    "nobody's port": (f"{SERVICES}/none:80/proxy/", 404, 'services "none" not found'),
}


@pytest.mark.parametrize(("path", "status", "text"), NOWHERE.values(), ids=NOWHERE)
async def test_nowhere(api: Any, ports: Ports, path: str, status: int, text: str) -> None:
    answer = await api("GET", path)
    assert (answer.status, answer.message) == (status, text)


ADDRESSES = {
    "10.1.2.3": True, "2001:db8::1": True, "": False, "web": False, "127.0.0.1": False, "::1": False,
    "169.254.169.254": False, "fe80::1": False, "224.0.0.1": False, "255.255.255.255": False,
    "0.0.0.0": False, "::": False, "::ffff:10.1.2.3": True, "::ffff:127.0.0.1": False,
    "::ffff:169.254.169.254": False, "::ffff:255.255.255.255": False, "::ffff:0.0.0.0": False,
}  # fmt: skip


@pytest.mark.parametrize(("address", "reachable"), ADDRESSES.items())
def test_where_clients_are_led(address: str, reachable: bool) -> None:
    assert proxy.is_reachable(address) is reachable


async def test_a_pod_that_says_it_is_the_server(api: Any, make_pod: Any) -> None:
    made = await api.create(PODS, make_pod("web", nodeName="n1"))
    made["status"] |= {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
    await api.put(PODS + "/web/status", made)
    answer = await api("GET", f"{PODS}/web/proxy/")
    assert (answer.status, answer.message) == (400, "address not allowed")


@pytest.mark.parametrize(
    "reference",
    [
        None,
        {"kind": "Pod", "namespace": "other", "name": "web"},
        {"kind": "Pod", "namespace": "default", "name": "none"},
        {"kind": "Pod", "namespace": "default", "name": "moved"},
    ],
    ids=["nobody", "another namespace", "no pod", "another address"],
)
async def test_endpoints_that_are_no_pods(api: Any, make_pod: Any, reference: Any) -> None:
    """Who may write endpoints has not thereby a way to whatever address the server reaches."""
    made = await api.create(PODS, make_pod("moved", nodeName="n1"))
    made["status"] |= {"podIP": "10.1.2.4", "podIPs": [{"ip": "10.1.2.4"}]}
    await api.put(PODS + "/moved/status", made)
    address = {"ip": "10.1.2.3"} | ({"targetRef": reference} if reference else {})
    subsets = [{"addresses": [address], "ports": [{"port": 80}]}]
    path = "/api/v1/namespaces/default/endpoints"
    await api.create(path, {"metadata": {"name": "web"}, "subsets": subsets})
    answer = await api("GET", f"{SERVICES}/web/proxy/")
    assert (answer.status, answer.message) == (503, 'no endpoints available for service "web"')


@pytest.mark.parametrize("port", ["1" * 5000, "\u00b2", "\u0661"], ids=["long", "raised", "Arabic"])
async def test_a_port_that_only_looks_like_a_number_is_a_name(api: Any, ports: Ports, port: str) -> None:
    made = await api.create(
        PODS, {"metadata": {"name": "odd"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    )
    made["status"] = {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
    await api.put(f"{PODS}/odd/status", made)
    answer = await api("GET", f"{PODS}/odd:{port}/proxy/x")
    assert (answer.status, answer.message) == (400, f'no container port named "{port}" in pod "odd"')
