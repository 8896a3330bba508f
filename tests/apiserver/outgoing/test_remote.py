"""Asking a remote service: attempts, failures, and what a kubeconfig says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.options import ApiServerOptions
from tiphys.apiserver.outgoing.remote import Remote, RemoteFailed
from tiphys.apiserver.outgoing.typed_answers import shapes_of
from tiphys.apiserver.server import ApiServer
from tiphys.client import kubeconfig
from tiphys.client.transport import Answer, Call, TransportError
from tiphys.storage.memory import MemoryStore
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve


class Told:
    """A transport that answers as it is told."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[Call] = []

    async def send(self, call: Call) -> Answer:
        self.calls.append(call)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body, *headers = answer
        return Answer(
            status, headers[0] if headers else {}, body if isinstance(body, bytes) else orjson.dumps(body)
        )

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[Any]:
        raise AssertionError
        yield

    async def close(self) -> None:
        self.answers.clear()

    def anonymous(self) -> Told:
        return self


def failing(cause: OSError) -> TransportError:
    error = TransportError(f"POST x: {cause}")
    error.__cause__ = cause
    return error


GONE = failing(ConnectionRefusedError("connection refused"))
RESET = failing(ConnectionResetError("connection reset"))
SLOW = failing(TimeoutError("too slow"))


QUESTION = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {}}
SHAPES = shapes_of("authentication.k8s.io", "TokenReview")
YES = {"status": {"authenticated": True}}


@pytest.mark.parametrize(
    ("answers", "attempts"),
    [
        ([(200, YES)], 1),
        ([RESET, (200, YES)], 2),
        ([(504, b""), (500, b""), (429, b""), (201, YES)], 4),
        ([(503, b"", {"retry-after": "1"}), (200, YES)], 2),
    ],
)
async def test_passing_failures_are_tried_again(answers: list[Any], attempts: int) -> None:
    told = Told(*answers)
    assert await Remote(told, url="https://x/y", first_wait_s=0).post(QUESTION, SHAPES) == YES
    assert len(told.calls) == attempts
    assert orjson.loads(told.calls[0].body) == QUESTION
    assert told.calls[0].most_bytes == 16 << 20


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ([GONE], r'Post "https://x/y\?timeout=30s": dial tcp x:443: connect: connection refused'),
        (
            [SLOW],
            r'Post "https://x/y\?timeout=30s": context deadline exceeded '
            r"\(Client.Timeout exceeded while awaiting headers\)",
        ),
        ([RESET] * 5, r'Post "https://x/y\?timeout=30s": connection reset'),
        ([(503, b"")], "the server is currently unable to handle the request"),
        ([(500, b"oh")] * 5, r'an error on the server \("oh"\) has prevented the request from succeeding'),
        ([(502, b"")] * 5, r'an error on the server \(""\) has prevented the request from succeeding'),
        ([(404, b"")], "the server could not find the requested resource"),
        ([(403, b"go away")], "^go away$"),
        ([(200, b"{junk")], "json parse error: invalid character 'j' looking for beginning of object key"),
        ([(200, b"junk")], "json parse error: json: cannot unmarshal string into Go value of type struct"),
        ([(200, b"")], "0-length response with status code: 200 and content type: application/json"),
        ([(207, YES)], "the server responded with the status code 207 but did not return more information"),
        (
            [(200, {"status": {"authenticated": "false"}})],
            "json: cannot unmarshal string into Go struct field",
        ),
    ],
)
async def test_failures(answers: list[Any], text: str) -> None:
    told = Told(*answers)
    with pytest.raises(RemoteFailed, match=text) as caught:
        await Remote(told, url="https://x/y", first_wait_s=0).post(QUESTION, SHAPES)
    assert not told.answers
    assert caught.value.timed_out is (answers == [SLOW])


async def test_a_service_of_a_kubeconfig(tmp_path: Path) -> None:
    now = RealClock().now()
    ca = pki.make_ca("ca", now)
    asked: list[tuple[str, tuple[bytes, ...]]] = []

    async def handle(request: Request) -> Response:
        asked.append((f"{request.path}?{request.raw_query}", request.shown_certificates))
        return Response(200, {"content-type": "application/json"}, b'{"status":{"authenticated":true}}')

    context = pki.server_context(pki.issue_server(ca, "s", ["127.0.0.1"], now), ca.certificate)
    client = pki.issue_client(ca, "apiserver", [], now)
    client.write(tmp_path / "c.crt", tmp_path / "c.key")
    (tmp_path / "ca.crt").write_bytes(ca.certificate)
    async with serve(handle, ssl_context=context, grace_s=0.1) as server:
        url = f"https://127.0.0.1:{server.port}/deep/path"
        config = {
            "clusters": [{"name": "a", "cluster": {"server": url, "certificate-authority": "ca.crt"}}],
            "users": [{"name": "a", "user": {"client-certificate": "c.crt", "client-key": "c.key"}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "current-context": "a",
        }
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        remote = Remote.from_kubeconfig(tmp_path / "config")
        assert await remote.post(QUESTION, SHAPES) == YES
        await remote.close()
    ((path, certificate),) = asked
    assert path == "/deep/path?timeout=30s"
    assert certificate is not None


async def test_a_service_that_is_somebody_else_hears_nothing(tmp_path: Path) -> None:
    now = RealClock().now()
    ca = pki.make_ca("ca", now)
    heard: list[Request] = []

    async def handle(request: Request) -> Response:
        heard.append(request)
        return Response(200, {"content-type": "application/json"}, b"{}")

    (tmp_path / "ca.crt").write_bytes(ca.certificate)
    context = pki.server_context(pki.issue_server(ca, "s", ["other.example"], now), None)
    async with serve(handle, ssl_context=context, grace_s=0.1) as server:
        url = f"https://localhost:{server.port}/path"
        config = {
            "clusters": [{"name": "a", "cluster": {"server": url, "certificate-authority": "ca.crt"}}],
            "contexts": [{"name": "a", "context": {"cluster": "a"}}],
            "current-context": "a",
        }
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        remote = Remote.from_kubeconfig(tmp_path / "config")
        with pytest.raises(RemoteFailed) as caught:
            await remote.post(QUESTION, SHAPES)
        await remote.close()
    why = "x509: certificate is valid for other.example, not localhost"
    assert str(caught.value) == f'Post "{url}?timeout=30s": tls: failed to verify certificate: {why}'
    assert heard == []


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (
            {
                "authorization_modes": ("Webhook",), "authorization_webhook_config": Path("none"),
                "authorization_webhook_version": "v2",
            },
            "webhook authorizer",
        ),
        ({"token_webhook_config": Path("none"), "token_webhook_version": "v2"}, "authentication webhook"),
    ],
)  # fmt: skip
def test_versions_that_nobody_can_be_asked_in(changed: dict[str, Any], what: str) -> None:
    text = f'unsupported {what} version "v2", supported versions are "v1", "v1beta1"'
    with pytest.raises(kubeconfig.ConfigError) as caught:
        ApiServer(MemoryStore(), ApiServerOptions(**changed))
    assert str(caught.value) == text
