"""What clients count of their calls: as upstream's do, those of watches and of nobody's answers too."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tiphys.client.call_counts import REGISTRY, calls_to
from tiphys.client.kinds import PODS
from tiphys.client.rest import Client
from tiphys.client.transport import Call, HttpTransport, TransportError
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve


def value(name: str, /, **labels: str) -> Any:
    return REGISTRY.sample_value(f"rest_client_{name}", labels)


@asynccontextmanager
async def answering(*codes: int) -> AsyncIterator[str]:
    """Yield the host of a server that answers with these codes, one after the other."""
    left = list(codes)

    async def answer(_request: Request) -> Response:
        code = left.pop(0)
        return Response(code, {"retry-after": "0"} if code == 429 else {}, b'{"items": []}')

    async with serve(answer) as server:
        yield f"127.0.0.1:{server.port}"


async def test_calls() -> None:
    async with answering(200, 404, 200) as host:
        transport = HttpTransport(f"http://{host}/prefix")
        await transport.send(Call("POST", "/", body=b"12345"))
        await transport.send(Call("GET", "/"))
        async with transport.stream(Call("GET", "/")) as stream:
            assert stream.status == 200
        await transport.close()
    assert value("requests_total", code="200", method="POST", host=host) == 1
    assert value("requests_total", code="404", method="GET", host=host) == 1
    assert value("requests_total", code="200", method="GET", host=host) == 1
    assert value("request_duration_seconds_count", verb="GET", host=host) == 1
    assert value("request_size_bytes_sum", verb="POST", host=host) == 5
    assert value("response_size_bytes_sum", verb="GET", host=host) == 13


async def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = f"127.0.0.1:{taken.getsockname()[1]}"
    transport = HttpTransport(f"http://{host}")
    with pytest.raises(TransportError):
        await transport.send(Call("PUT", "/", body=b"123"))
    with pytest.raises(TransportError):
        async with transport.stream(Call("PUT", "/")):
            pass
    await transport.close()
    assert value("requests_total", code="<error>", method="PUT", host=host) == 2
    assert value("request_size_bytes_sum", verb="PUT", host=host) == 3
    assert value("request_duration_seconds_count", verb="PUT", host=host) == 1
    assert not value("response_size_bytes_count", verb="PUT", host=host)


async def test_calls_made_once_more() -> None:
    async with answering(429, 429, 200) as host:
        client = Client(HttpTransport(f"http://{host}"))
        assert await client.list(PODS) == {"items": []}
        await client.transport.close()
    assert value("request_retries_total", code="429", verb="GET", host=host) == 2
    assert value("requests_total", code="429", method="GET", host=host) == 2
    assert value("requests_total", code="200", method="GET", host=host) == 1


async def test_names_are_looked_up() -> None:
    before = value("dns_resolution_duration_seconds_count", host="localhost") or 0
    async with answering(200, 200) as host:
        port = host.partition(":")[2]
        for name in ("localhost", "127.0.0.1"):
            transport = HttpTransport(f"http://{name}:{port}")
            assert (await transport.send(Call("GET", "/"))).status == 200
            await transport.close()
    assert value("dns_resolution_duration_seconds_count", host="localhost") == before + 1
    assert value("dns_resolution_duration_seconds_count", host="127.0.0.1") is None


async def test_those_of_no_api_client_are_not_counted() -> None:
    made = value("transport_create_calls_total", result="uncacheable") or 0
    async with answering(200) as host:
        transport = HttpTransport(f"http://{host}", counted=False)
        await transport.send(Call("GET", "/"))
        await transport.close()
    assert value("requests_total", code="200", method="GET", host=host) is None
    assert (value("transport_create_calls_total", result="uncacheable") or 0) == made
    await HttpTransport("http://127.0.0.1:1").close()
    assert value("transport_create_calls_total", result="uncacheable") == made + 1
    assert value("transport_cache_entries") == 0


def test_callers_without_a_transport() -> None:
    assert calls_to("a:1") is calls_to("a:1")
    calls_to("a:1").failed("POST", 0.5, 7)
    assert value("request_size_bytes_sum", verb="POST", host="a:1") == 7
