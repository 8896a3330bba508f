"""Who follows an answer that lasts is told once that it has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from tiphys.wire.lasting import follow, lasts
from tiphys.wire.message import Response


async def lines(*, fails: bool = False) -> AsyncIterator[bytes]:
    yield b"one"
    if fails:
        raise OSError
    yield b"two"


@pytest.mark.parametrize(
    ("fails", "reads"), [(False, 1), (False, 3), (True, 3)], ids=["left", "read", "broken"]
)
async def test_streams(*, fails: bool, reads: int) -> None:
    told: list[str] = []
    response = Response(200, stream=lines(fails=fails))
    assert lasts(response)
    follow(response, lambda: told.append("ended"))
    stream: Any = response.stream
    with suppress(OSError, StopAsyncIteration):
        for _ in range(reads):
            await anext(stream)
    assert told == (["ended"] if reads == 3 else [])
    await stream.aclose()
    await stream.aclose()
    assert told == ["ended"]


async def test_upgrades() -> None:
    told: list[str] = []

    async def serve(_stream: Any) -> None:
        told.append("served")
        raise ConnectionResetError

    response = Response(101, upgrade=serve)
    assert lasts(response)
    follow(response, lambda: told.append("ended"))
    assert response.upgrade is not None
    pipe: Any = None
    with pytest.raises(ConnectionResetError):
        await response.upgrade(pipe)
    assert told == ["served", "ended"]


def test_bodies() -> None:
    assert not lasts(Response(200, {}, b"whole"))
