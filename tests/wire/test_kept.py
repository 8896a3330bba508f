"""Connections that are used again: when, by whom, and when not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.wire.client import ConnectFailed
from tiphys.wire.kept import KeptConnections, Place
from tiphys.wire.pki import issue_server, make_ca, server_context

NOW = RealClock().now()
CA = make_ca("kept-ca", NOW)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Host:
    """Answers each request with ``answers``' next, the last one for ever; ``hold`` keeps them waiting."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.answers = [OK]
        self.port = 0
        self.hold: asyncio.Event | None = None
        self.after_answer = False
        """End each connection once it has had an answer."""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head.split(b" HTTP")[0])
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                await reader.readexactly(length)
                if self.hold is not None:
                    await self.hold.wait()
                answer = self.answers[0]
                if len(self.answers) > 1:
                    self.answers.pop(0)
                if not answer:
                    return
                writer.write(answer)
                await writer.drain()
                if self.after_answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def _listening() -> AsyncIterator[tuple[Host, Place, KeptConnections]]:
    host = Host()
    pair = issue_server(CA, "kept", ("127.0.0.1",), NOW)
    server = await asyncio.start_server(host, "127.0.0.1", 0, ssl=server_context(pair, None))
    host.port = server.sockets[0].getsockname()[1]
    kept = KeptConnections()

    def context() -> ssl.SSLContext:
        return ssl.create_default_context(cadata=CA.certificate.decode())

    try:
        yield host, Place("127.0.0.1", host.port, "127.0.0.1", "ca", context), kept
    finally:
        kept.close()
        server.close()
        for _ in range(20):
            await asyncio.sleep(0.001)


async def ask(kept: KeptConnections, place: Place, *, read: bool = True) -> bytes:
    answer = await kept.send(place, "POST", "/x", {"Host": "h"}, body=b"{}")
    try:
        return await answer.read() if read else b""
    finally:
        await answer.close()


async def until(holds: Callable[[], object]) -> None:
    for _ in range(5000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("in vain")


async def test_one_after_the_other_they_share_a_connection() -> None:
    async with _listening() as (host, place, kept):
        assert [await ask(kept, place) for _ in range(3)] == [b"ok"] * 3
        assert (host.connections, kept.idle(place), len(host.requests)) == (1, 1, 3)


async def test_at_once_each_has_its_own_and_the_next_find_them_all() -> None:
    async with _listening() as (host, place, kept):
        for _ in range(2):
            host.hold = asyncio.Event()
            asked = [asyncio.ensure_future(ask(kept, place)) for _ in range(5)]
            await until(lambda: host.requests and len(host.requests) % 5 == 0)
            host.hold.set()
            assert await asyncio.gather(*asked) == [b"ok"] * 5
            assert (host.connections, kept.idle(place)) == (5, 5)


async def test_more_than_so_many_are_not_kept() -> None:
    async with _listening() as (host, place, _):
        few, host.hold = KeptConnections(most_idle=1), asyncio.Event()
        asked = [asyncio.ensure_future(ask(few, place)) for _ in range(3)]
        await until(lambda: len(host.requests) == 3)
        host.hold.set()
        await asyncio.gather(*asked)
        assert few.idle(place) == 1
        few.close()
        assert few.idle(place) == 0


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
    ],
    ids=["not read", "told to close", "an older HTTP"],
)
async def test_connections_that_are_not_used_again(answer: bytes, read: bool) -> None:
    async with _listening() as (host, place, kept):
        host.answers = [answer]
        await ask(kept, place, read=read)
        await ask(kept, place, read=read)
        assert host.connections == 2


@pytest.mark.parametrize("rest", [b"HTTP/1.1 200", OK, b"more"])
async def test_nobody_gets_what_was_said_unasked(rest: bytes) -> None:
    async with _listening() as (host, place, kept):
        host.answers = [OK, OK + rest, OK]
        for _ in range(2):
            with suppress(ConnectFailed):
                await ask(kept, place)
        assert await ask(kept, place) == b"ok"
        assert host.connections == 2


async def test_whoever_is_trusted_otherwise_does_not_share() -> None:
    async with _listening() as (host, place, kept):
        await ask(kept, place)
        await ask(kept, replace(place, trust="another"))
        assert host.connections == 2


async def test_what_the_other_side_has_closed_is_opened_anew() -> None:
    async with _listening() as (host, place, kept):
        host.after_answer = True
        assert [await ask(kept, place) for _ in range(3)] == [b"ok"] * 3
        assert host.connections == 3


async def test_what_is_closed_in_the_very_moment_is_asked_again_elsewhere() -> None:
    async with _listening() as (host, place, kept):
        host.answers = [OK, b"", OK]
        assert [await ask(kept, place) for _ in range(2)] == [b"ok"] * 2
        assert (host.connections, len(host.requests)) == (2, 3)


async def test_a_new_connection_that_says_nothing_is_a_failure() -> None:
    async with _listening() as (host, place, kept):
        host.answers = [b""]
        with pytest.raises(ConnectFailed, match="EOF"):
            await ask(kept, place)
        assert host.connections == 1


async def test_an_answer_that_ends_half_way_is_not_asked_for_again() -> None:
    async with _listening() as (host, place, kept):
        host.answers = [OK, b"HTTP/1.1 200 OK\r\nContent-Le", b""]
        await ask(kept, place)
        asked = asyncio.ensure_future(ask(kept, place))
        await until(lambda: len(host.requests) == 2)
        await asyncio.sleep(0.01)
        assert not asked.done()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert (host.connections, kept.idle(place)) == (1, 0)


async def test_idle_ones_go_by_themselves() -> None:
    async with _listening() as (host, place, _):
        brief = KeptConnections(idle_s=0.001)
        await ask(brief, place)
        await until(lambda: not brief.idle(place))
        await ask(brief, place)
        assert host.connections == 2
        brief.close()


async def test_what_is_still_in_use_when_all_is_closed_is_closed_after_it() -> None:
    async with _listening() as (_, place, kept):
        answer = await kept.send(place, "POST", "/x", {"Host": "h"}, body=b"{}")
        kept.close()
        assert await answer.read() == b"ok"
        await answer.close()
        assert kept.idle(place) == 0
        assert not answer.raw.is_silent
