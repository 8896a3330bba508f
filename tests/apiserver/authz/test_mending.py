"""Default roles and bindings: what they get back at a start, and what they take over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apiserver.authz.defaults import default_policy
from tiphys.apiserver.authz.mending import AUTOUPDATE, grown_out_of, inherited, mended
from tiphys.storage.memory import MemoryStore

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group"}
ONE, TWO = {**GROUP, "name": "one"}, {**GROUP, "name": "two"}


def role(*rules: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return {"kind": "ClusterRole", "metadata": {"name": "r", **meta}, "rules": list(rules)}


def rule(verbs: str, *resources: str) -> dict[str, Any]:
    return {"verbs": verbs.split(), "apiGroups": [""], "resources": list(resources)}


def binding(*subjects: dict[str, Any], to: str = "r", **meta: Any) -> dict[str, Any]:
    ref = {"apiGroup": GROUP["apiGroup"], "kind": "ClusterRole", "name": to}
    return {
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "b", **meta},
        "subjects": list(subjects),
        "roleRef": ref,
    }


def aggregated(*into: str) -> dict[str, Any]:
    return {
        **role(),
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {one: "true"}} for one in into]},
    }


@pytest.mark.parametrize(
    ("live", "wanted", "want"),
    [
        (role(rule("get", "pods")), role(rule("get", "pods")), None),
        (role(rule("*", "*")), role(rule("get", "pods")), None),
        (
            role(rule("get", "pods")),
            role(rule("get list", "pods")),
            role(rule("get", "pods"), rule("list", "pods")),
        ),
        (role(annotations={AUTOUPDATE: "false"}), role(rule("get", "pods")), None),
        (role(), role(rule("get", "pods")), role(rule("get", "pods"))),
        (
            role(labels={"a": "mine"}, annotations={"x": "y"}),
            role(labels={"a": "b", "c": "d"}, annotations={AUTOUPDATE: "true"}),
            role(labels={"a": "mine", "c": "d"}, annotations={AUTOUPDATE: "true", "x": "y"}),
        ),
        (aggregated("mine"), aggregated("default"), aggregated("mine", "default")),
        (role(), aggregated("default"), aggregated("default")),
        (aggregated("mine"), role(), role()),
        (binding(ONE), binding(ONE), None),
        (binding(ONE), binding(TWO), binding(ONE, TWO)),
        (binding(ONE, to="other", uid="u"), binding(TWO), binding(TWO)),
        (binding(ONE, to="other", annotations={AUTOUPDATE: "false"}), binding(TWO), None),
    ],
    ids=[
        "whole", "covered otherwise", "a verb", "protected", "all rules", "labels and annotations",
        "selector", "aggregation", "no aggregation", "bound", "subject", "other role", "protected binding",
    ],
)  # fmt: skip
def test_what_comes_back(live: dict[str, Any], wanted: dict[str, Any], want: Any) -> None:
    assert mended(live, wanted) == want


def test_default_policy_needs_no_mending() -> None:
    assert not [obj["metadata"]["name"] for obj in default_policy() if mended(obj, obj)]


def test_what_was_part_of_another() -> None:
    assert {obj["metadata"]["name"]: source for obj, source in grown_out_of(default_policy())} == {
        "system:aggregate-to-admin": "admin",
        "system:aggregate-to-edit": "edit",
        "system:aggregate-to-view": "view",
        "system:public-info-viewer": "system:discovery",
    }
    meta = {"labels": {"a": "b"}, "annotations": {"c": "d"}}
    assert inherited(role(rule("get", "pods")), role(rule("list", "pods"), **meta)) == role(
        rule("list", "pods"), **meta
    )
    assert inherited(role(rule("get", "pods")), aggregated("default")) is None
    assert inherited(binding(ONE, to="new"), binding(TWO, to="old", **meta)) == binding(TWO, to="new", **meta)


async def test_an_upgrade_keeps_what_discovery_was_bound_to(serving: Callable[..., Any]) -> None:
    class Kept(MemoryStore):
        async def close(self) -> None:
            return

    store, bindings = Kept(), f"{RBAC}/clusterrolebindings"
    async with serving(store) as api:
        assert len((await api.get(f"{bindings}/system:public-info-viewer"))["subjects"]) == 2
        discovery = await api.get(f"{bindings}/system:discovery")
        discovery["metadata"]["annotations"] = {AUTOUPDATE: "false", "upgrade": "kept"}
        discovery["subjects"] = [ONE]
        discovery = await api.put(f"{bindings}/system:discovery", discovery)
        assert (await api("DELETE", f"{bindings}/system:public-info-viewer")).status == 200
        node = await api.get(f"{bindings}/system:basic-user")
        del node["metadata"]["annotations"]
        await api.put(f"{bindings}/system:basic-user", {**node, "subjects": []})
    async with serving(store) as api:
        assert await api.get(f"{bindings}/system:discovery") == discovery
        made = await api.get(f"{bindings}/system:public-info-viewer")
        assert made["metadata"]["annotations"] == discovery["metadata"]["annotations"]
        assert made["subjects"] == discovery["subjects"]
        assert made["roleRef"]["name"] == "system:public-info-viewer"
        back = await api.get(f"{bindings}/system:basic-user")
        assert back["subjects"]
        assert back["metadata"]["annotations"] == {AUTOUPDATE: "true"}


async def test_a_default_binding_to_another_role_is_made_anew(serving: Callable[..., Any]) -> None:
    class Kept(MemoryStore):
        async def close(self) -> None:
            return

    store, path = Kept(), f"{RBAC}/clusterrolebindings/system:basic-user"
    async with serving(store) as api:
        live = await api.get(path)
        assert (await api("DELETE", path)).status == 200
        other = {**live, "roleRef": {**live["roleRef"], "name": "cluster-admin"}}
        other["metadata"] = {"name": "system:basic-user"}
        other = await api.create(f"{RBAC}/clusterrolebindings", other)
    async with serving(store) as api:
        back = await api.get(path)
        assert back["roleRef"] == live["roleRef"]
        assert back["metadata"]["uid"] != other["metadata"]["uid"]
