"""Definitions for tests, and ways to make and watch them."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import orjson
import pytest

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FOOS = "/apis/example.com/v1/namespaces/default/foos"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["image"],
            "properties": {
                "image": {"type": "string", "minLength": 1},
                "replicas": {"type": "integer", "minimum": 0},
                "size": {"x-kubernetes-int-or-string": True},
                "note": {"type": "string", "nullable": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "template": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                },
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
                    },
                },
            },
        },
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
    },
}


def version(name: str = "v1", *, storage: bool = True, **more: Any) -> dict[str, Any]:
    schema = {"openAPIV3Schema": copy.deepcopy(SCHEMA)}
    return {"name": name, "served": True, "storage": storage, "schema": schema, **more}


def definition(*versions: dict[str, Any], plural: str = "foos", kind: str = "Foo", **spec: Any) -> Any:
    names = {"plural": plural, "kind": kind, **spec.pop("names", {})}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": names,
            "versions": list(versions) or [version()],
            **spec,
        },
    }


def foo(name: str = "a", api_version: str = "v1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"example.com/{api_version}",
        "kind": "Foo",
        "metadata": {"name": name},
        "spec": {"image": "x", **spec},
    }


PATIENCE_S = 30
"""What does not happen in so many seconds does not happen."""


class Crds:
    """What the tests of this folder do with an ``Api``."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self.path = CRDS
        self.foos = FOOS
        self.version = staticmethod(version)
        self.definition = staticmethod(definition)
        self.foo = staticmethod(foo)

    async def wait(self, name: str, type_: str, status: str = "True") -> Any:
        """Watch a definition until a condition has a status; return the definition."""
        response = await self.api.send("GET", f"{CRDS}?watch=true&fieldSelector=metadata.name={name}")
        async with asyncio.timeout(PATIENCE_S):
            async for chunk in response.stream:
                for line in chunk.splitlines():
                    crd = orjson.loads(line)["object"]
                    for condition in (crd.get("status") or {}).get("conditions") or ():
                        if (condition.get("type"), condition.get("status")) == (type_, status):
                            await response.stream.aclose()
                            return crd
        raise AssertionError("the watch ended")

    async def gone(self, name: str) -> None:
        """Watch until a definition is deleted."""
        response = await self.api.send("GET", f"{CRDS}?watch=true&fieldSelector=metadata.name={name}")
        async with asyncio.timeout(PATIENCE_S):
            async for chunk in response.stream:
                if any(orjson.loads(line)["type"] == "DELETED" for line in chunk.splitlines()):
                    await response.stream.aclose()
                    return

    async def make(self, *versions: dict[str, Any], **spec: Any) -> Any:
        """Create a definition and wait until it is served."""
        crd = definition(*versions, **spec)
        await self.api.create(CRDS, crd)
        return await self.wait(crd["metadata"]["name"], "Established")

    async def change(self, patch: Any, name: str = "foos.example.com") -> Any:
        """Merge-patch a definition; what is served follows at once."""
        answer = await self.api.patch(f"{CRDS}/{name}", patch)
        assert answer.status == 200, answer.raw
        await self.api.settle()
        return answer.json


@pytest.fixture
def crds(api: Any) -> Crds:
    return Crds(api)
