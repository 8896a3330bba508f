"""One API server in this process over an in-memory store: what tests of handlers talk to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
import pytest_asyncio
from tests.every_kind import ALL_SERVED

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.options import ApiServerOptions, TokenEntry
from tiphys.apiserver.server import ApiServer
from tiphys.storage.base import Delete, Put, Store
from tiphys.storage.memory import MemoryStore
from tiphys.wire.message import Request, Response
from tiphys.wire.pki import make_signing_key

SIGNING_KEY = make_signing_key()
TOKENS = (
    TokenEntry("admin", "admin", "1", ("system:masters",)),
    TokenEntry("alice", "alice", "2", ("dev",)),
    TokenEntry("node", "system:node:n1", "3", ("system:nodes",)),
)
OPTIONS = ApiServerOptions(tokens=TOKENS, service_account_signing_key=SIGNING_KEY)
EVERY_VERSION = replace(OPTIONS, **ALL_SERVED)
"""For ``@pytest.mark.every_version``: what is served only when asked for is served too."""
JSON = "application/json"


@dataclass
class Answer:
    """A response with its body read."""

    status: int
    headers: dict[str, str]
    raw: bytes
    json: Any = field(default=None)

    @property
    def message(self) -> str:
        return str(self.json.get("message", ""))


class Api:
    """A client that knows paths and nothing else."""

    def __init__(self, server: ApiServer, clock: FakeClock, store: Store | None = None) -> None:
        self.server = server
        self.clock = clock
        self.store = store

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = "admin",
        content_type: str = JSON,
        accept: str = JSON,
        **headers: str,
    ) -> Response:
        assert "headers" not in headers, "each header is an argument of its own"
        path, _, query = path.partition("?")
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        sent = {"accept": accept, "content-type": content_type, "user-agent": "test/1", **named}
        if user:
            sent["authorization"] = f"Bearer {user}"
        return await self.server.handler(Request(method, path, query, sent, data))

    async def __call__(self, method: str, path: str, body: Any = None, **rest: Any) -> Answer:
        response = await self.send(method, path, body, **rest)
        assert response.stream is None
        raw = response.body if isinstance(response.body, bytes) else b"".join(response.body)
        if response.written is not None:
            response.written()
        is_json = "json" in response.headers.get("content-type", "")
        return Answer(response.status, response.headers, raw, orjson.loads(raw) if is_json and raw else None)

    @asynccontextmanager
    async def swept(self) -> AsyncIterator[None]:
        """Take back what is written meanwhile: afterwards every object is as it was.

        Not for tests of what a server remembers of its past, nor for those that end it or turn its clock.
        """
        store = self.store
        assert isinstance(store, MemoryStore)
        since, now = store.revision, self.clock.monotonic()
        yield
        assert self.clock.monotonic() == now, "others go by this clock: take a server of your own"
        await sweep(store, since)
        await self.settle()

    async def settle(self) -> None:
        """Let the indexes that follow the store catch up."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def get(self, path: str, **rest: Any) -> Any:
        answer = await self("GET", path, **rest)
        assert answer.status == 200, answer.raw
        return answer.json

    async def create(self, path: str, body: Any, **rest: Any) -> Any:
        answer = await self("POST", path, body, **rest)
        assert answer.status == 201, answer.raw
        return answer.json

    async def put(self, path: str, body: Any, **rest: Any) -> Any:
        answer = await self("PUT", path, body, **rest)
        assert answer.status == 200, answer.raw
        return answer.json

    async def patch(self, path: str, body: Any, kind: str = "merge", **rest: Any) -> Answer:
        types = {
            "merge": "application/merge-patch+json",
            "strategic": "application/strategic-merge-patch+json",
            "json": "application/json-patch+json",
            "apply": "application/apply-patch+yaml",
        }
        return await self("PATCH", path, body, content_type=types[kind], **rest)


_furnished: list[MemoryStore] = []
"""What the first server wrote at its start. The others find it written: that takes half the time."""


async def _furnish() -> MemoryStore:
    if not _furnished:
        store, clock = MemoryStore(), FakeClock()
        server = ApiServer(store, OPTIONS, clock)
        await server.start()
        account = {"metadata": {"name": "default"}}
        await Api(server, clock).create("/api/v1/namespaces/default/serviceaccounts", account)
        _furnished.append(store.copy())
        await server.stop()
    return _furnished[0].copy()


@asynccontextmanager
async def _furnished_server(asking: Any) -> AsyncIterator[Api]:
    clock, store = FakeClock(), await _furnish()
    every = asking.get_closest_marker("every_version") is not None
    server = ApiServer(store, EVERY_VERSION if every else OPTIONS, clock)
    await server.start()
    try:
        yield Api(server, clock, store)
    finally:
        await server.stop()


@pytest.fixture
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    async with _furnished_server(request.node) as api:
        yield api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """One server for all tests of a module, which only read: let its ``api`` be this one.

    They share its loop: ``pytestmark = pytest.mark.asyncio(loop_scope="module")``
    """
    async with _furnished_server(request.node) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def swept_api(module_api: Api) -> AsyncIterator[Api]:
    """The server of ``module_api`` for a test that writes: when it ends, its objects are as they were."""
    async with module_api.swept():
        yield module_api


async def sweep(store: MemoryStore, since: int) -> None:
    """Put every key back to what it was at a revision."""
    writes: list[Put | Delete] = []
    for key in {event.record.key for event in await store.history("", since + 1, store.revision)}:
        before, after = await store.get(key, revision=since), await store.get(key)
        if before is not None and (after is None or after.value != before.value):
            writes.append(Put(key, before.value))
        elif before is None and after is not None:
            writes.append(Delete(key))
    await store.commit(writes)


@asynccontextmanager
async def _serving(
    store: Store | None = None, clock: FakeClock | None = None, *, bare: bool = False, **options: Any
) -> AsyncIterator[Api]:
    clock = clock or FakeClock()
    settings = replace(OPTIONS, **options)
    if store is None and not bare:
        store = await _furnish()
    store = store or MemoryStore()
    server = ApiServer(store, settings, clock)
    await server.start()
    try:
        yield Api(server, clock, store)
    finally:
        await server.stop()


@pytest.fixture(scope="session")
def serving() -> Callable[..., AbstractAsyncContextManager[Api]]:
    """Run a server with options of a test's own: ``async with serving(anonymous_auth=False) as api``.

    Where no store is given it finds written what a server writes at its first start and the default service
    account, which takes a third less; ``bare``: it finds nothing.
    """
    return _serving


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    """A small valid pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec},
    }


@pytest.fixture(scope="session")
def make_pod() -> Any:
    return pod
