"""The in-process transport hands the handler what a connection would have told it."""

import pytest

from tiphys.client.inprocess import InProcessTransport
from tiphys.client.transport import Call, TransportError
from tiphys.wire.message import Response


async def test_requests_carry_headers_scope_and_both_paths():
    seen = []

    async def handler(request):
        seen.append(request)
        return Response(200, {"X-A": "b"}, [b"one", b"two"])

    transport = InProcessTransport(handler, headers={"Authorization": "Bearer t"}, scope={"user": "me"})
    answer = await transport.send(Call("GET", "/a%20b", "x=1", {"Accept": "y"}))
    (request,) = seen
    assert (request.path, request.raw_path, request.query) == ("/a b", "/a%20b", {"x": ["1"]})
    assert dict(request.headers) == {"authorization": "Bearer t", "accept": "y"}
    assert request.scope == {"user": "me"}
    assert (answer.body, answer.headers) == (b"onetwo", {"x-a": "b"})


async def test_leaving_a_stream_closes_the_handlers_side():
    closed = []

    async def endless():
        try:
            while True:
                yield b"x\n"
        finally:
            closed.append(True)

    async def handler(request):
        return Response(stream=endless())

    transport = InProcessTransport(handler)
    async with transport.stream(Call("GET", "/")) as stream:
        async for _ in stream.chunks:
            break
    assert closed == [True]
    await transport.close()
    with pytest.raises(TransportError):
        await transport.send(Call("GET", "/"))
