"""Where each kind lies in the store, as upstream's test of that has it, and what upstream left there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
import yaml
from tests.apiserver.conftest import EVERY_VERSION, Answer, Api
from tests.every_kind import filled

from tiphys.apimachinery.clock import FakeClock
from tiphys.apis.protobuf import codec
from tiphys.apiserver.server import ApiServer
from tiphys.storage.base import Put
from tiphys.storage.memory import MemoryStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

Made = dict[int, tuple[Answer, bytes]]
CASES: list[dict[str, Any]] = yaml.load(
    Path(__file__).with_name("storage_paths.yaml").read_text(), yaml.CSafeLoader
)


@asynccontextmanager
async def serve(store: MemoryStore) -> AsyncIterator[Api]:
    server = ApiServer(store, EVERY_VERSION, FakeClock())
    await server.start()
    try:
        yield Api(server, FakeClock())
    finally:
        await server.stop()


def path_of(case: dict[str, Any]) -> str:
    group_version, _, plural = case["at"].rpartition("/")
    scope = "/namespaces/default" if "/NS/" in case["key"] else ""
    return f"/{'apis' if '/' in group_version else 'api'}/{group_version}{scope}/{plural}"


def key_of(case: dict[str, Any]) -> str:
    return "/registry/" + str(case["key"]).replace("/NS/", "/default/")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made() -> Made:
    """Create the object of each case: the answer, and what lay under its key."""
    store, found = MemoryStore(), {}
    async with serve(store) as api:
        await api.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        for index, case in enumerate(CASES):
            answer = await api("POST", path_of(case), filled(case["object"], {"NS": "default"}))
            record = await store.get(key_of(case))
            found[index] = (answer, record.value if record is not None else b"")
            await api("DELETE", f"{path_of(case)}/{case['object']['metadata']['name']}?gracePeriodSeconds=0")
    return found


@pytest.mark.parametrize("index", range(len(CASES)), ids=[case["at"] for case in CASES])
async def test_where_it_lies(index: int, made: Made) -> None:
    answer, stored = made[index]
    assert answer.status == 201, answer.message
    version = CASES[index].get("stored", CASES[index]["at"].rpartition("/")[0])
    assert orjson.loads(stored)["apiVersion"] == version


async def test_every_version_of_every_kind_has_its_case() -> None:
    async with serve(MemoryStore()) as api:
        stored = {f"{row.api_version}/{row.plural}" for row in api.server.table if row.storage_prefix}
    assert stored == {case["at"] for case in CASES}


def upstream_form(value: bytes) -> bytes:
    """Write an object as upstream does: protobuf, but for what its extension servers keep as JSON."""
    stored = orjson.loads(value)
    if stored["apiVersion"].partition("/")[0] in ("apiextensions.k8s.io", "apiregistration.k8s.io"):
        return orjson.dumps({"kind": stored.pop("kind"), **stored})
    return codec.encode(stored)


async def test_what_upstream_left_is_served(made: Made) -> None:
    store = MemoryStore()
    left = {key_of(CASES[index]): index for index in made}  # the last of those at one key
    await store.commit([Put(key, upstream_form(made[index][1])) for key, index in left.items()])
    async with serve(store) as api:
        for index in left.values():
            read = await api.get(f"{path_of(CASES[index])}/{CASES[index]['object']['metadata']['name']}")
            assert without_status(read) == without_status(made[index][0].json)


def without_status(obj: dict[str, Any]) -> dict[str, Any]:
    """Take away what the server's own controllers have to say of some kinds, and the version."""
    meta = obj["metadata"]
    managers = [one for one in meta.get("managedFields", ()) if one.get("subresource") != "status"]
    return {**obj, "metadata": {**meta, "managedFields": managers, "resourceVersion": ""}, "status": None}


async def test_a_write_that_changes_nothing_brings_it_into_form(made: Made) -> None:
    store = MemoryStore()
    key, path = "/registry/configmaps/default/cm1", "/api/v1/namespaces/default/configmaps/cm1"
    await store.commit([Put(key, upstream_form(made[0][1]))])
    async with serve(store) as api:
        before = await api.get(path)
        after = (await api.patch(path, {})).json
        again = (await api.patch(path, {})).json
    record = await store.get(key)
    assert record is not None
    assert record.value == made[0][1]
    versions = [one["metadata"]["resourceVersion"] for one in (before, after, again)]
    assert versions[0] != versions[1] == versions[2]


async def test_one_that_cannot_be_read_is_told(made: Made) -> None:
    store = MemoryStore()
    key = "/registry/configmaps/default/cm1"
    for value in (b"k8s\0\xff", b"{", b"[]", b'{"kind":"Secret","apiVersion":"v1","metadata":{}}'):
        await store.commit([Put(key, value)])
        async with serve(store.copy()) as api:
            one = await api("GET", "/api/v1/namespaces/default/configmaps/cm1")
            many = await api("GET", "/api/v1/namespaces/default/configmaps")
        assert (one.status, many.status) == (500, 500)
        assert one.message == many.message
