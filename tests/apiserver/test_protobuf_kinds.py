"""Every kind and each of its subresources, written, read and watched by a client that speaks protobuf."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from tests.apiserver.conftest import Answer, Api
from tests.every_kind import every_kind, full

from tiphys.apimachinery.meta import Object, gvk_of
from tiphys.apis.protobuf import codec

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.every_version]
PROTOBUF = "application/vnd.kubernetes.protobuf"
FORM = PROTOBUF + ";as={};v=v1;g=meta.k8s.io"
WAIT_S = 5
NOT_READ = ("proxy", "exec", "attach", "portforward", "log")
"""Subresources whose answers are no objects."""
UNDONE = {"storagemigration.k8s.io"}
"""Groups whose kinds take no status but a whole one."""


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


class Kind:
    """One kind of a server, as a typed client has it."""

    def __init__(self, api: Api, obj: Object) -> None:
        row = api.server.table.by_kind(gvk_of(obj))
        assert row is not None
        self.api, self.row, self.obj = api, row, obj
        if row.namespaced:
            obj["metadata"]["namespace"] = "default"
        root = f"/apis/{obj['apiVersion']}" if row.group else "/api/v1"
        self.path = f"{root}{'/namespaces/default' if row.namespaced else ''}/{row.plural}"
        self.one = f"{self.path}/{obj['metadata']['name']}"

    async def ask(self, method: str, path: str, body: Object | None = None, kind: str = "") -> Object:
        """Send and read protobuf; a patch (of a media type) is JSON."""
        packed = codec.encode(body) if body is not None and not kind else body
        accept = PROTOBUF + ",application/json"
        answer: Answer = await self.api(method, path, packed, content_type=kind or PROTOBUF, accept=accept)
        found = codec.decode(answer.raw)
        assert (answer.status // 100, answer.headers["content-type"]) == (2, PROTOBUF), found
        return found

    async def events(self, query: str, until: str) -> list[tuple[str, Object]]:
        """Watch until an event of a type has come."""
        response: Any = await self.api.send("GET", f"{self.path}?watch=1&{query}", accept=PROTOBUF)
        assert response.headers["content-type"] == PROTOBUF + ";stream=watch"
        found, data = list[tuple[str, Object]](), b""
        async with asyncio.timeout(WAIT_S):
            async for chunk in response.stream:
                data += chunk
                while (read := codec.read_watch_frame(data)) is not None:
                    found.append(read[:2])
                    data = data[read[2] :]
                if any(type_ == until for type_, _ in found):
                    break
        await response.stream.aclose()
        return found


def kinds(api: Api) -> list[Kind]:
    return [Kind(api, obj) for obj in every_kind("default")]


async def test_lives(api: Any) -> None:
    for kind in kinds(api):
        began = (await kind.ask("GET", kind.path))["metadata"]["resourceVersion"]
        made = await kind.ask("POST", kind.path, kind.obj)
        await reads(kind)
        await writes(kind)
        name = made["metadata"]["name"]
        options = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 0}
        if "deletecollection" in kind.row.verbs:
            ended = await kind.ask("DELETE", f"{kind.path}?labelSelector=merge%3Dx", options)
            assert [one["metadata"]["name"] for one in ended["items"]] == [name]
        else:
            await kind.ask("DELETE", kind.one, options)
        stays = (await api("GET", kind.one)).status == 200  # until who holds it lets it go
        selected = f"resourceVersion={began}&fieldSelector=metadata.name%3D{name}"
        events = await kind.events(selected, "MODIFIED" if stays else "DELETED")
        others = [type_ for type_, _ in events if type_ != "MODIFIED"]
        assert stays or others == ["ADDED", "DELETED"]
        assert full(events[0][1]) == full(made)


async def reads(kind: Kind) -> None:
    """A get, a list by pages and a watch of what there is: the same as in JSON."""
    api, row = kind.api, kind.row
    plain, packed = await api.get(kind.one), await kind.ask("GET", kind.one)
    while plain["metadata"]["resourceVersion"] != packed["metadata"]["resourceVersion"]:
        plain, packed = await api.get(kind.one), await kind.ask("GET", kind.one)
    assert full(packed) == full(plain)
    again = await kind.ask("PUT", kind.one, packed)
    assert again["metadata"]["resourceVersion"] == packed["metadata"]["resourceVersion"], row.kind
    items = await by_pages(kind)
    for path, form in ((kind.one, "PartialObjectMetadata"), (kind.path, "PartialObjectMetadataList")):
        answer = await api("GET", path, accept=FORM.format(form))
        assert codec.decode(answer.raw)["kind"] == form
    assert (await api("GET", kind.path, accept=FORM.format("Table"))).status == 406
    begun = "allowWatchBookmarks=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    *known, (_, mark) = await kind.events(begun, "BOOKMARK")
    names = [obj["metadata"]["name"] for type_, obj in known if type_ == "ADDED"]
    assert names == [item["metadata"]["name"] for item in items]
    assert mark["metadata"].pop("resourceVersion")
    assert full(mark) == {
        "kind": row.kind, "apiVersion": row.api_version,
        "metadata": {"annotations": {"k8s.io/initial-events-end": "true"}},
    }  # fmt: skip


async def by_pages(kind: Kind) -> list[Object]:
    """List one object a page; together they are what JSON has of that moment."""
    items, more, version = list[Object](), "", ""
    while more or not version:
        page = await kind.ask("GET", f"{kind.path}?limit=1&continue={more}")
        assert (page["kind"], page["apiVersion"]) == (kind.row.kind + "List", kind.row.api_version)
        items += page["items"]
        version, more = page["metadata"]["resourceVersion"], page["metadata"].get("continue", "")
    whole = await kind.api.get(f"{kind.path}?resourceVersion={version}&resourceVersionMatch=Exact")
    assert full(items) == full(whole["items"])
    return items


async def writes(kind: Kind) -> None:
    """Patches of each type; the last is an apply, which a second time changes nothing."""
    for name in ("merge", "strategic-merge"):
        body = {"metadata": {"labels": {name: "x"}}}
        found = await kind.ask("PATCH", kind.one, body, f"application/{name}-patch+json")
        assert found["metadata"]["labels"][name] == "x"
    named = f"{kind.one}?fieldManager=it&force=true"
    first, second = [
        await kind.ask("PATCH", named, kind.obj, "application/apply-patch+yaml") for _ in range(2)
    ]
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert first["metadata"]["labels"]["merge"] == "x"


async def test_subresources(api: Any) -> None:
    seen = set()
    for kind in kinds(api):
        objects = [sub for sub in kind.row.subresources if sub.name not in NOT_READ and "get" in sub.verbs]
        if not objects:
            continue
        await kind.ask("POST", kind.path, kind.obj)
        await api.settle()
        for sub in objects:
            path = f"{kind.one}/{sub.name}"
            packed = await kind.ask("GET", path)
            assert full(packed) == full(await api.get(path))
            if kind.row.group not in UNDONE and "update" in sub.verbs:
                again = await kind.ask("PUT", path, packed)
                assert again["metadata"]["resourceVersion"] == packed["metadata"]["resourceVersion"], path
                await kind.ask("PATCH", path, {}, "application/merge-patch+json")
            seen.add(sub.name)
    assert seen == {"status", "scale", "approval", "ephemeralcontainers", "resize"}


def broken(body: bytes, dice: random.Random) -> bytes:
    """Change, take away, put in or repeat some bytes behind the magic."""
    made = bytearray(body)
    at = dice.randrange(4, len(made))
    match dice.randrange(4):
        case 0:
            made[at] = dice.randrange(256)
        case 1:
            del made[at : at + dice.randrange(1, 6)]
        case 2:
            made[at:at] = dice.randbytes(dice.randrange(1, 6))
        case _:
            made[at:at] = made[dice.randrange(4, len(made)) :][:30]
    return bytes(made)


async def test_broken_bodies_are_faults_of_who_sent_them(api: Any) -> None:
    dice = random.Random(5)
    for kind in kinds(api):
        for _ in range(8):
            body = broken(codec.encode(kind.obj), dice)
            answer = await api("POST", kind.path + "?dryRun=All", body, content_type=PROTOBUF)
            assert answer.status in (201, 400, 403, 404, 422), (kind.row.kind, body, answer.raw)
