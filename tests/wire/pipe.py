"""One end of an upgraded connection, which a test holds."""

from __future__ import annotations

import asyncio


class Pipe:
    """Its reader gets what a test puts in; what is written piles up."""

    def __init__(self) -> None:
        self.inward: asyncio.Queue[bytes] = asyncio.Queue()
        self.outward = bytearray()
        self.wrote = asyncio.Event()
        self.broken = False

    async def read(self) -> bytes:
        return await self.inward.get()

    async def write(self, data: bytes) -> None:
        if self.broken:
            raise ConnectionResetError("gone")
        self.outward += data
        self.wrote.set()

    async def close(self) -> None:
        self.inward.put_nowait(b"")

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(10):
            while text not in self.outward:
                self.wrote.clear()
                await self.wrote.wait()
