"""Every store behind one fixture: a new kind joins the contract by one line in ``KINDS``."""

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from etcd_line import Line

from tiphys.apimachinery.clock import FakeClock
from tiphys.storage.base import Store
from tiphys.storage.etcd import EtcdStore
from tiphys.storage.memory import MemoryStore
from tiphys.storage.sqlite import SqliteStore
from tiphys.testing.etcd import ClockedEtcdStore, EtcdProcess

KINDS: dict[str, Callable[[Path, FakeClock, str], Store]] = {
    "memory": lambda _path, clock, _url: MemoryStore(clock=clock),
    "sqlite": lambda path, clock, _url: SqliteStore(path / "store.db", clock=clock),
    "etcd": lambda _path, clock, url: ClockedEtcdStore(url, clock),
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[EtcdProcess]:
    """An empty etcd of the test's own: the contract counts revisions from the first one on."""
    process = EtcdProcess(tmp_path / "etcd")
    await process.start()
    try:
        ready = EtcdStore([process.url])
        await ready.open()
        await ready.close()
        yield process
    finally:
        await process.end()


@pytest.fixture
def etcd_process() -> type[EtcdProcess]:
    """To start members oneself."""
    return EtcdProcess


@pytest.fixture(
    params=[pytest.param(kind, marks=pytest.mark.etcd) if kind == "etcd" else kind for kind in KINDS]
)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    process = EtcdProcess(tmp_path / "etcd") if request.param == "etcd" else None
    if process is not None:
        await process.start()
    store = KINDS[request.param](tmp_path, clock, process.url if process is not None else "")
    try:
        await store.open()
        yield store
        await store.close()
    finally:
        if process is not None:
            await process.end()


@pytest.fixture
async def line(etcd: EtcdProcess) -> AsyncIterator[Line]:
    line = Line(etcd.url)
    yield line
    await line.close()
