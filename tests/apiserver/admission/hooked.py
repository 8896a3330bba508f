"""Configurations of webhooks, and what is written past them."""

from __future__ import annotations

import asyncio
from typing import Any

GROUP = "/apis/admissionregistration.k8s.io/v1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
FOOS = "/apis/example.com/v1/namespaces/default/foos"
KINDS = ("mutating", "validating")


def rule(resources: str, group: str = "", *operations: str, versions: str = "*") -> dict[str, Any]:
    return {
        "apiGroups": [group], "apiVersions": [versions], "operations": list(operations) or ["*"],
        "resources": [resources],
    }  # fmt: skip


def hook(client: Any, *rules: Any, name: str = "one.example.com", **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "clientConfig": client,
        "rules": list(rules) or [rule("configmaps")],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **fields,
    }


def path_of(kind: str, name: str = "") -> str:
    return f"{GROUP}/{kind}webhookconfigurations" + (f"/{name}" if name else "")


async def configure(api: Any, kind: str, *hooks: Any, name: str = "c", **labels: str) -> Any:
    body = {"metadata": {"name": name, "labels": labels}, "webhooks": list(hooks)}
    made = await api.create(path_of(kind), body)
    await api.settle()
    return made


def config_map(name: str = "m", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def refuse(_request: Any) -> dict[str, Any]:
    return {"allowed": False, "status": {"message": "no"}}


DENIED = 'admission webhook "one.example.com" denied the request: no'


async def define(api: Any, *versions: dict[str, Any], schema: Any = None) -> Any:
    """Create the definition of Foos and wait until it is served."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schemas = {"openAPIV3Schema": schema or free}
    listed = versions or ({"name": "v1", "served": True, "storage": True},)
    body = {
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
            "versions": [{"schema": schemas, **one} for one in listed],
        },
    }  # fmt: skip
    made = await api.create(CRDS, body)
    response = await api.send("GET", f"{CRDS}?watch=true&fieldSelector=metadata.name=foos.example.com")
    async with asyncio.timeout(20):
        async for chunk in response.stream:
            if b'"type":"Established","status":"True"' in chunk:
                break
    await response.stream.aclose()
    await api.settle()
    return made


def foo(name: str = "f", **data: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": name}, "data": data}
