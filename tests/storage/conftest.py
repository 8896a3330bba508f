"""Every store behind one fixture: a new kind joins the contract by one line in ``KINDS``."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.storage.base import Store
from tiphys.storage.memory import MemoryStore
from tiphys.storage.sqlite import SqliteStore

KINDS: dict[str, Callable[[Path, FakeClock], Store]] = {
    "memory": lambda _path, clock: MemoryStore(clock=clock),
    "sqlite": lambda path, clock: SqliteStore(path / "store.db", clock=clock),
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=list(KINDS))
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    store = KINDS[request.param](tmp_path, clock)
    await store.open()
    yield store
    await store.close()
