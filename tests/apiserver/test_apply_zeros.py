"""Applying what is no, nothing or zero: it takes the place of what was there, though no object keeps it."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/d"
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/r"


def deployment(
    container: dict[str, Any] | None = None, pod: dict[str, Any] | None = None, **spec: Any
) -> Any:
    labels = {"app": "d"}
    made = {"containers": [{"name": "c", "image": "i", **(container or {})}], **(pod or {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": made},
            **spec,
        },
    }


def role(*rules: dict[str, Any]) -> Any:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "r"},
        "rules": list(rules),
    }


async def apply(api: Any, path: str, body: Any, manager: str = "me", query: str = "") -> Any:
    return await api.patch(f"{path}?fieldManager={manager}{query}", body, "apply")


def at(obj: Any, *path: Any) -> Any:
    for key in path:
        obj = obj[key] if isinstance(key, int) else (obj or {}).get(key)
    return obj


POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)
RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
CASES: dict[str, tuple[str, Any, Any, tuple[Any, ...], Any, Any]] = {
    # where, first, then -> what of it, what it was, what it is
    "no": (DEPLOYMENT, deployment(paused=True), deployment(paused=False), ("spec", "paused"), True, None),
    "no, of a pod": (
        DEPLOYMENT, deployment(pod={"hostNetwork": True}), deployment(pod={"hostNetwork": False}),
        (*POD, "hostNetwork"), True, None,
    ),
    "nothing": (
        DEPLOYMENT, deployment({"env": [{"name": "A", "value": "x"}]}),
        deployment({"env": [{"name": "A", "value": ""}]}), (*CONTAINER, "env"),
        [{"name": "A", "value": "x"}], [{"name": "A"}],
    ),
    "an empty list": (DEPLOYMENT, deployment({"args": ["a"]}), deployment({"args": []}),
                      (*CONTAINER, "args"), ["a"], None),
    "zero": (DEPLOYMENT, deployment(minReadySeconds=5), deployment(minReadySeconds=0),
             ("spec", "minReadySeconds"), 5, None),
    "zero that is kept": (DEPLOYMENT, deployment(replicas=5), deployment(replicas=0),
                          ("spec", "replicas"), 5, 0),
    "no rules": (ROLE, role(RULE), role(), ("rules",), [RULE], None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_it_takes_the_place_of_what_was_there(api: Any, name: str) -> None:
    path, first, then, where, was, now = CASES[name]
    answer = await apply(api, path, first)
    assert at(answer.json, *where) == was
    answer = await apply(api, path, then)
    assert at(answer.json, *where) == now
    again = await apply(api, path, then)
    assert again.json["metadata"]["resourceVersion"] == answer.json["metadata"]["resourceVersion"]
    assert at((await apply(api, path, first)).json, *where) == was


async def test_it_is_a_conflict_where_somebody_else_says_otherwise(api: Any) -> None:
    await apply(api, DEPLOYMENT, deployment(paused=True), "other")
    refused = await apply(api, DEPLOYMENT, deployment(paused=False))
    assert refused.status == 409
    assert refused.message == 'Apply failed with 1 conflict: conflict with "other": .spec.paused'
    forced = await apply(api, DEPLOYMENT, deployment(paused=False), query="&force=true")
    assert "paused" not in forced.json["spec"]


async def test_an_empty_list_with_names_takes_away_what_its_manager_put_there(api: Any) -> None:
    both = deployment(pod={"volumes": [{"name": "v", "emptyDir": {}}]})
    await apply(api, DEPLOYMENT, both)
    other = deployment(pod={"volumes": [{"name": "w", "emptyDir": {}}]})
    await apply(api, DEPLOYMENT, other, "other")
    answer = await apply(api, DEPLOYMENT, deployment(pod={"volumes": []}))
    assert [one["name"] for one in at(answer.json, *POD, "volumes")] == ["w"]


async def test_a_scale_of_zero(api: Any) -> None:
    await apply(api, DEPLOYMENT, deployment(replicas=2))
    body = {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "d"},
        "spec": {"replicas": 0},
    }
    answer = await apply(api, f"{DEPLOYMENT}/scale", body, query="&force=true")
    assert answer.status == 200
    assert (await api.get(DEPLOYMENT))["spec"]["replicas"] == 0
