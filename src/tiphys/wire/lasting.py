"""Answers that last, and what is to be done once they have ended.

Owns: being told of that end, once, however it comes. Refuses: what is done then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from tiphys.wire.message import ByteStream, Response, UpgradeHandler
from tiphys.wire.outlet import Outlet


def lasts(response: Response) -> bool:
    """Tell whether an answer has no end that is known when it begins."""
    return response.stream is not None or response.upgrade is not None


def follow(
    response: Response,
    ended: Callable[[], object],
    *,
    broken: Callable[[], object] | None = None,
    failed: Callable[[Exception], object] | None = None,
) -> None:
    """Have something done once when an answer that lasts has ended.

    ``broken`` is called before, where a stream did not come to its own end: it failed, or its reader left;
    and ``failed`` with what it failed of.
    """
    if response.stream is not None:
        response.stream = _Followed(response.stream, ended, broken, failed)
    elif response.upgrade is not None:
        response.upgrade = _upgraded(response.upgrade, ended)


def _upgraded(serve: UpgradeHandler, ended: Callable[[], object]) -> UpgradeHandler:
    async def run(stream: ByteStream) -> None:
        try:
            await serve(stream)
        finally:
            ended()

    return run


class _Followed:
    """A stream as it is, with something to do once when it has ended: events are pushed past it unseen."""

    def __init__(
        self,
        stream: AsyncIterator[bytes],
        ended: Callable[[], object],
        broken: Callable[[], object] | None,
        failed: Callable[[Exception], object] | None,
    ) -> None:
        self._stream = stream
        self._ended: Callable[[], object] | None = ended
        self._broken = broken
        self._failed = failed

    def attach(self, outlet: Outlet) -> None:
        """Hand ``outlet`` on to a stream that has use for it."""
        attach = getattr(self._stream, "attach", None)
        if attach is not None:
            attach(outlet)

    def __aiter__(self) -> _Followed:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._stream)
        except StopAsyncIteration:
            self._broken = None
            self._end()
            raise
        except Exception as error:
            if self._failed is not None and self._ended is not None:
                self._failed(error)
            self._end()
            raise
        except BaseException:
            self._end()
            raise

    async def aclose(self) -> None:
        """Close the stream, and say that it has ended."""
        try:
            close = getattr(self._stream, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._end()

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        broken, self._broken = self._broken, None
        if broken is not None:
            broken()
        if ended is not None:
            ended()
