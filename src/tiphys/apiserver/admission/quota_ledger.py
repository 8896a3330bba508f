"""Charging quotas: all who write into a namespace at once are judged together and charged in one write.

Owns: who waits in which namespace, and what is done where somebody else writes a quota meanwhile. What a
write costs is ``quota_check``'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from weakref import WeakValueDictionary

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import Conflict, InternalError, NotFound
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apis.core.quota import Usage
from tiphys.apiserver.admission.quota_check import Refused, Uncovered, Write, charges
from tiphys.apiserver.registry.objects import Cached
from tiphys.apiserver.unbroken import Unbroken

_ATTEMPTS: Final = 4
_PATIENCE_S: Final = 10.0
"""For one turn; no request's deadline ends it."""


class Quotas(Protocol):
    """What of the API server's store is needed."""

    async def all(self, resource: Resource, namespace: str) -> Sequence[Cached]: ...

    async def update(self, resource: Resource, obj: Object, expect_revision: int) -> Cached: ...


@dataclass(slots=True, eq=False)
class Charge:
    """A write that asks for room; ``refused`` is why it has none, once it is settled."""

    write: Write
    dry_run: bool = False
    settled: bool = False
    gone: bool = False
    """Nobody waits for it any more."""
    refused: Refused | Uncovered | Conflict | None = None


class _Line:
    """Those who wait in one namespace; whose turn it is settles for all of them."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.waiting: list[Charge] = []


class QuotaLedger:
    """The charges of one server; nobody may have what is ``limited`` without a quota about it."""

    def __init__(self, row: Resource, limited: Sequence[Object] = ()) -> None:
        self._row = row
        self._limited = tuple(limited)
        self._lines: WeakValueDictionary[str, _Line] = WeakValueDictionary()
        self._turns = Unbroken()

    async def charge(self, store: Quotas, namespace: str, charge: Charge) -> None:
        """Charge the quotas of a namespace with a write.

        Raises:
            Refused, Uncovered: there is no room.
            Conflict: others have written the quotas each time.
            InternalError: that takes too long.
        """
        line = self._lines.get(namespace)
        if line is None:
            line = self._lines[namespace] = _Line()
        line.waiting.append(charge)
        try:
            await line.turn.acquire()
            if charge.settled:
                line.turn.release()
            else:  # the turn is for all who wait: it goes on though this request should end
                await self._turns.do(self._turn(store, namespace, line))
        finally:
            charge.gone = True
            line.waiting = [one for one in line.waiting if one is not charge]
        if charge.refused is not None:
            raise charge.refused

    async def close(self) -> None:
        """Wait for the charges under way. Idempotent."""
        await self._turns.close()

    async def _turn(self, store: Quotas, namespace: str, line: _Line) -> None:
        """Settle for all who wait, and pass the turn on; whoever could not be settled goes on waiting."""
        batch, line.waiting = line.waiting, []
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._settle(store, namespace, batch)
        except TimeoutError as error:
            raise InternalError.of("resource quota evaluation timed out") from error
        finally:
            line.waiting[:0] = [one for one in batch if not (one.settled or one.gone)]
            line.turn.release()

    async def _settle(self, store: Quotas, namespace: str, batch: Sequence[Charge]) -> None:
        limited, left = self._limited, None
        for _ in range(_ATTEMPTS):
            found = await store.all(self._row, namespace)
            quotas = [one for one in found if left is None or one.object["metadata"]["name"] in left]
            left = await self._write(store, quotas, _judge(batch, quotas, limited))
            if not left:
                break
            limited = ()  # was judged by all quotas together
        for one in batch:
            if left and one.refused is None and not one.dry_run:
                one.refused = Conflict.of("", "resourcequotas", min(left))
            one.settled = True

    async def _write(self, store: Quotas, quotas: Sequence[Cached], used: Mapping[int, Usage]) -> set[str]:
        """Write what is used; return the names of the quotas that others have written."""

        async def write(quota: Cached, usage: Usage) -> str:
            changed = with_used(quota.object, usage)
            changed["metadata"] = {**changed["metadata"]}
            changed["metadata"].pop("resourceVersion", None)
            try:
                await store.update(self._row, changed, quota.revision)
            except (Conflict, NotFound):
                return str(changed["metadata"]["name"])
            return ""

        done = await asyncio.gather(*(write(quotas[index], usage) for index, usage in used.items()))
        return set(done) - {""}


def _judge(batch: Sequence[Charge], quotas: Sequence[Cached], limited: Sequence[Object]) -> dict[int, Usage]:
    """Judge one write after the other; return what is used of the quotas that change, by their place."""
    now = [quota.object for quota in quotas]
    changed: dict[int, Usage] = {}
    for one in batch:
        if one.refused is not None or one.gone:
            continue
        try:
            used = charges(one.write, now, limited)
        except (Refused, Uncovered) as error:
            one.refused = error
            continue
        if one.dry_run:
            continue
        for index, usage in used.items():
            changed[index] = usage
            now[index] = with_used(now[index], usage)
    return changed


def with_used(quota: Object, usage: Usage) -> Object:
    """Return a quota of which this is used; nothing that it shares with the other may be changed."""
    used = {name: str(amount) for name, amount in usage.items()}
    return {**quota, "status": {**quota["status"], "used": used}}
