"""Nobody grants what he has not: which writes are looked at, and how they are answered."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
KINDS = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")


def of_group(resources: tuple[str, ...], *verbs: str) -> dict[str, Any]:
    return {"apiGroups": [GROUP], "resources": list(resources), "verbs": list(verbs)}


WRITES = of_group(KINDS, "create", "update", "patch", "get")
EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
USERS: dict[str, tuple[list[dict[str, Any]], int]] = {
    # what alice may besides writing all of these kinds -> how a write of hers is answered
    "nothing": ([], 403),
    "to grant what she has not": ([of_group(KINDS[:2], "escalate", "bind")], 201),
    "what is granted": ([PODS], 201),
    "everything": ([EVERYTHING], 201),
}  # fmt: skip


def path_of(plural: str) -> str:
    return f"{RBAC}/{plural}" if plural.startswith("cluster") else f"{RBAC}/namespaces/default/{plural}"


def bound(name: str, role: str, user: str = "alice", kind: str = "ClusterRole") -> dict[str, Any]:
    subject = {"kind": "User", "name": user, "apiGroup": GROUP}
    return {
        "metadata": {"name": name},
        "roleRef": {"kind": kind, "name": role, "apiGroup": GROUP},
        "subjects": [subject],
    }


async def grant(api: Any, *rules: dict[str, Any]) -> None:
    """Let alice write all these kinds, and whatever else is said."""
    await api.create(path_of("clusterroles"), {"metadata": {"name": "a"}, "rules": [WRITES, *rules]})
    await api.create(path_of("clusterrolebindings"), bound("a", "a"))
    await api.settle()


async def granting(api: Any, plural: str, rule: dict[str, Any] = PODS) -> dict[str, Any]:
    """Return an object that grants something: a role, or a binding of one that is there."""
    if plural in ("roles", "clusterroles"):
        return {"metadata": {"name": "x"}, "rules": [rule]}
    await api.create(path_of("clusterroles"), {"metadata": {"name": "granted"}, "rules": [rule]})
    await api.settle()
    return bound("x", "granted", "bob")


@pytest.mark.parametrize("plural", KINDS)
@pytest.mark.parametrize(("rules", "status"), USERS.values(), ids=USERS)
async def test_who_may_grant(api: Any, plural: str, rules: list[Any], status: int) -> None:
    await grant(api, *rules)
    path, obj = path_of(plural), await granting(api, plural)
    assert (await api("POST", path, obj, user="alice")).status == status
    if status == 403:
        await api.create(path, obj)  # masters may everything
    answer = await api("PUT", f"{path}/x", {**obj, "metadata": {"name": "x"}}, user="alice")
    assert answer.status == (403 if status == 403 else 200)


CHANGES: dict[str, tuple[dict[str, Any], int]] = {
    "nothing": ({}, 200),
    "an owner": (
        {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u"}]}, 200
    ),
    "a finalizer": ({"finalizers": ["a/b"]}, 200),
    "both": (
        {"finalizers": ["a/b"],
         "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u"}]},
        200,
    ),
    "an annotation": ({"annotations": {"a": "b"}}, 403),
    "a label": ({"labels": {"a": "b"}}, 403),
    "a finalizer and a label": ({"finalizers": ["a/b"], "labels": {"a": "b"}}, 403),
}  # fmt: skip


@pytest.mark.parametrize("plural", KINDS)
@pytest.mark.parametrize(("meta", "status"), CHANGES.values(), ids=CHANGES)
async def test_what_the_collector_changes_may_change(
    api: Any, plural: str, meta: dict[str, Any], status: int
) -> None:
    """Any other change is as good as writing the whole anew."""
    await grant(api)
    path = path_of(plural)
    await api.create(path, await granting(api, plural))
    answer = await api.patch(f"{path}/x", {"metadata": meta}, user="alice")
    assert answer.status == status
    if status == 403:
        assert "is attempting to grant RBAC permissions not currently held:\n" in answer.message
    await api.patch(f"{path}/x", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("plural", ["roles", "clusterroles"])
async def test_an_old_version_is_no_excuse(api: Any, plural: str) -> None:
    await grant(api)
    path = path_of(plural)
    await api.create(path, await granting(api, plural))
    stale = {"metadata": {"name": "x", "resourceVersion": "1", "labels": {"a": "b"}}, "rules": [PODS]}
    assert (await api("PUT", f"{path}/x", stale, user="alice")).status == 403
    assert (await api("PUT", f"{path}/x", stale)).status == 409


async def test_rights_come_before_faults(api: Any) -> None:
    await grant(api)
    bad = {"metadata": {"name": "x"}, "rules": [{**PODS, "verbs": ["get"]}, {"verbs": [], "apiGroups": [""]}]}
    assert (await api("POST", path_of("roles"), bad, user="alice")).status == 403
    assert (await api("POST", path_of("roles"), bad)).status == 422


MISSING: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "a role of a namespace": (
        "rolebindings", bound("x", "none", kind="Role"), 404, f'roles.{GROUP} "none" not found'
    ),
    "a role of the cluster": (
        "rolebindings", bound("x", "none"), 404, f'clusterroles.{GROUP} "none" not found'
    ),
    "a role of a namespace for all of them": (
        "clusterrolebindings", bound("x", "cluster-admin", kind="Role"), 404,
        f'roles.{GROUP} "cluster-admin" not found',
    ),
    "what is no role": (
        "rolebindings", bound("x", "none", kind="Node"), 422,
        f'RoleBinding.{GROUP} "x" is invalid: roleRef.kind: Unsupported value: "Node": supported values: '
        '"Role", "ClusterRole"',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("plural", "obj", "status", "text"), MISSING.values(), ids=MISSING)
async def test_binding_what_is_not_there(
    api: Any, plural: str, obj: dict[str, Any], status: int, text: str
) -> None:
    await grant(api)
    answer = await api("POST", path_of(plural), obj, user="alice")
    assert (answer.status, answer.message) == (status, text)


SELECTORS = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
AGGREGATES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], int]] = {
    "some rights": ([PODS], SELECTORS, 403),
    "the right to grant any": ([EVERYTHING], SELECTORS, 201),
    "some rights, of no role": ([PODS], {"clusterRoleSelectors": []}, 422),
}


@pytest.mark.parametrize(("rules", "rule", "status"), AGGREGATES.values(), ids=AGGREGATES)
async def test_who_may_take_the_rules_of_others(
    api: Any, rules: list[Any], rule: dict[str, Any], status: int
) -> None:
    await grant(api, *rules)
    obj = {"metadata": {"name": "x"}, "aggregationRule": rule, "rules": []}
    answer = await api("POST", path_of("clusterroles"), obj, user="alice")
    assert answer.status == status, answer.raw
    if status == 403:
        assert answer.message.endswith("must have cluster-admin privileges to use an aggregationRule")
        await api.create(path_of("clusterroles"), obj)
        without = {"metadata": {"name": "x"}, "rules": []}
        assert (await api("PUT", path_of("clusterroles") + "/x", without, user="alice")).status == 403
