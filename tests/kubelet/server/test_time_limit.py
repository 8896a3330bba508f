"""Answers that take hours."""

import asyncio

import pytest
from endpoint import Context, Everybody

from tiphys.kubelet.options import ServerOptions
from tiphys.kubelet.server import time_limit
from tiphys.kubelet.server.server import KubeletServer
from tiphys.kubelet.server.time_limit import limited
from tiphys.testing.simulation import VirtualLoop
from tiphys.wire.message import Request, Response


@pytest.mark.parametrize(
    ("said_s", "expected", "ended_s"),
    [((10, 20), ["said", "said", "end"], 20), ((14000, 28000), ["said", "cut"], 14400)],
)
def test_after_four_hours_nothing_more_is_said(said_s, expected, ended_s):
    closed = []

    async def words():
        loop = asyncio.get_running_loop()
        try:
            for at_s in said_s:
                await asyncio.sleep(at_s - loop.time())
                yield b"said"
        finally:
            closed.append(loop.time())

    async def listen():
        heard = []
        try:
            async for piece in limited(words()):
                heard.append(piece.decode())  # noqa: PERF401
        except ConnectionAbortedError:
            return [*heard, "cut"]
        return [*heard, "end"]

    loop = VirtualLoop()
    try:
        assert loop.run_until_complete(listen()) == expected
    finally:
        loop.close()
    assert [round(at_s) for at_s in closed] == [ended_s]


async def test_a_stream_that_is_left_is_closed():
    closed = asyncio.Event()

    async def words():
        try:
            while True:
                yield b"said"
        finally:
            closed.set()

    stream = limited(words())
    await anext(stream)
    await stream.aclose()
    assert closed.is_set()


async def test_what_runs_into_a_time_of_its_own():
    async def words():
        yield b"said"
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        _ = [piece async for piece in limited(words())]


@pytest.mark.parametrize("port", ["handle", "handle_read_only"])
async def test_every_answer_of_a_kubelet_has_it(tmp_path, monkeypatch, port):
    async def late(request, parts):
        return Response(200, stream=words())

    async def words():
        await asyncio.get_running_loop().create_future()
        yield b""

    monkeypatch.setattr(time_limit, "LONGEST_S", 0)
    server = KubeletServer(Context(tmp_path, None), ServerOptions(), list, Everybody())
    monkeypatch.setattr(server._views, "pods", late)
    server._handlers = server._all_handlers()
    response = await getattr(server, port)(Request("GET", "/pods"))
    with pytest.raises(ConnectionAbortedError):
        await anext(response.stream)
