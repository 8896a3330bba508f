"""What clients count of their calls: as upstream's do, those of watches and of nobody's answers too."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.samples import Since

from tiphys.client.call_counts import REGISTRY, calls_to
from tiphys.client.kinds import PODS
from tiphys.client.rest import Client
from tiphys.client.transport import Call, HttpTransport, TransportError
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve


@pytest.fixture
def since() -> Since:
    """Ports come back: others may have called the same host before."""
    return Since(REGISTRY, "rest_client_")


@asynccontextmanager
async def answering(*codes: int) -> AsyncIterator[str]:
    """Yield the host of a server that answers with these codes, one after the other."""
    left = list(codes)

    async def answer(_request: Request) -> Response:
        code = left.pop(0)
        return Response(code, {"retry-after": "0"} if code == 429 else {}, b'{"items": []}')

    async with serve(answer) as server:
        yield f"127.0.0.1:{server.port}"


async def test_calls(since: Since) -> None:
    async with answering(200, 404, 200) as host:
        transport = HttpTransport(f"http://{host}/prefix")
        await transport.send(Call("POST", "/", body=b"12345"))
        await transport.send(Call("GET", "/"))
        async with transport.stream(Call("GET", "/")) as stream:
            assert stream.status == 200
        await transport.close()
    assert since("requests_total", code="200", method="POST", host=host) == 1
    assert since("requests_total", code="404", method="GET", host=host) == 1
    assert since("requests_total", code="200", method="GET", host=host) == 1
    assert since("request_duration_seconds_count", verb="GET", host=host) == 1
    assert since("request_size_bytes_sum", verb="POST", host=host) == 5
    assert since("response_size_bytes_sum", verb="GET", host=host) == 13


async def test_nobody_answers(since: Since) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = f"127.0.0.1:{taken.getsockname()[1]}"
    transport = HttpTransport(f"http://{host}")
    with pytest.raises(TransportError):
        await transport.send(Call("PUT", "/", body=b"123"))
    with pytest.raises(TransportError):
        async with transport.stream(Call("PUT", "/")):
            pass
    await transport.close()
    assert since("requests_total", code="<error>", method="PUT", host=host) == 2
    assert since("request_size_bytes_sum", verb="PUT", host=host) == 3
    assert since("request_duration_seconds_count", verb="PUT", host=host) == 1
    assert not since("response_size_bytes_count", verb="PUT", host=host)


async def test_calls_made_once_more(since: Since) -> None:
    async with answering(429, 429, 200) as host:
        client = Client(HttpTransport(f"http://{host}"))
        assert await client.list(PODS) == {"items": []}
        await client.transport.close()
    assert since("request_retries_total", code="429", verb="GET", host=host) == 2
    assert since("requests_total", code="429", method="GET", host=host) == 2
    assert since("requests_total", code="200", method="GET", host=host) == 1


async def test_names_are_looked_up(since: Since) -> None:
    async with answering(200, 200) as host:
        port = host.partition(":")[2]
        for name in ("localhost", "127.0.0.1"):
            transport = HttpTransport(f"http://{name}:{port}")
            assert (await transport.send(Call("GET", "/"))).status == 200
            await transport.close()
    assert since("dns_resolution_duration_seconds_count", host="localhost") == 1
    assert since("dns_resolution_duration_seconds_count", host="127.0.0.1") == 0


async def test_those_of_no_api_client_are_not_counted(since: Since) -> None:
    async with answering(200) as host:
        transport = HttpTransport(f"http://{host}", counted=False)
        await transport.send(Call("GET", "/"))
        await transport.close()
    assert since("requests_total", code="200", method="GET", host=host) == 0
    assert since("transport_create_calls_total", result="uncacheable") == 0
    await HttpTransport("http://127.0.0.1:1").close()
    assert since("transport_create_calls_total", result="uncacheable") == 1
    assert since("transport_cache_entries") == 0


def test_callers_without_a_transport(since: Since) -> None:
    assert calls_to("a:1") is calls_to("a:1")
    calls_to("a:1").failed("POST", 0.5, 7)
    assert since("request_size_bytes_sum", verb="POST", host="a:1") == 7
