"""HTTP over a real loopback socket: answers, streams, credentials, failures."""

import asyncio
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


async def test_a_request_is_sent_again_only_where_that_does_nothing_twice():
    seen = []

    async def serve(reader, writer):
        while len(seen) < 6:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            seen.append(head.split()[0].decode())
            if len(seen) in (2, 5):
                break  # the server gives up a connection that it kept, as this request arrives
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    transport = HttpTransport(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/prefix/")
    await transport.send(Call("GET", "/"))
    assert (await transport.send(Call("GET", "/"))).status == 200
    assert seen == ["GET", "GET", "GET"]
    await transport.send(Call("POST", "/"))
    with pytest.raises(TransportError, match=r"POST .*server disconnected"):
        await transport.send(Call("POST", "/"))
    assert seen[3:] == ["POST", "POST"]
    async with transport.stream(Call("GET", "/")) as stream:
        assert stream.status == 200
    await transport.close()
    listening.close()


async def test_heads_cannot_be_broken():
    transport = HttpTransport("http://127.0.0.1:1")
    for call in (
        Call("GET", "/a\r\nX: y"),
        Call("GET", "/", headers={"A": "b\nc"}),
        Call("GET", "/", "a=\rb"),
    ):
        with pytest.raises(TransportError, match="line break"):
            await transport.send(call)


async def test_what_is_sent():
    async def echo(request):
        wanted = ("Host", "Accept-Encoding", "Authorization", "Content-Length", "Impersonate-User")
        text = ";".join(f"{name}={request.headers.get(name)}" for name in wanted)
        return web.Response(text=f"{request.method} {request.raw_path} {text}")

    async with server(echo) as url:
        host = url.removeprefix("http://")
        who = Credentials(username="me", password="p\u00e4ss", impersonate_user="you")
        transport = HttpTransport(f"{url}/base/", credentials=who)
        sent = [(await transport.send(Call(method, "/x"))).body.decode() for method in ("GET", "POST")]
        await transport.close()
    auth = "Authorization=Basic bWU6cMOkc3M="
    assert sent == [
        f"GET /base/x Host={host};Accept-Encoding=identity;{auth};Content-Length=None;Impersonate-User=you",
        f"POST /base/x Host={host};Accept-Encoding=identity;{auth};Content-Length=0;Impersonate-User=you",
    ]
