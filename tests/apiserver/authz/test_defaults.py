"""What every cluster's roles give away from the start."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.featuregates import resolve
from tiphys.apimachinery.meta import copy_object, gvk_of
from tiphys.apis.table import TABLE
from tiphys.apiserver.authz.defaults import default_policy, node_rules, policy
from tiphys.apiserver.authz.rules import rules_of, uncovered
from tiphys.apiserver.controlplane import bootstrap
from tiphys.apiserver.registry import machinery

RBAC = "/apis/rbac.authorization.k8s.io/v1"


def test_nobody_unknown_gets_more_than_public_information() -> None:
    given = {
        obj["roleRef"]["name"]
        for obj in default_policy()
        if obj["kind"].endswith("Binding")
        and any(one["name"] == "system:unauthenticated" for one in obj.get("subjects") or ())
    }
    assert given == {"system:public-info-viewer"}
    (role,) = [obj for obj in default_policy() if obj["metadata"]["name"] in given and "rules" in obj]
    urls = {url.rstrip("/") for rule in role["rules"] for url in rule["nonResourceURLs"]}
    assert urls == {"/healthz", "/livez", "/readyz", "/version"}


def test_every_binding_has_its_role() -> None:
    roles = {(o["metadata"].get("namespace", ""), o["metadata"]["name"]) for o in default_policy()}
    for obj in default_policy():
        if not obj["kind"].endswith("Binding"):
            continue
        ref = obj["roleRef"]
        namespace = obj["metadata"].get("namespace", "") if ref["kind"] == "Role" else ""
        assert (namespace, ref["name"]) in roles, obj["metadata"]["name"]


def test_kubelets_have_rules() -> None:
    assert node_rules()


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (f"{RBAC}/clusterroles/system:basic-user", "rules"),
        (f"{RBAC}/clusterrolebindings/system:basic-user", "subjects"),
    ],
)
async def test_what_was_taken_away_comes_back(serving: Any, path: str, key: str) -> None:
    from tiphys.storage.memory import MemoryStore

    class Kept(MemoryStore):
        async def close(self) -> None:
            return

    store = Kept()
    async with serving(store) as api:
        whole = await api.get(path)
        more = {"apiGroups": [""], "resources": ["x"], "verbs": ["get"]}
        other = {"kind": "User", "name": "x", "apiGroup": "rbac.authorization.k8s.io"}
        added = more if key == "rules" else other
        await api.put(path, {**whole, key: [added]})
    async with serving(store) as api:
        found = (await api.get(path))[key]
        assert added in found, "what was added stays"
        if key == "rules":
            assert not uncovered(rules_of({"rules": found}), rules_of(whole))
        else:
            assert all(one in found for one in whole[key])
        live = await api.get(path)
        live["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = "false"
        await api.put(path, {**live, key: [added]})
    async with serving(store) as api:
        assert (await api.get(path))[key] == [added], "unless its owner says so"


def test_nothing_is_added_by_defaults() -> None:
    """They are stored as they are, and shared by the servers of a process."""
    for obj in bootstrap.policy():
        row = TABLE.by_kind(gvk_of(obj))
        assert row is not None
        filled = copy_object(obj)
        machinery.strategy_for(row).default(filled)
        assert filled == obj


def rules_by_name(*gates: str) -> dict[str, Any]:
    found = policy(resolve(dict.fromkeys(gates, True)))
    return {obj["metadata"]["name"]: obj["rules"] for obj in found if obj["kind"] == "ClusterRole"}


def test_gates_give_nodes_more_to_read() -> None:
    usual, group = rules_by_name()["system:node"], "certificates.k8s.io"
    assert rules_by_name("ClusterTrustBundle", "PodCertificateRequest")["system:node"] == [
        *usual,
        {"apiGroups": [group], "resources": ["clustertrustbundles"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [group], "resources": ["podcertificaterequests"],
         "verbs": ["create", "get", "list", "watch"]},
    ]  # fmt: skip


async def test_every_account_may_read_whom_to_trust(serving: Any) -> None:
    path = "/apis/certificates.k8s.io/v1beta1/clustertrustbundles"
    gates = resolve({"ClusterTrustBundle": True})
    async with serving(feature_gates=gates, runtime_config={"api/beta": "true"}) as api:
        account = "system:serviceaccount:default:default"
        assert (await api("GET", path, **{"impersonate-user": account})).status == 200
        assert (await api("GET", path, **{"impersonate-user": "jane"})).status == 403
