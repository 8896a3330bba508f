"""What lies in the store, or comes from others, is decoded once: for itself and for what selectors ask."""

from __future__ import annotations

import orjson
import pytest
from tests.apiserver.cache.conftest import DEPLOYMENTS, PODS, labelled, names, on_node, pod

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.cache import CachedStore
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.cache.form import encode
from tiphys.apiserver.registry.objects import Selection
from tiphys.storage.base import Put, Store


@pytest.fixture(params=["this server's form", "another form"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _stored(obj: Object, form: str) -> bytes:
    return encode(obj) if form == "this server's form" else orjson.dumps(obj, option=orjson.OPT_INDENT_2)


def _put(name: str, node: str, form: str) -> Put:
    return Put(f"/registry/pods/default/{name}", _stored(pod(name, node=node, app=name), form))


async def test_pods_are_decoded_once(
    below: Store, store: CachedStore, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await below.commit([_put("a", "n1", form), _put("b", "n2", form)])
    assert names(await store.list(PODS, Selection())) == ["a", "b"]
    written = await below.commit([_put("c", "n1", form)])  # by another server
    await store._feed.caught_up(written)

    def refuse(entry: Entry) -> Object:
        raise AssertionError(f"{entry.key} is decoded again")

    monkeypatch.setattr(Entry, "_decode", refuse)
    assert names(await store.list(PODS, on_node("n1"))) == ["a", "c"]
    assert names(await store.list(PODS, labelled(app="b"))) == ["b"]


async def test_other_kinds_keep_nothing_that_nobody_asked_for(below: Store, store: CachedStore) -> None:
    """Of a hundred thousand Events that would weigh as much as they do themselves."""
    deployment = {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "d", "labels": {"a": "b"}},
    }
    await below.commit([Put("/registry/deployments/default/d", encode(deployment))])
    found = await store.get(DEPLOYMENTS, "default", "d")
    assert found._labels is None  # type: ignore[attr-defined]
    assert found.labels == {"a": "b"}


@pytest.mark.parametrize("labels", [["a"], "a", 1, None])
async def test_labels_that_are_none_match_nothing(below: Store, store: CachedStore, labels: object) -> None:
    odd = {**pod("a", node="n1"), "metadata": {"name": "a", "namespace": "default", "labels": labels}}
    await below.commit([Put("/registry/pods/default/a", encode(odd)), _put("b", "n1", "another form")])
    assert names(await store.list(PODS, on_node("n1")))[-1:] == ["b"]
    assert names(await store.list(PODS, labelled(app="b"))) == ["b"]
