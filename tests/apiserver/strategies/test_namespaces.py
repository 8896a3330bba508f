"""How Namespaces go, and scales are written: upstream's tables of their storage."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

Body = dict[str, Any]
NAMESPACES = "/api/v1/namespaces"
FOO = f"{NAMESPACES}/foo"
LONG_AGO = "2026-01-01T00:00:00Z"
OWN, OLIVE = ["example.com/foo"], ["example.com/olive"]


async def going(api: Any, left_behind: Any, *, finalizers: list[str], held: list[str]) -> Body:
    """Return a namespace that is going: ``finalizers`` are those of its metadata, ``held`` its spec's."""
    made = await api.create(NAMESPACES, {"metadata": {"name": "foo"}})
    made["metadata"] |= {"deletionTimestamp": LONG_AGO, "finalizers": finalizers}
    found: Body = await left_behind(NAMESPACES, {**made, "spec": {"finalizers": held}})
    return found


async def is_there(api: Any) -> bool:
    return bool((await api("GET", FOO)).status == 200)


@pytest.mark.parametrize(("held", "stays"), [(OLIVE, True), ([], False)])
async def test_a_deletion_ends_what_nothing_holds(
    api: Any, left_behind: Any, *, held: list[str], stays: bool
) -> None:
    await going(api, left_behind, finalizers=[], held=held)
    answer = await api("DELETE", FOO)
    assert (answer.status, answer.json["metadata"]["name"]) == (200, "foo")
    assert await is_there(api) is stays


UPDATES: dict[str, tuple[list[str], list[str], list[str], bool]] = {
    # finalizers of its metadata, of its spec, those of its metadata after an update, whether it stays
    "its own stay": (OWN, [], OWN, True),
    "its spec's stay": ([], OLIVE, [], True),
    "its own go": (OWN, [], [], False),
    "its own go, its spec's stay": (OWN, OLIVE, [], True),
}


@pytest.mark.parametrize(("own", "held", "left", "stays"), UPDATES.values(), ids=UPDATES)
async def test_an_update_ends_what_nothing_holds(
    api: Any, left_behind: Any, own: list[str], held: list[str], left: list[str], *, stays: bool
) -> None:
    found = await going(api, left_behind, finalizers=own, held=held)
    found["metadata"]["finalizers"] = left
    assert (await api("PUT", FOO, found)).status == 200
    assert await is_there(api) is stays


@pytest.mark.parametrize("own", [OWN, []])
async def test_finalizing_ends_what_nothing_else_holds(api: Any, left_behind: Any, own: list[str]) -> None:
    found = await going(api, left_behind, finalizers=own, held=OLIVE)
    answer = await api("PUT", f"{FOO}/finalize", {**found, "spec": {}})
    assert (answer.status, answer.json["spec"]) == (200, {})
    assert await is_there(api) is bool(own)


ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
POLICIES: dict[str, tuple[Body, list[str]]] = {
    "Background": ({"propagationPolicy": "Background"}, []),
    "Foreground": ({"propagationPolicy": "Foreground"}, [FOREGROUND]),
    "Orphan": ({"propagationPolicy": "Orphan"}, [ORPHAN]),
    "orphaning dependents": ({"orphanDependents": True}, [ORPHAN]),
    "not orphaning dependents": ({"orphanDependents": False}, []),
}


@pytest.mark.parametrize("before", [[ORPHAN], [FOREGROUND], []])
@pytest.mark.parametrize("policy", [None, *POLICIES])
async def test_what_becomes_of_what_is_in_it(api: Any, before: list[str], policy: str | None) -> None:
    await api.create(NAMESPACES, {"metadata": {"name": "foo", "finalizers": before}})
    options, after = POLICIES[policy] if policy else ({}, before)
    answer = await api("DELETE", FOO, options)
    status = 202 if options.get("orphanDependents") is False else 200
    assert (answer.status, answer.json["metadata"].get("finalizers", [])) == (status, after)
    assert answer.json["status"]["phase"] == "Terminating"
    assert await is_there(api)


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
SCALED: dict[str, tuple[str, Body]] = {
    "ReplicationController": ("/api/v1/namespaces/default/replicationcontrollers", {"a": "b"}),
    "ReplicaSet": ("/apis/apps/v1/namespaces/default/replicasets", {"matchLabels": {"a": "b"}}),
    "Deployment": ("/apis/apps/v1/namespaces/default/deployments", {"matchLabels": {"a": "b"}}),
    "StatefulSet": ("/apis/apps/v1/namespaces/default/statefulsets", {"matchLabels": {"a": "b"}}),
}


@pytest.mark.parametrize(("path", "selector"), SCALED.values(), ids=SCALED)
async def test_scales(api: Any, path: str, selector: Body) -> None:
    spec = {"replicas": 7, "selector": selector, "template": TEMPLATE}
    made = await api.create(path, {"metadata": {"name": "foo"}, "spec": spec})
    scale = await api.get(f"{path}/foo/scale")
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    assert scale == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: made["metadata"][name] for name in names},
        "spec": {"replicas": 7},
        "status": {"replicas": 0, "selector": "a=b"},
    }
    bare: Body = {"metadata": {"name": "foo", "namespace": "default"}, "spec": {"replicas": 12}}
    assert (await api.put(f"{path}/foo/scale", bare))["spec"]["replicas"] == 12
    stale = {**bare, "metadata": {**bare["metadata"], "resourceVersion": made["metadata"]["resourceVersion"]}}
    assert (await api("PUT", f"{path}/foo/scale", stale)).status == 409
    for name, meta, status in (
        ("bad-name", {}, 404),
        ("foo", {"uid": "123"}, 409),
        ("foo", {"resourceVersion": "123"}, 409),
        ("foo", {"labels": {"a": "b"}}, 200),
    ):
        answer = await api.patch(f"{path}/{name}/scale", {"metadata": meta})
        assert answer.status == status, answer.json
    assert "labels" not in answer.json["metadata"]
    found = await api.get(f"{path}/foo")
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (12, 2)


CUSTOM = {
    "metadata": {"name": "foos.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "foos", "kind": "Foo"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
                "subresources": {
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
                },
            }
        ],
    },
}
SCALED_BY: dict[str, tuple[str, str]] = {
    **{
        kind: (path, f"{path.rpartition('/')[2]}/scale{'.apps' if 'apps' in path else ''}")
        for kind, (path, _) in SCALED.items()
    },
    "Foo": ("/apis/example.com/v1/namespaces/default/foos", "Foo.example.com"),
}


@pytest.mark.parametrize(("kind", "row"), SCALED_BY.items(), ids=SCALED_BY)
async def test_the_scale_of_another_object(api: Any, kind: str, row: tuple[str, str]) -> None:
    path, named = row
    if kind == "Foo":
        await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CUSTOM)
        await api.settle()
        body = {"apiVersion": "example.com/v1", "kind": "Foo", "spec": {"replicas": 1}}
    else:
        body = {"spec": {"selector": SCALED[kind][1], "template": TEMPLATE}}
    made = await api.create(path, {**body, "metadata": {"name": "foo"}})
    answer = await api.patch(f"{path}/foo/scale", {"metadata": {"uid": "123"}})
    why = f"Precondition failed: UID in precondition: 123, UID in object meta: {made['metadata']['uid']}"
    assert (answer.status, answer.json["reason"]) == (409, "Conflict")
    assert answer.message == f'Operation cannot be fulfilled on {named} "foo": {why}'
    same = await api.patch(f"{path}/foo/scale", {"metadata": {"uid": made["metadata"]["uid"]}})
    assert same.status == 200
    # A whole scale is held against its object before it is read any further.
    scale = await api.get(f"{path}/foo/scale")
    other = {**scale, "metadata": {**scale["metadata"], "uid": "123"}, "spec": {"replicas": -1}}
    answer = await api("PUT", f"{path}/foo/scale", other)
    assert (answer.status, answer.json["reason"]) == (409, "Conflict")
    assert why in answer.message
