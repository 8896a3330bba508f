"""What a server serves: read anew only where a document's ETag says so."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.client.inprocess import InProcessTransport
from tiphys.client.rest import Client
from tiphys.controllers.discovery import Discovery, discover
from tiphys.wire.message import Request, Response

VERBS = ["get", "list"]


def group(name: str, *plurals: str, freshness: str = "Current") -> dict[str, Any]:
    resources = [
        {"resource": plural, "responseKind": {"kind": plural.title()}, "scope": "Namespaced", "verbs": VERBS}
        for plural in plurals
    ]
    version = {"version": "v1", "resources": resources, "freshness": freshness}
    return {"metadata": {"name": name}, "versions": [version]}


class Served:
    """A server with aggregated discovery, with ETags or without."""

    def __init__(self, *, tags: bool = True) -> None:
        self.tags = tags
        self.groups = {"/api": [group("", "pods")], "/apis": [group("apps", "deployments")]}
        self.answers: list[int] = []

    async def __call__(self, request: Request) -> Response:
        body = orjson.dumps({"kind": "APIGroupDiscoveryList", "items": self.groups[request.path]})
        headers = {"etag": f'"{hash(body)}"'} if self.tags else {}
        known = self.tags and request.headers.get("if-none-match") == headers["etag"]
        self.answers.append(304 if known else 200)
        return Response(304, headers) if known else Response(200, headers, body)


def names(found: Any) -> list[str]:
    return [str(item.gvr) for item in found.resources]


@pytest.mark.parametrize("tags", [True, False])
async def test_what_is_unchanged_is_not_read_again(tags: bool) -> None:
    served = Served(tags=tags)
    discovery = Discovery(Client(InProcessTransport(served)))
    first = await discovery.look()
    again = await discovery.look()
    assert served.answers == ([200, 200, 304, 304] if tags else [200] * 4)
    assert (again is first) is tags
    assert names(again) == names(first)
    assert [item.gvr.resource for item in first.resources] == ["pods", "deployments"]


async def test_what_changed_is() -> None:
    served = Served()
    discovery = Discovery(Client(InProcessTransport(served)))
    await discovery.look()
    served.groups["/apis"].append(group("boats.example", "fleets"))
    served.groups["/apis"].append(group("away.example", freshness="Stale"))
    found = await discovery.look()
    assert served.answers == [200, 200, 304, 200]
    assert [item.gvr.resource for item in found.resources] == ["pods", "deployments", "fleets"]
    assert found.failed == ("away.example/v1: stale GroupVersion discovery: away.example/v1",)
    assert await discovery.look() is found
    assert names(await discover(Client(InProcessTransport(served)))) == names(found)
