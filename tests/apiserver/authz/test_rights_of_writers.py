"""What RBAC asks of writes that do more than their verb says: that create, and that give rights away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tiphys.apiserver.options import TokenEntry

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
WHO = ("updater", "patcher", "nobody", "writer", "local-writer", "binder", "local-binder", "plain-binder")
TOKENS = (
    TokenEntry("admin", "admin", "0", ("system:masters",)),
    *(TokenEntry(who, who, who, ()) for who in WHO),
)
ROLES = {
    "update-limits": ("update", "", "limitranges", ("updater",), ()),
    "patch-limits": ("patch", "", "limitranges", ("patcher",), ()),
    "write-jobs": ("*", "batch", "*", ("writer",), ("local-writer",)),
    "bind-roles": (
        "create", GROUP, "rolebindings",
        ("writer", "plain-binder", "binder"), ("local-writer", "local-binder"),
    ),
    "bind-any": ("bind", GROUP, "clusterroles", ("binder",), ("local-binder",)),
}  # fmt: skip


def binding(role: str, *who: str) -> dict[str, Any]:
    subjects = [{"kind": "User", "name": one, "apiGroup": GROUP} for one in who]
    ref = {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}
    return {"metadata": {"name": role}, "subjects": subjects, "roleRef": ref}


@pytest.fixture
async def api(serving: Callable[..., Any]) -> AsyncIterator[Any]:
    async with serving(tokens=TOKENS) as api:
        for namespace in ("here", "there"):
            await api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        for role, (verb, group, resource, everywhere, here) in ROLES.items():
            rule = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
            await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": role}, "rules": [rule]})
            await api.create(f"{RBAC}/clusterrolebindings", binding(role, *everywhere))
            if here:
                await api.create(f"{RBAC}/namespaces/here/rolebindings", binding(role, *here))
        await api.settle()
        yield api


LIMITS = "/api/v1/namespaces/here/limitranges/a"
LIMIT = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "a"}}


@pytest.mark.parametrize("who", ["updater", "patcher"])
async def test_a_write_that_creates_needs_the_right_to_create(api: Any, who: str) -> None:
    async def write(user: str) -> Any:
        if who == "updater":
            return await api("PUT", LIMITS, LIMIT, user=user)
        return await api.patch(f"{LIMITS}?fieldManager=m", LIMIT, "apply", user=user)

    refused = await write(who)
    assert refused.status == 403
    assert f'User "{who}" cannot create resource "limitranges"' in refused.message
    assert [(await write(user)).status for user in ("admin", "admin", who)] == [201, 200, 200]


@pytest.mark.parametrize(
    ("who", "here", "there"),
    [
        ("nobody", 403, 403),
        ("writer", 201, 201),
        ("local-writer", 201, 403),
        ("plain-binder", 403, 403),
        ("binder", 201, 201),
        ("local-binder", 201, 403),
    ],
)
async def test_who_may_bind(api: Any, who: str, here: int, there: int) -> None:
    made = {**binding("write-jobs", "x"), "metadata": {"name": "made"}}
    got = [
        (await api("POST", f"{RBAC}/namespaces/{namespace}/rolebindings", made, user=who)).status
        for namespace in ("here", "there")
    ]
    assert got == [here, there]
