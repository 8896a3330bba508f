"""Handlers that are run up to where they first wait, without a task: how they go on from there."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, cast

from tiphys.wire.message import Response


@coroutine
def resume(
    coro: Coroutine[Any, Any, Response], yielded: object, interrupts: list[BaseException]
) -> Generator[Any, Any, Response]:
    """Go on with a coroutine that was stepped once by hand and gave ``yielded``.

    ``interrupts``: what to throw into it first, such as a cancellation that came before anybody awaited this.
    """
    try:
        if interrupts:
            yielded = coro.throw(interrupts.pop())
        while True:
            try:
                yield yielded
            except BaseException as error:
                yielded = coro.throw(error)
            else:
                yielded = coro.send(None)  # a task never sends anything else
    except StopIteration as stop:
        return cast(Response, stop.value)


async def awaited(answer: Any) -> Response:
    """Wait for what a handler gave that is no coroutine, such as a future."""
    return cast(Response, await answer)
