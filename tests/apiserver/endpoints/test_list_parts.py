"""Lists whose items are encoded once for all readers: they are what each would be by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.apiserver.conftest import Api
from tests.every_kind import every_kind

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.meta import gvk_of
from tiphys.apiserver.endpoints import list_parts
from tiphys.apiserver.endpoints.negotiation import Format
from tiphys.wire.message import Response

MAPS = "/api/v1/namespaces/default/configmaps"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = ";as=Table;v=v1;g=meta.k8s.io"
PARTIAL = ";as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
FORMS = (
    PROTOBUF, "application/yaml", f"application/json{TABLE}", f"application/yaml{TABLE}",
    f"application/json{PARTIAL}", f"application/yaml{PARTIAL}", f"{PROTOBUF}{PARTIAL}",
)  # fmt: skip


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Format]:
    """The forms in which items were encoded."""
    found: list[Format] = []
    original = list_parts.items_part

    def items_part(form: Format, value: Any, encode: list_parts.Encode) -> bytes:
        found.append(form)
        return original(form, value, encode)

    monkeypatch.setattr(list_parts, "items_part", items_part)
    return found


async def fill(api: Api, count: int = 3) -> None:
    for number in range(count):
        data = {"k": 'v\nitems: []\n"items":[ "rows":[' * 9, "e": "é<&>"}
        await api.create(MAPS, {"metadata": {"name": f"m{number}", "labels": {"a": "b"}}, "data": data})


def whole(response: Response) -> bytes:
    assert response.status == 200
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)


async def alone(api: Api, path: str, form: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    with monkeypatch.context() as patched:
        patched.setattr(list_parts, "divides", lambda _form: False)
        response = await api.send("GET", path, accept=form)
        assert isinstance(response.body, bytes)
        return response.body


@pytest.mark.slow
@pytest.mark.every_version
async def test_all_lists_in_all_forms(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0
    for obj in every_kind("default"):
        row = api.server.table.by_kind(gvk_of(obj))
        if row is None or not {"create", "list"} <= set(row.verbs):
            continue
        root = f"/apis/{obj['apiVersion']}" if row.group else "/api/v1"
        path = f"{root}/namespaces/default/{row.plural}" if row.namespaced else f"{root}/{row.plural}"
        if row.namespaced:
            obj["metadata"]["namespace"] = "default"
        await api("POST", path, obj)
        for form in FORMS:
            for query in ("", "?limit=1", "?includeObject=Object"):
                both = [whole(await api.send("GET", path + query, accept=form)) for _ in range(2)]
                assert both == [await alone(api, path + query, form, monkeypatch)] * 2, (path, form)
                seen += 1
    assert seen > 1000


@pytest.mark.parametrize("form", FORMS)
async def test_a_list_in_parts_is_what_it_would_be_in_one(
    api: Api, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(api)
    for path in (MAPS, f"{MAPS}?limit=2"):
        parts = whole(await api.send("GET", path, accept=form))
        assert parts == await alone(api, path, form, monkeypatch)


CRD = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "boats.example.com"},
    "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat"},
        "versions": [{
            "name": "v1", "served": True, "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            "additionalPrinterColumns": [{"name": "rows", "type": "string", "jsonPath": ".items",
                                          "description": "rows: []\n\"rows\":["}],
        }],
    },
}  # fmt: skip


async def test_lists_of_custom_kinds(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
    path = "/apis/example.com/v1/namespaces/default/boats"
    while (await api("GET", path)).status != 200:  # noqa: ASYNC110
        await asyncio.sleep(0)
    for name, items in (("a", []), ("b", "items: []")):
        boat = {
            "apiVersion": "example.com/v1",
            "kind": "Boat",
            "metadata": {"name": name},
            "items": items,
            "n": 1.5,
        }
        await api.create(path, boat)
    for form in FORMS:
        if not form.startswith(PROTOBUF):
            assert whole(await api.send("GET", path, accept=form)) == await alone(
                api, path, form, monkeypatch
            )


@pytest.mark.parametrize("form", FORMS)
async def test_readers_of_one_form_hold_the_same_bytes(api: Api, made: list[Format], form: str) -> None:
    await fill(api)
    answers = [await api.send("GET", MAPS, accept=form) for _ in range(20)]
    held = {id(answer.body[1]) for answer in answers}
    assert (len(held), len(made)) == (1, 1)


async def test_what_others_write_changes_what_stands_around(api: Api, made: list[Format]) -> None:
    await fill(api)
    first = await api.send("GET", MAPS, accept=PROTOBUF)
    await api.create("/api/v1/namespaces", {"metadata": {"name": "other"}})
    second = await api.send("GET", MAPS, accept=PROTOBUF)
    assert first.body[1] is second.body[1]
    assert first.body[0] != second.body[0]
    await fill_one_more(api)
    assert (await api.send("GET", MAPS, accept=PROTOBUF)).body[1] != first.body[1]
    assert len(made) == 2


async def fill_one_more(api: Api) -> None:
    await api.create(MAPS, {"metadata": {"name": "more"}})


async def test_forms_are_kept_apart(api: Api, made: list[Format]) -> None:
    await fill(api)
    for form in (*FORMS, *FORMS):
        for query in ("", "?includeObject=None"):
            await api.send("GET", MAPS + query, accept=form)
    assert len(made) == len(FORMS) + 2  # tables, which are other ones by what they include


async def test_tables_are_made_anew_as_ages_change(serving: Any, made: list[Format]) -> None:
    async with serving() as api:
        await fill(api)
        clock: FakeClock = api.clock
        for seconds in (0.1, 0.2, 0.9, 0.1):
            answer = await api("GET", MAPS, accept=f"application/json{TABLE}")
            assert answer.status == 200
            clock.advance(seconds)
        ages = answer.json["rows"][0]["cells"][-1]
        assert ages.endswith("s")
        assert len(made) in (2, 3)
        held = api.server.objects._feed.kept
        assert len(held._sizes) == 1  # the newest alone


async def test_what_is_laid_out_for_people_is_made_for_each(api: Api, made: list[Format]) -> None:
    await fill(api)
    for form in (f"application/json{TABLE}", f"application/json{PARTIAL}"):
        answer = await api.send("GET", f"{MAPS}?pretty=true", accept=form)
        assert isinstance(answer.body, bytes)
    empty = await api.send("GET", "/api/v1/namespaces/default/secrets", accept="application/yaml")
    assert isinstance(empty.body, bytes)
    assert not made


@pytest.mark.parametrize("form", [form for form in FORMS if "yaml" in form])
async def test_long_documents_are_written_in_runs(
    api: Api, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(list_parts, "_RUN", 2)
    await fill(api, 5)
    for query in ("", "?labelSelector=a%3Db"):
        found = whole(await api.send("GET", MAPS + query, accept=form))
        assert found == await alone(api, MAPS + query, form, monkeypatch)
