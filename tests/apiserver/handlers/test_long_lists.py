"""Long lists and large objects in forms that take long to make: others are served meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apiserver.cache import feed
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.cache.form import ordered
from tiphys.apiserver.crd import store
from tiphys.apiserver.crd.store import View
from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.evaluating import LARGE_BYTES

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
FORMS = {
    "yaml": (MAPS, "application/yaml"),
    "a table": (MAPS, TABLE),
    "some of a table": (f"{MAPS}?labelSelector=a%3Db", TABLE),
    "protobuf": (MAPS, "application/vnd.kubernetes.protobuf"),
    "for people": (f"{MAPS}?pretty=1", "application/json"),
    "heads": (MAPS, "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"),
}


def held() -> tuple[threading.Event, threading.Event, Callable[[Callable[..., Any]], Callable[..., Any]]]:
    """Return what is set once a slowed function runs, what lets it go on, and what slows one."""
    begun, served = threading.Event(), threading.Event()

    def slowed(original: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*args: Any, **named: Any) -> Any:
            begun.set()
            assert served.wait(20), "nobody else was served"
            return original(*args, **named)

        return slow

    return begun, served, slowed


@pytest.mark.parametrize("form", FORMS)
async def test_others_are_served_meanwhile(api: Any, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    path, accept = FORMS[form]
    large = {"metadata": {"name": "m", "labels": {"a": "b"}}, "data": {"x": "y" * LARGE_BYTES}}
    await api.create(MAPS, large)
    begun, served, slowed = held()
    monkeypatch.setattr(respond, "_listed", slowed(respond._listed))
    asking = asyncio.create_task(api.send("GET", path, accept=accept))
    assert await asyncio.to_thread(begun.wait, 20)
    assert (await api("GET", f"{MAPS}/m")).status == 200
    served.set()
    answer = await asking
    assert answer.status == 200
    assert answer.headers["content-type"] == accept.partition(";")[0]


@pytest.mark.parametrize("verb", ["GET", "PATCH", "PUT", "POST"])
async def test_and_while_a_large_object_is_shown(
    api: Any, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    large = {"metadata": {"name": "m"}, "data": {"x": "y" * LARGE_BYTES}}
    if verb != "POST":
        large = await api.create(MAPS, large)
    await api.create(MAPS, {"metadata": {"name": "small"}})
    begun, served, slowed = held()
    monkeypatch.setattr(respond, "_transformed", slowed(respond._transformed))
    merge = {"content_type": "application/merge-patch+json"} if verb == "PATCH" else {}
    body = {"PATCH": {"data": {"z": "1"}}, "PUT": large, "POST": large}.get(verb)
    path = MAPS if verb == "POST" else f"{MAPS}/m"
    asking = asyncio.create_task(api.send(verb, path, body, accept="application/yaml", **merge))
    assert await asyncio.to_thread(begun.wait, 20)
    assert (await api("GET", f"{MAPS}/small")).status == 200
    served.set()
    answer = await asking
    assert (answer.status, answer.headers["content-type"]) == (
        201 if verb == "POST" else 200,
        "application/yaml",
    )


async def test_what_is_wrong_with_a_form_is_told(api: Any) -> None:
    await api.create(MAPS, {"metadata": {"name": "m"}, "data": {"x": "y" * LARGE_BYTES}})
    answer = await api("GET", f"{MAPS}?includeObject=Nope", accept=TABLE)
    assert answer.status == 400


async def test_and_while_a_collection_that_was_deleted_is_shown(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.create(MAPS, {"metadata": {"name": "m"}, "data": {"x": "y" * LARGE_BYTES}})
    begun, served, slowed = held()
    monkeypatch.setattr(respond, "list_value", slowed(respond.list_value))
    asking = asyncio.create_task(api.send("DELETE", MAPS, accept="application/yaml"))
    assert await asyncio.to_thread(begun.wait, 20)
    assert (await api("GET", "/api/v1/namespaces/default")).status == 200
    served.set()
    assert (await asking).status == 200


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(**note: Any) -> dict[str, Any]:
    spec = {"type": "object", "properties": {"x": {"type": "string"}, "note": {"type": "string", **note}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": "foos", "kind": "Foo"}
    return {
        "metadata": {"name": "foos.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }


FOOS = "/apis/example.com/v1/namespaces/default/foos"
FOO = {"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "m"}}


async def serve_foos(api: Any) -> None:
    await api.create(CRDS, definition())
    async with asyncio.timeout(20):
        while (await api("GET", FOOS)).status == 404:
            await api.settle()


WRITES = {
    "a map is created": (MAPS, "POST", feed, "ordered"),
    "a map is replaced": (MAPS, "PUT", feed, "ordered"),
    "a map is patched": (MAPS, "PATCH", feed, "ordered"),
    "an object is created": (FOOS, "POST", feed, "ordered"),
    "an object is replaced": (FOOS, "PUT", feed, "ordered"),
    "an object is patched": (FOOS, "PATCH", feed, "ordered"),
    "what was created is compared": (FOOS, "POST", store, "_shown"),
    "what was patched is compared": (FOOS, "PATCH", store, "_shown"),
}


@pytest.mark.parametrize("write", WRITES)
async def test_and_while_a_large_object_is_encoded(
    api: Any, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    path, verb, module, name = WRITES[write]
    if path == FOOS:
        await serve_foos(api)
    part = "data" if path == MAPS else "spec"
    large: Any = {"metadata": {"name": "m"}, part: {"x": "y" * LARGE_BYTES}}
    large |= FOO if path == FOOS else {}
    if verb != "POST":
        large = await api.create(path, large)
    begun, served, slowed = held()
    monkeypatch.setattr(module, name, slowed(getattr(module, name)))
    merge = {"content_type": "application/merge-patch+json"} if verb == "PATCH" else {}
    large[part]["note"] = "n"
    body = {part: {"note": "n"}} if verb == "PATCH" else large
    writing = asyncio.create_task(api(verb, path if verb == "POST" else f"{path}/m", body, **merge))
    assert await asyncio.to_thread(begun.wait, 20)
    assert (await api("GET", "/api/v1/namespaces/default")).status == 200
    served.set()
    answer = await writing
    assert (answer.status, answer.json[part]["note"]) == (201 if verb == "POST" else 200, "n")
    assert (await api("GET", f"{path}/m")).json == answer.json


async def test_and_while_a_large_object_is_marked_as_going(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    meta = {"name": "m", "finalizers": ["example.com/a"]}
    await api.create(MAPS, {"metadata": meta, "data": {"x": "y" * LARGE_BYTES}})
    begun, served, slowed = held()
    monkeypatch.setattr(feed, "ordered", slowed(ordered))
    deleting = asyncio.create_task(api("DELETE", f"{MAPS}/m"))
    assert await asyncio.to_thread(begun.wait, 20)
    assert (await api("GET", "/api/v1/namespaces/default")).status == 200
    served.set()
    assert "deletionTimestamp" in (await deleting).json["metadata"]


async def test_what_was_written_as_it_is_shown_is_not_decoded_for_that(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await serve_foos(api)
    decoded: list[str] = []
    original = Entry._decode

    def noted(entry: Entry) -> Any:
        decoded.extend([entry.name] if entry.name == "m" else ())
        return original(entry)

    monkeypatch.setattr(Entry, "_decode", noted)
    made = await api.create(FOOS, {**FOO, "spec": {"x": "y" * LARGE_BYTES}})
    assert (made["spec"]["x"][:2], decoded) == ("yy", [])
    assert (await api("DELETE", f"{FOOS}/m")).status == 200
    assert decoded == ["m"]  # once, for who judges the deletion


async def test_and_while_custom_objects_are_written_that_are_stored_otherwise(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await serve_foos(api)
    await api.create(FOOS, {**FOO, "spec": {"x": "y" * LARGE_BYTES}})
    await api.patch(f"{CRDS}/foos.example.com", {"spec": definition(default="n")["spec"]})
    await api.settle()
    begun, served, slowed = held()
    listed: Any = View.listed
    monkeypatch.setattr(View, "listed", property(slowed(listed.fget)))
    asking = asyncio.create_task(api.send("GET", FOOS))
    assert await asyncio.to_thread(begun.wait, 20)
    assert (await api("GET", CRDS)).status == 200
    served.set()
    answer = await asking
    assert b'"note":"n"' in b"".join(answer.body)
