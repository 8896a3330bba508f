"""A kernel that remembers what it was told to write."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.proxy.nft import NftError
from tiphys.proxy.ruleset import Table


class Recorder:
    """A kernel that remembers; ``fail`` makes the next write fail, ``chains`` is what a check finds."""

    def __init__(self) -> None:
        self.writes: list[list[str]] = []
        self.flows: list[tuple[str, str, int]] = []
        self.fail = False
        self.chains: set[str] | None = None

    async def apply(self, commands: Iterable[str]) -> None:
        if self.fail:
            self.fail = False
            raise NftError("nft: no")
        self.writes.append(list(commands))

    async def chain_names(self, table: Table) -> set[str] | None:
        return set(table.chains) if self.chains is None else self.chains

    async def forget_flows(self, targets: Iterable[tuple[str, str, int]]) -> int:
        found = list(targets)
        self.flows += found
        return len(found)
