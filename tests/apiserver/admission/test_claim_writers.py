"""Who may bind a claim, and who may report of its devices: rights beside that to write the status."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.admission import claim_writers
from tiphys.apiserver.authn.user import User

CLAIMS = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
RESULT = {"request": "r", "driver": "d.x", "pool": "p", "device": "d"}
ON_NODE = {
    "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]
}
ALLOCATION = {"devices": {"results": [RESULT]}, "nodeSelector": ON_NODE}
DEVICE = {"driver": "d.x", "pool": "p", "device": "d"}
ACCOUNT = "system:serviceaccount:default:driver"
BINDING = (
    "status: Forbidden: changing status.allocation or status.reservedFor requires "
    'resource="resourceclaims/binding", verb="patch" permission: resourceclaims.resource.k8s.io is '
    'forbidden: User "alice" cannot patch resource '
    '"resourceclaims/binding" in API group "resource.k8s.io" at the cluster scope'
)
DRIVER = (
    'status.devices: Forbidden: changing status.devices requires resource="resourceclaims/driver", '
    'verb="[arbitrary-node:patch]" permission: resourceclaims.resource.k8s.io "d.x" is '
    'forbidden: User "alice" cannot arbitrary-node:patch resource '
    '"resourceclaims/driver" in API group "resource.k8s.io" in the namespace "default"'
)


async def allow(api: Any, name: str, resource: str, *verbs: str, names: tuple[str, ...] = ()) -> None:
    rule = {"apiGroups": ["resource.k8s.io"], "resources": [resource], "verbs": list(verbs)}
    if names:
        rule["resourceNames"] = list(names)
    await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": [rule]})
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": "alice"}],
    }
    await api.create(f"{RBAC}/clusterrolebindings", binding)
    await api.settle()


async def claim(api: Any) -> None:
    request = {"name": "r", "exactly": {"deviceClassName": "c"}}
    body = {"metadata": {"name": "a"}, "spec": {"devices": {"requests": [request]}}}
    await api.create(CLAIMS, body)
    await allow(api, "status", "resourceclaims/status", "patch")


async def write(api: Any, status: dict[str, Any], **rest: Any) -> Any:
    return await api.patch(f"{CLAIMS}/a/status", {"status": status}, **rest)


async def test_who_binds(api: Any) -> None:
    await claim(api)
    refused = await write(api, {"allocation": ALLOCATION}, user="alice")
    assert refused.status == 422
    assert refused.message == f'ResourceClaim.resource.k8s.io "a" is invalid: {BINDING}'
    await allow(api, "binds", "resourceclaims/binding", "patch")
    assert (await write(api, {"allocation": ALLOCATION}, user="alice")).status == 200


async def test_who_reports_of_devices(api: Any) -> None:
    await claim(api)
    assert (await write(api, {"allocation": ALLOCATION})).status == 200
    refused = await write(api, {"devices": [DEVICE]}, user="alice")
    assert (refused.status, refused.message) == (
        422,
        f'ResourceClaim.resource.k8s.io "a" is invalid: {DRIVER}',
    )
    await allow(api, "other", "resourceclaims/driver", "arbitrary-node:patch", names=("e.x",))
    assert (await write(api, {"devices": [DEVICE]}, user="alice")).status == 422
    await allow(api, "drives", "resourceclaims/driver", "arbitrary-node:patch", names=("d.x",))
    assert (await write(api, {"devices": [DEVICE]}, user="alice")).status == 200
    assert (await write(api, {"devices": None}, user="alice")).status == 200


async def test_who_gives_devices_back_needs_no_driver(api: Any) -> None:
    await claim(api)
    assert (await write(api, {"allocation": ALLOCATION, "devices": [DEVICE]})).status == 200
    await allow(api, "binds", "resourceclaims/binding", "patch")
    assert (await write(api, {"allocation": None, "devices": None}, user="alice")).status == 200


async def test_a_write_that_changes_neither_needs_neither(api: Any) -> None:
    await claim(api)
    assert (await write(api, {"allocation": ALLOCATION, "devices": [DEVICE]})).status == 200
    same = {"metadata": {"annotations": {"a": "b"}}, "status": {"devices": [DEVICE]}}
    assert (await api.patch(f"{CLAIMS}/a/status", same, user="alice")).status == 200


def of(name: str, *nodes: str) -> User:
    return User(name, extra=(("authentication.kubernetes.io/node-name", nodes),))


NODES = {
    "its pod is on the node": (of(ACCOUNT, "n1"), ON_NODE, True),
    "its pod is on another": (of(ACCOUNT, "n2"), ON_NODE, False),
    "no account": (of("alice", "n1"), ON_NODE, False),
    "no pod": (User(ACCOUNT), ON_NODE, False),
    "two nodes told": (of(ACCOUNT, "n1", "n2"), ON_NODE, False),
    "for any node": (of(ACCOUNT, "n1"), {}, False),
    "for one of two": (
        of(ACCOUNT, "n1"), {"nodeSelectorTerms": [*ON_NODE["nodeSelectorTerms"], {}]}, False
    ),
    "by labels": (
        of(ACCOUNT, "n1"),
        {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]},
        False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_drivers_of_the_node(name: str) -> None:
    user, selector, expected = NODES[name]
    assert claim_writers.of_node(user, {"nodeSelector": selector}) is expected


CHANGES = {
    "nothing": ([DEVICE], [DEVICE], set()),
    "one more": ([DEVICE, {**DEVICE, "driver": "e.x"}], [DEVICE], {"e.x"}),
    "one less": ([], [DEVICE], {"d.x"}),
    "another word": ([{**DEVICE, "data": {"a": 1}}], [DEVICE], {"d.x"}),
    "another share": ([DEVICE, {**DEVICE, "shareID": "u"}], [DEVICE], {"d.x"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_drivers_whose_word_changes(name: str) -> None:
    new, old, drivers = CHANGES[name]
    assert claim_writers.changed_drivers({"devices": new}, {"devices": old}) == drivers
