"""HTTP over a real loopback socket: answers, streams, credentials, failures."""

from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tiphys.apimachinery.clock import FakeClock
from tiphys.client.transport import Call, Credentials, HttpTransport, TransportError


@asynccontextmanager
async def server(handler):
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


async def test_a_call_goes_out_and_comes_back():
    async def echo(request):
        body = await request.read()
        return web.Response(
            status=201,
            body=request.raw_path.encode() + body,
            headers={"X-Auth": request.headers["Authorization"]},
        )

    async with server(echo) as url:
        transport = HttpTransport(url, credentials=Credentials(token="abc"))
        answer = await transport.send(Call("POST", "/a%2Fb", "q=%3D", {}, b"!"))
        await transport.close()
    assert (answer.status, answer.body, answer.headers["x-auth"]) == (201, b"/a%2Fb?q=%3D!", "Bearer abc")


async def test_a_token_file_is_read_again(tmp_path):
    async def echo(request):
        return web.Response(text=request.headers["Authorization"])

    token, clock = tmp_path / "token", FakeClock()
    token.write_text("one\n")
    async with server(echo) as url:
        transport = HttpTransport(url, credentials=Credentials(token_file=str(token)), clock=clock)
        seen = [(await transport.send(Call("GET", "/"))).body]
        token.write_text("two")
        seen.append((await transport.send(Call("GET", "/"))).body)
        clock.advance(61)
        seen.append((await transport.send(Call("GET", "/"))).body)
        await transport.close()
    assert seen == [b"Bearer one", b"Bearer one", b"Bearer two"]


async def test_streams_arrive_as_they_are_sent():
    async def slowly(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(3):
            await response.write(b"x" * 300_000 + b"\n")
        return response

    async with server(slowly) as url:
        transport = HttpTransport(url)
        async with transport.stream(Call("GET", "/")) as stream:
            body = b"".join([chunk async for chunk in stream.chunks])
        await transport.close()
    assert body.count(b"\n") == 3
    assert len(body) == 900_003


async def test_no_server_is_a_transport_error():
    transport = HttpTransport("http://127.0.0.1:1")
    with pytest.raises(TransportError):
        await transport.send(Call("GET", "/"))
    with pytest.raises(TransportError):
        async with transport.stream(Call("GET", "/")):
            pass
    await transport.close()
