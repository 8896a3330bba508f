"""Parts of a collection by hashes, as clients share one out among themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote

import pytest
from tests.apiserver.conftest import Api

from tiphys.apimachinery.featuregates import resolve
from tiphys.apiserver.registry.shards import fnv1a

MAPS = "/api/v1/namespaces/default/configmaps"
HALVES = (
    "shardRange(object.metadata.uid, '0x0000000000000000', '0x8000000000000000')",
    "shardRange(object.metadata.uid, '0x8000000000000000', '0x10000000000000000')",
)
NAMESPACE = "shardRange(object.metadata.namespace, '0x8000000000000000', '0x10000000000000000')"
"""The name of ``default`` is in this half, ``other`` is not."""
GATES = resolve({"ShardedListAndWatch": True})
Serving = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.mark.parametrize(
    ("text", "want"),
    [("", 0xCBF29CE484222325), ("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8)],
)
def test_hash(text: str, want: int) -> None:
    assert fnv1a(text) == want


async def test_shards_make_up_the_whole(serving: Serving) -> None:
    async with serving(feature_gates=GATES) as api:
        made = {
            (await api.create(MAPS, {"metadata": {"name": f"m{n}"}}))["metadata"]["uid"] for n in range(12)
        }
        shares = []
        for half in HALVES:
            page = await api.get(f"{MAPS}?shardSelector={quote(half)}")
            assert page["metadata"]["shardInfo"] == {"selector": half}
            shares.append({item["metadata"]["uid"] for item in page["items"]})
        assert (shares[0] | shares[1], shares[0] & shares[1]) == (made, set())
        assert shares[0] == {uid for uid in made if fnv1a(uid) < 1 << 63}
        both = await api.get(f"{MAPS}?shardSelector={quote(' || '.join(HALVES))}")
        assert {item["metadata"]["uid"] for item in both["items"]} == made


async def test_a_watch_sees_its_share(serving: Serving) -> None:
    async with serving(feature_gates=GATES) as api:
        query = f"?watch=1&resourceVersion=1&timeoutSeconds=1&shardSelector={quote(NAMESPACE)}"
        await api.create("/api/v1/namespaces", {"metadata": {"name": "other"}})
        for namespace in ("default", "other"):
            await api.create(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "m"}})
        response = await api.send("GET", "/api/v1/configmaps" + query)
        assert response.stream is not None
        seen = await anext(response.stream)
        assert b'"namespace":"default"' in seen
        assert b'"namespace":"other"' not in seen
        await response.stream.aclose()


async def test_who_does_not_honour_it_says_nothing(api: Api) -> None:
    await api.create(MAPS, {"metadata": {"name": "m"}})
    page = await api.get(f"{MAPS}?shardSelector={quote('no such thing')}")
    assert len(page["items"]) == 1
    assert "shardInfo" not in page["metadata"]


@pytest.mark.parametrize(
    ("selector", "why"),
    [
        ("x", "expected shardRange("),
        (HALVES[0] + " && " + HALVES[1], "expected shardRange("),
        ("shardRange(metadata.uid, '0x0', '0x8')", "unsupported field path metadata.uid"),
        ("shardRange(object.metadata.uid, '0x8', '0x8')", "no range of hashes"),
        ("shardRange(object.metadata.uid, '0x0', '0x10000000000000001')", "no range of hashes"),
    ],
)
async def test_refusals(serving: Serving, selector: str, why: str) -> None:
    async with serving(feature_gates=GATES) as api:
        answer = await api("GET", f"{MAPS}?shardSelector={quote(selector)}")
        assert answer.status == 400
        assert why in answer.message
