"""Server-side apply of custom resources: several versions, and schemas that change."""

from __future__ import annotations

from typing import Any

import orjson


async def applied(api: Any, path: str, body: Any, manager: str, *, force: bool = False) -> Any:
    query = f"?fieldManager={manager}" + ("&force=true" if force else "")
    return await api.patch(path + query, orjson.dumps(body), "apply")


def owners(obj: Any, field: str) -> list[tuple[str, str]]:
    """Return who owns a field of the spec, and at which version."""
    return [
        (entry["manager"], entry["apiVersion"])
        for entry in obj["metadata"]["managedFields"]
        if field in entry["fieldsV1"].get("f:spec", {})
    ]


async def test_custom_versions_and_a_changed_schema(api: Any, crds: Any) -> None:
    await crds.make(crds.version(), crds.version("v2", storage=False))
    first = crds.foo(free={"x": 1, "y": 1})
    await applied(api, f"{crds.foos}/a", first, "one")
    v2 = crds.foos.replace("/v1/", "/v2/")
    body = {**first, "apiVersion": "example.com/v2", "spec": {"image": "other"}}
    refused = await applied(api, f"{v2}/a", body, "two")
    assert refused.message == 'Apply failed with 1 conflict: conflict with "one": .spec.image'
    taken = (await applied(api, f"{v2}/a", body, "two", force=True)).json
    assert owners(taken, "f:image") == [("two", "example.com/v2")]
    assert owners(taken, "f:free") == [("one", "example.com/v1")]
    crd = await api.get(f"{crds.path}/foos.example.com")
    for version in crd["spec"]["versions"]:
        free = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["free"]
        free["x-kubernetes-map-type"] = "atomic"
    await api.put(f"{crds.path}/foos.example.com", crd)
    await api.settle()
    body["spec"] = {"free": {"x": 2}}
    refused = await applied(api, f"{v2}/a", body, "three")
    assert refused.message == 'Apply failed with 1 conflict: conflict with "one": .spec.free'
