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


async def copy(source: ByteStream, target: ByteStream) -> None:
    """Pass bytes on until the source ends or either is gone."""
    try:
        while data := await source.read():
            await target.write(data)
    except ConnectionError:
        return


async def relay(left: ByteStream, right: ByteStream) -> None:
    """Pass bytes both ways until either side ends; close both."""
    try:
        await first_of(copy(left, right), copy(right, left))
    finally:
        await left.close()
        await right.close()
