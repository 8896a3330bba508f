"""Managers that requests clear, rename and merge, which is how clients mend who owns what."""

from __future__ import annotations

from typing import Any

import pytest

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
PHASE: dict[str, Any] = {"f:status": {"f:phase": {}}}


def configmap(**labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "labels": labels}}


def entries(obj: dict[str, Any]) -> list[dict[str, Any]]:
    return list(obj["metadata"].get("managedFields", []))


def pointed(value: Any) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": "/metadata/managedFields", "value": value}]


@pytest.mark.parametrize("kind", ["merge", "strategic", "json", "put"])
async def test_a_list_of_nothing_clears(api: Any, kind: str) -> None:
    """And whoever writes next is not taken down; who applies is, besides who was there before."""
    made = await api.create(f"{MAPS}?fieldManager=one", configmap(a="1"))
    if kind == "put":
        made["metadata"]["managedFields"] = [{}]
        cleared = await api.put(f"{MAPS}/m", made)
    else:
        body = pointed([{}]) if kind == "json" else {"metadata": {"managedFields": [{}]}}
        cleared = (await api.patch(f"{MAPS}/m", body, kind)).json
    assert entries(cleared) == []
    assert entries((await api.patch(f"{MAPS}/m", {"data": {"k": "v"}})).json) == []
    applied = (await api.patch(f"{MAPS}/m?fieldManager=two", configmap(b="2"), "apply")).json
    assert [one["manager"] for one in entries(applied)] == ["two", "before-first-apply"]


@pytest.mark.parametrize("operation", ["Apply", "Update"])
async def test_of_two_managers_that_become_one_the_last_is_kept(api: Any, operation: str) -> None:
    await api.create(f"{MAPS}?fieldManager=base", {**configmap(), "data": {"k": "v"}})
    kind = "apply" if operation == "Apply" else "merge"
    for manager, label in (("one", "a"), ("two", "b")):
        answer = await api.patch(f"{MAPS}/m?fieldManager={manager}", configmap(**{label: "1"}), kind)
        assert answer.status == 200, answer.raw
    written = answer.json
    assert len(entries(written)) == 3
    for one in entries(written):
        if one["manager"] != "base":
            one["manager"] = "both"
    after = await api.put(f"{MAPS}/m?fieldManager=both", written)
    (both,) = (one["fieldsV1"] for one in entries(after) if one["manager"] == "both")
    assert (both, len(entries(after))) == ({"f:metadata": {"f:labels": {"f:b": {}}}}, 2)


async def test_a_manager_whose_part_is_forgotten_is_one_with_its_other_self(api: Any) -> None:
    containers = {"schedulerName": "none", "containers": [{"name": "c", "image": "i"}]}
    await api.create(f"{PODS}?fieldManager=m", {"metadata": {"name": "p"}, "spec": containers})
    running = {"status": {"phase": "Running"}}
    written = (await api.patch(f"{PODS}/p/status?fieldManager=m", running)).json
    assert [one.get("subresource") for one in entries(written)] == [None, "status"]
    for one in entries(written):
        one.pop("subresource", None)
    after = await api.put(f"{PODS}/p?fieldManager=m", written)
    assert [one["fieldsV1"] for one in entries(after)] == [PHASE]


async def test_a_write_of_the_status_names_no_managers(api: Any) -> None:
    containers = {"schedulerName": "none", "containers": [{"name": "c", "image": "i"}]}
    made = await api.create(f"{PODS}?fieldManager=m", {"metadata": {"name": "p"}, "spec": containers})
    odd = {**entries(made)[0], "manager": "odd", "fieldsV1": {"f:data": {}}}
    told = {"metadata": {"managedFields": [odd]}, "status": {"phase": "Running"}}
    written = (await api.patch(f"{PODS}/p/status?fieldManager=s", told)).json
    first, second = entries(written)
    assert first == entries(made)[0]
    assert (second["manager"], second["subresource"], second["fieldsV1"]) == ("s", "status", PHASE)
