"""The beat of who keeps a table of a node: write what changed, not too often, look at it now and then."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from tiphys.proxy.nft import NftError

_RETRY_S: Final = 1.0


class Keeper(Protocol):
    """Keeps one table."""

    async def sync(self) -> None:
        """Write the difference. Raises NftError."""
        ...

    async def check(self) -> None:
        """Look whether the table still is as it was written."""
        ...

    def start_over(self, error: NftError) -> None:
        """Be ready to write everything: a difference could not be written."""
        ...


async def keep(
    keeper: Keeper, changed: asyncio.Event, min_interval_s: float, check_interval_s: float
) -> None:
    """Write when ``changed`` is set, check where it stays unset for ``check_interval_s``; until cancelled."""
    while True:
        await write(keeper, changed)
        await asyncio.sleep(min_interval_s)
        try:
            async with asyncio.timeout(check_interval_s):
                await changed.wait()
        except TimeoutError:
            await keeper.check()


async def write(keeper: Keeper, changed: asyncio.Event) -> None:
    """Write the difference, or have all of it written next time."""
    try:
        await keeper.sync()
    except NftError as error:
        keeper.start_over(error)
        changed.set()
        await asyncio.sleep(_RETRY_S)
