"""Bytes both ways between two upgraded connections, until either side has finished."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from tiphys.wire.message import ByteStream


async def first_of(*parts: Awaitable[None]) -> None:
    """Run all until the first one ends, then cancel the others. A failure is raised."""

    async def run(part: Awaitable[None]) -> None:
        await part
        raise _Finished

    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(run(part))
    except* _Finished:
        pass


class _Finished(Exception):
    """Ends the group; it is no error."""


async def copy(source: ByteStream, target: ByteStream, bytes_per_s: int = 0) -> None:
    """Pass bytes on until the source ends or either is gone, no faster than so many in a second (0: any)."""
    try:
        while data := await source.read():
            await target.write(data)
            await pace(data, bytes_per_s)
    except ConnectionError:
        return


async def pace(data: bytes, bytes_per_s: int) -> None:
    """Wait for as long as so many bytes may take; not at all where there is no limit (0)."""
    if bytes_per_s:
        await asyncio.sleep(len(data) / bytes_per_s)


async def relay(left: ByteStream, right: ByteStream, bytes_per_s: int = 0) -> None:
    """Pass bytes both ways until either side ends; close both."""
    try:
        await first_of(copy(left, right, bytes_per_s), copy(right, left, bytes_per_s))
    finally:
        await left.close()
        await right.close()
