"""Proxies on loopback, as small as they can be, that note whom they were asked for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio

from tiphys.apiserver.egress import konnectivity
from tiphys.apiserver.egress.konnectivity import (
    CLOSE_REQ,
    CLOSE_RSP,
    DATA,
    DIAL_CLS,
    DIAL_REQ,
    DIAL_RSP,
    METHOD,
    packet,
)

CHUNK = 1 << 16
ESTABLISHED = b"HTTP/1.1 200 Connection Established\r\n\r\n"


@dataclass
class Asked:
    """What a proxy saw."""

    addresses: list[str] = field(default_factory=list)
    answer: bytes = ESTABLISHED
    """Of a CONNECT proxy; any other is all that it says."""
    lead: Callable[[str], tuple[str, int]] | None = None
    """Where an address is; None: where it says."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """A connection has ended."""

    def place(self, address: str) -> tuple[str, int]:
        if self.lead is not None:
            return self.lead(address)
        host, _, port = address.rpartition(":")
        return host.strip("[]"), int(port)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
    target.close()


@asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _connect(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection of a CONNECT proxy."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    method, address, version = head.decode().split("\r\n")[0].split(" ")
    assert (method, version) == ("CONNECT", "HTTP/1.1")
    asked.addresses.append(address)
    writer.write(asked.answer)
    await writer.drain()
    if asked.answer != ESTABLISHED:
        return
    far_reader, far_writer = await asyncio.open_connection(*asked.place(address))
    async with closing(far_writer):
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
    asked.closed.set()


@asynccontextmanager
async def connect_proxy(
    asked: Asked, *, path: Path | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Run a CONNECT proxy on a unix socket, or on a port, which is yielded."""
    tasks: set[asyncio.Task[Any] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        async with closing(writer):
            with suppress(ConnectionError, asyncio.CancelledError):
                await _connect(asked, reader, writer)

    if path is not None:
        server = await asyncio.start_unix_server(serve, path)
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield 0 if path is not None else server.sockets[0].getsockname()[1]
    finally:
        server.close()
        started = [task for task in tasks if task is not None]
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)


@dataclass
class Konnectivity:
    """A gRPC proxy: each stream of packets is one connection."""

    asked: Asked
    error: str = ""
    """What it says of every address instead of connecting."""
    silent: bool = False
    """It never answers."""
    refuses: bool = False
    """It closes the dial."""
    seen: list[int] = field(default_factory=list)
    """The types of packets that came."""
    dialed: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream(self, requests: Any, context: Any) -> None:
        first = await context.read()
        self.seen.append(first.type)
        assert (first.type, first.dialRequest.protocol) == (DIAL_REQ, "tcp")
        number = first.dialRequest.random
        self.asked.addresses.append(first.dialRequest.address)
        self.dialed.set()
        if self.silent:
            self.seen.append((await context.read()).type)
            self.asked.closed.set()
            return
        if self.refuses:
            await context.write(packet(DIAL_CLS, closeDial={"random": number}))
            return
        if self.error:
            await context.write(packet(DIAL_RSP, dialResponse={"random": number, "error": self.error}))
            return
        reader, writer = await asyncio.open_connection(*self.asked.place(first.dialRequest.address))
        async with closing(writer):
            await context.write(packet(DIAL_RSP, dialResponse={"random": number, "connectID": 7}))
            down = asyncio.create_task(self._down(reader, context))
            try:
                await self._up(writer, context)
            finally:
                down.cancel()
                await asyncio.gather(down, return_exceptions=True)
        self.asked.closed.set()
        await context.write(packet(CLOSE_RSP, closeResponse={"connectID": 7}))

    async def _up(self, writer: asyncio.StreamWriter, context: Any) -> None:
        while (found := await context.read()) is not cast(Any, grpc.aio).EOF:
            self.seen.append(found.type)
            if found.type == CLOSE_REQ:
                return
            assert (found.type, found.data.connectID) == (DATA, 7)
            writer.write(found.data.data)
            await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, context: Any) -> None:
        while data := await reader.read(CHUNK):
            await context.write(packet(DATA, data={"connectID": 7, "data": data}))
        await context.write(packet(CLOSE_RSP, closeResponse={"connectID": 7}))

    @asynccontextmanager
    async def serving(self, path: Path) -> AsyncIterator[None]:
        server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(
            self.stream,
            request_deserializer=konnectivity.packet_class().FromString,
            response_serializer=konnectivity.packet_class().SerializeToString,
        )
        service, method = METHOD.strip("/").split("/")
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        try:
            yield
        finally:
            await server.stop(0)
