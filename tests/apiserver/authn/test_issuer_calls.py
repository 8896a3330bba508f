"""Getting what issuers serve: where they lead, and what is said of answers that are of no use."""
# ruff: noqa: E501

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.authn import issuer_calls
from tiphys.apiserver.authn.issuer_calls import IssuerUnavailable, fetch, read_object, status_line
from tiphys.client.transport import Answer
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

JSON = {"content-type": "application/json; charset=utf-8"}


class Leading:
    """A server on two addresses of loopback that leads from path to path."""

    def __init__(self) -> None:
        self.url = self.other = self.ca = ""
        self.to: dict[str, tuple[int, str]] = {}
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, request: Request) -> Response:
        self.asked.append((request.path, request.headers.get("authorization", "")))
        status, location = self.to.get(request.path, (200, ""))
        return Response(status, {"location": location} if location else {}, request.path.encode())


@pytest.fixture
async def leading() -> AsyncIterator[Leading]:
    now = RealClock().now()
    ca = pki.make_ca("issuer-ca", now)
    pair = pki.issue_server(ca, "issuer", ["127.0.0.1", "127.0.0.2"], now)
    found = Leading()
    context = pki.server_context(pair, None)
    async with (
        serve(found, ssl_context=context, grace_s=0.1) as server,
        serve(found, host="127.0.0.2", ssl_context=context, grace_s=0.1) as other,
    ):
        found.url, found.ca = f"https://127.0.0.1:{server.port}", ca.certificate.decode()
        found.other = f"https://127.0.0.2:{other.port}"
        yield found


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_what_lies_elsewhere_now(leading: Leading, status: int) -> None:
    leading.to = {"/a": (status, "/b"), "/b": (status, f"{leading.url}/c")}
    answer = await fetch(f"{leading.url}/a", leading.ca, {"Authorization": "Bearer t"})
    assert (answer.status, answer.body) == (200, b"/c")
    assert leading.asked == [("/a", "Bearer t"), ("/b", "Bearer t"), ("/c", "Bearer t")]


async def test_another_host_is_not_told_the_token(leading: Leading) -> None:
    leading.to = {"/a": (302, f"{leading.other}/b"), "/b": (302, f"{leading.url}/c")}
    assert (await fetch(f"{leading.url}/a", leading.ca, {"Authorization": "Bearer t"})).body == b"/c"
    assert leading.asked == [("/a", "Bearer t"), ("/b", ""), ("/c", "")]


async def test_one_that_leads_on_and_on(leading: Leading) -> None:
    leading.to = {"/a": (302, "/a")}
    with pytest.raises(IssuerUnavailable) as caught:
        await fetch(f"{leading.url}/a", leading.ca, {})
    assert str(caught.value) == f'Get "{leading.url}/a": stopped after 10 redirects'
    assert len(leading.asked) == 10


@pytest.mark.parametrize(("status", "location"), [(302, ""), (304, "/b"), (200, "/b")])
async def test_answers_that_lead_nowhere(leading: Leading, status: int, location: str) -> None:
    leading.to = {"/a": (status, location)}
    assert (await fetch(f"{leading.url}/a", leading.ca, {})).status == status


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://127.0.0.1:1/x", "dial tcp 127.0.0.1:1: connect: connection refused"),
        ("ftp://127.0.0.1/x", 'unsupported protocol scheme "ftp"'),
        ("nonsense", 'unsupported protocol scheme ""'),
        ("http://127.0.0.1:1/x", 'unsupported protocol scheme "http"'),
    ],
)
async def test_where_nobody_answers(url: str, why: str) -> None:
    with pytest.raises(IssuerUnavailable) as caught:
        await fetch(url, "", {})
    assert str(caught.value) == f'Get "{url}": {why}'


async def test_one_whose_certificate_is_not_believed(leading: Leading) -> None:
    url = f"{leading.url}/a"
    with pytest.raises(IssuerUnavailable) as caught:
        await fetch(url, "", {})
    assert str(caught.value) == (
        f'Get "{url}": tls: failed to verify certificate: x509: certificate signed by unknown authority'
    )


BODIES = {
    "no JSON": (
        JSON, b"nope",
        "got Content-Type = application/json, but could not unmarshal as JSON: invalid character 'o' in literal null (expecting 'u')",
    ),
    "a page": (
        {"content-type": "text/html"}, b"<html>",
        "expected Content-Type = application/json, got \"text/html\": invalid character '<' looking for beginning of value",
    ),
    "nothing": ({}, b"", 'expected Content-Type = application/json, got "": unexpected end of JSON input'),
    "a list": (
        JSON, b"[]",
        "got Content-Type = application/json, but could not unmarshal as JSON: json: cannot unmarshal array into Go value of type x.Y",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("headers", "body", "why"), BODIES.values(), ids=BODIES)
def test_bodies_that_are_no_object(headers: dict[str, str], body: bytes, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_object(Answer(200, headers, body), "x.Y")
    assert str(caught.value) == why


def test_an_object_whatever_it_is_called() -> None:
    assert read_object(Answer(200, {"content-type": "text/plain"}, orjson.dumps({"a": 1})), "x.Y") == {"a": 1}


@pytest.mark.parametrize(
    ("status", "line"), [(404, "404 Not Found"), (503, "503 Service Unavailable"), (599, "599")]
)
def test_statuses(status: int, line: str) -> None:
    assert status_line(Answer(status, {}, b"")) == line


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://[::1", """parse "https://[::1": missing ']' in host"""),
        ("https://127.0.0.1:ab/", 'parse "https://127.0.0.1:ab/": invalid port ":ab" after host'),
        ("https://127.0.0.1:99999/", 'Get "https://127.0.0.1:99999/": dial tcp: address 99999: invalid port'),
    ],
)
async def test_what_others_tell_may_be_no_address(url: str, why: str) -> None:
    with pytest.raises(IssuerUnavailable) as caught:
        await fetch(url, "", {})
    assert str(caught.value) == why


async def test_it_may_lead_to_no_address(leading: Leading) -> None:
    leading.to = {"/a": (302, "https://[::1")}
    with pytest.raises(IssuerUnavailable) as caught:
        await fetch(f"{leading.url}/a", leading.ca, {})
    assert str(caught.value) == (
        f'Get "{leading.url}/a": failed to parse Location header "https://[::1": '
        """parse "https://[::1": missing ']' in host"""
    )


async def test_answers_without_end(monkeypatch: pytest.MonkeyPatch, leading: Leading) -> None:
    """An issuer cannot fill the server's memory."""
    monkeypatch.setattr(issuer_calls, "MOST_BYTES", 4)
    assert (await fetch(f"{leading.url}/abc", leading.ca, {})).body == b"/abc"
    with pytest.raises(IssuerUnavailable, match="the response is larger than 4 bytes"):
        await fetch(f"{leading.url}/abcd", leading.ca, {})


async def test_an_issuer_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, before it has answered anything."""
    monkeypatch.setattr(issuer_calls, "_TIMEOUT_S", 0.01)
    released = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(IssuerUnavailable) as caught:
            await fetch(url, "", {})
        released.set()
    assert str(caught.value) == (
        f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    )
