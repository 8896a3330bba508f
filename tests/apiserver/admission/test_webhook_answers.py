"""Answers of webhooks that are not simply there: packed, elsewhere, later, cut off, or no HTTP at all."""

from __future__ import annotations

import asyncio
import base64
import gzip
import re
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from tests.apiserver.admission.hooked import MAPS, config_map, configure, hook

from tiphys.apimachinery.clock import RealClock
from tiphys.wire.pki import issue_server, make_ca, server_context

pytestmark = pytest.mark.asyncio(loop_scope="module")

OK = b"HTTP/1.1 200 OK\r\n"
NO_MORE = "but did not return more information"
SERVED = 'Post "https://HOST/h?timeout=1s": '


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


class Speaker:
    """Says on each connection the next of ``said``, whatever is asked; keeps what was asked."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.stays = asyncio.Event()
        self.stays.set()
        self.config: dict[str, Any] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.asked.append((head[0].removesuffix(" HTTP/1.1"), headers, body))
        said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if b"UID" in said:
            said = said.replace(b"UID", orjson.loads(body)["request"]["uid"].encode())
        writer.write(said)
        await writer.drain()
        await self.stays.wait()
        writer.close()


@pytest_asyncio.fixture(loop_scope="module")
async def speaker() -> AsyncIterator[Speaker]:
    now = RealClock().now()
    authority = make_ca("speaker-ca", now)
    pair = issue_server(authority, "speaker", ("127.0.0.1",), now)
    speaker = Speaker()
    server = await asyncio.start_server(speaker, "127.0.0.1", 0, ssl=server_context(pair, None))
    port = server.sockets[0].getsockname()[1]
    bundle = base64.b64encode(authority.certificate).decode()
    speaker.config = {"url": f"https://127.0.0.1:{port}/h", "caBundle": bundle}
    yield speaker
    speaker.stays.set()
    server.close()


def answer(head: bytes = OK, body: bytes | None = None) -> bytes:
    """Return an answer; without a body of its own it allows what was asked."""
    if body is None:
        response = {"uid": "UID" + " " * 33, "allowed": True}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        body = orjson.dumps(review).replace(b"UID" + b" " * 33, b"UID")
        length = len(body) + 33
    else:
        length = len(body)
    return head + b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (length, body)


async def asked(api: Any, speaker: Speaker, *said: bytes, **fields: Any) -> Any:
    speaker.said = list(said)
    await configure(api, "validating", hook(speaker.config, timeoutSeconds=1, **fields))
    return await api("POST", MAPS, config_map())


EMPTY = "0-length response with status code: {} and content type: application/json"
BROKEN = f"{SERVED}net/http: HTTP/1.x transport connection broken: "
UNREAD = "unexpected error when reading response body. Please retry. Original error: "
FAILURES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", f"{SERVED}EOF"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent", f"{BROKEN}unexpected EOF"),
    "another protocol": (b"SSH-2.0-a\r\n", f'{BROKEN}malformed HTTP response "SSH-2.0-a"'),
    "no status": (b"HTTP/1.1 abc OK\r\n\r\n", f'{BROKEN}malformed HTTP status code "abc"'),
    "half a body": (OK + b"Content-Length: 9\r\n\r\n{", f"{UNREAD}unexpected EOF"),
    "an empty body": (answer(body=b""), EMPTY.format(200)),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", EMPTY.format(204)),
    "of many parts": (
        answer(b"HTTP/1.1 207 Multi-Status\r\n"), f"the server responded with the status code 207 {NO_MORE}",
    ),
    "a failure": (answer(body=b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"m"}'), "m"),
    "not packed": (answer(OK + b"Content-Encoding: gzip\r\n", b"{}"), f"{UNREAD}gzip: invalid header"),
    "packed by half": (
        answer(OK + b"Content-Encoding: gzip\r\n", gzip.compress(b"{}")[:-6]), f"{UNREAD}unexpected EOF",
    ),
    "badly packed": (
        answer(OK + b"Content-Encoding: gzip\r\n", gzip.compress(b"{}")[:-8] + b"12345678"),
        f"{UNREAD}gzip: invalid checksum",
    ),
    "packed far too much": (
        answer(OK + b"Content-Encoding: gzip\r\n", gzip.compress(bytes((16 << 20) + 1))),
        "the response is larger than 16777216 bytes",
    ),
    "elsewhere, who knows where": (
        answer(b"HTTP/1.1 301 Moved\r\n", b""), f"the server responded with the status code 301 {NO_MORE}",
    ),
    "at another host": (
        answer(b"HTTP/1.1 307 Moved\r\nLocation: https://other:1/x\r\n", b""),
        'Post "https://other:1/x": redirects to other hosts are not followed',
    ),
    "without TLS": (
        answer(b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/x\r\n", b""),
        'Post "http://127.0.0.1:1/x": redirects to other hosts are not followed',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
async def test_failures(api: Any, speaker: Speaker, case: str) -> None:
    """Each is a failure that the policy decides on, and none that ends the request otherwise."""
    said, text = FAILURES[case]
    found = await asked(api, speaker, said)
    shown = re.sub(r"127\.0\.0\.1:[0-9]{2,}", "HOST", found.message)
    lead = 'Internal error occurred: failed calling webhook "one.example.com": failed to call webhook: '
    assert (found.status, shown) == (500, lead + text)
    ignoring = hook(speaker.config, timeoutSeconds=1, failurePolicy="Ignore", name="two.example.com")
    await api("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/c")
    await configure(api, "mutating", ignoring)
    await api.create(MAPS, config_map())


async def test_a_body_that_does_not_come_in_time(api: Any, speaker: Speaker) -> None:
    speaker.stays.clear()
    found = await asked(api, speaker, OK + b"Content-Length: 9\r\n\r\n{")
    assert found.message.endswith(f"failed to call webhook: {UNREAD}context deadline exceeded")


async def test_packed_answers_are_asked_for_and_read(api: Any, speaker: Speaker) -> None:
    review = (b"apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\nresponse:\n"
              b"  allowed: false\n  uid: x\n")  # fmt: skip
    packed = gzip.compress(review)
    found = await asked(api, speaker, answer(OK + b"Content-Encoding: gzip\r\n", packed))
    assert 'received invalid webhook response: expected response.uid="' in found.message
    assert speaker.asked[0][1]["accept-encoding"] == "gzip"


async def test_notices_before_the_answer(api: Any, speaker: Speaker) -> None:
    found = await asked(api, speaker, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer())
    assert found.status == 201


@pytest.mark.parametrize("status", [b"307", b"308"])
async def test_a_question_goes_where_the_webhook_leads(api: Any, speaker: Speaker, status: bytes) -> None:
    moved = answer(b"HTTP/1.1 " + status + b" Moved\r\nLocation: h/?a b\r\n", b"")
    found = await asked(api, speaker, moved, answer())
    assert found.status == 201
    (first, _, question), (second, headers, again) = speaker.asked
    assert (first, second) == ("POST /h?timeout=1s", "POST /h/?a%20b")
    assert again == question
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [b"301", b"302", b"303"])
async def test_or_is_asked_without_a_body(api: Any, speaker: Speaker, status: bytes) -> None:
    moved = answer(b"HTTP/1.1 " + status + b" Moved\r\nLocation: /x\r\n", b"")
    found = await asked(api, speaker, moved, answer(body=b"{}"))
    assert found.message.endswith("received invalid webhook response: webhook response was absent")
    line, headers, body = speaker.asked[1]
    assert (line, body, headers.get("content-type")) == ("GET /x", b"", None)


async def test_it_does_not_go_round_for_ever(api: Any, speaker: Speaker) -> None:
    found = await asked(api, speaker, answer(b"HTTP/1.1 308 Moved\r\nLocation: /x\r\n", b""))
    assert found.message.endswith('failed to call webhook: Post "/x": stopped after 10 redirects')
    assert len(speaker.asked) == 10


@pytest.mark.parametrize("status", [b"429", b"503"])
async def test_a_webhook_may_ask_to_be_asked_later(api: Any, speaker: Speaker, status: bytes) -> None:
    later = answer(b"HTTP/1.1 " + status + b" Later\r\nRetry-After: 0\r\n", b"")
    found = await asked(api, speaker, later, later, answer())
    assert found.status == 201
    assert [line for line, _, _ in speaker.asked] == ["POST /h?timeout=1s"] * 3
    assert len({body for _, _, body in speaker.asked}) == 1


@pytest.mark.parametrize(("head", "times"), [
    (b"HTTP/1.1 503 Later\r\nRetry-After: 0\r\n", 11),
    (b"HTTP/1.1 503 Later\r\nRetry-After: soon\r\n", 1),
    (b"HTTP/1.1 503 Later\r\n", 1),
    (b"HTTP/1.1 404 Later\r\nRetry-After: 0\r\n", 1),
])  # fmt: skip
async def test_but_not_for_ever(api: Any, speaker: Speaker, head: bytes, times: int) -> None:
    found = await asked(api, speaker, answer(head, b""))
    assert found.status == 500
    assert len(speaker.asked) == times


async def test_nor_later_than_there_is_time(api: Any, speaker: Speaker) -> None:
    found = await asked(api, speaker, answer(b"HTTP/1.1 503 Later\r\nRetry-After: 60\r\n", b""))
    assert found.message.endswith('/h?timeout=1s": context deadline exceeded')


@pytest.mark.parametrize(("path", "target"), [
    ("", "/"), ("/", "/"), ("/a/", "/a"), ("/a//b/../c", "/a/c"), ("/a%20b", "/a%20b"),
    ("/a b!", "/a%20b%21"),
    ("/\u03a9", "/%CE%A9"), ("/a:b@c;d", "/a:b@c;d"),
])  # fmt: skip
async def test_paths_are_asked_for_in_their_shortest_form(
    api: Any, speaker: Speaker, path: str, target: str
) -> None:
    url = speaker.config["url"].removesuffix("/h")
    speaker.said = [answer()]
    await configure(api, "validating", hook({**speaker.config, "url": f"{url}{path}"}))
    await api.create(MAPS, config_map())
    assert speaker.asked[0][0] == f"POST {target}?timeout=10s"


@pytest.mark.parametrize(("url", "why"), [
    ("https://127.0.0.1:99999/x", "dial tcp: address 99999: invalid port"),
    ("https://127.0.0.1:0/x", "dial tcp 127.0.0.1:0: connect: connection refused"),
])  # fmt: skip
@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
async def test_ports_that_are_none(api: Any, policy: str, url: str, why: str) -> None:
    """The policy decides on these, too."""
    await configure(api, "validating", hook({"url": url}, failurePolicy=policy))
    found = await api("POST", MAPS, config_map())
    assert found.status == (500 if policy == "Fail" else 201)
    assert policy == "Ignore" or found.message.endswith(f'Post "{url}?timeout=10s": {why}')
