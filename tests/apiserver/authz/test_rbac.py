"""RBAC decisions."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.attributes import forbidden
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.apiserver.authz.rules import Rule, uncovered
from tiphys.apiserver.filters.requestinfo import RequestInfo, parse

ALICE = User("alice", groups=("dev", "system:authenticated"))


def role(namespace: str, name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"metadata": meta, "rules": list(rules)}


def binding(
    namespace: str, name: str, kind: str, role_name: str, *subjects: dict[str, str]
) -> dict[str, Any]:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"metadata": meta, "roleRef": {"kind": kind, "name": role_name}, "subjects": list(subjects)}


READ_PODS = {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}


@pytest.fixture
def rbac() -> Rbac:
    found = Rbac()
    found.set_role(
        role("", "reader", READ_PODS, {"nonResourceURLs": ["/metrics", "/debug/*"], "verbs": ["get"]})
    )
    found.set_role(
        role("a", "one", {"apiGroups": ["apps"], "resources": ["*"], "resourceNames": ["x"], "verbs": ["*"]})
    )
    found.set_binding(binding("", "all", "ClusterRole", "reader", {"kind": "Group", "name": "dev"}))
    found.set_binding(binding("a", "one", "Role", "one", {"kind": "User", "name": "alice"}))
    found.set_binding(binding("b", "sa", "ClusterRole", "reader", {"kind": "ServiceAccount", "name": "s"}))
    return found


def test_decisions_for_the_same_reason_are_one(rbac: Rbac) -> None:
    first, second = (rbac.authorize(ALICE, parse("GET", f"/api/v1/namespaces/{name}/pods")) for name in "ab")
    assert first.allowed
    assert first is second
    rbac.remove_binding("", "all")
    assert not rbac.authorize(ALICE, parse("GET", "/api/v1/namespaces/a/pods")).allowed
    assert not rbac._decisions


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/v1/pods", True),
        ("GET", "/api/v1/namespaces/z/pods/p/log", True),
        ("GET", "/api/v1/namespaces/z/pods/p/exec", False),
        ("POST", "/api/v1/namespaces/z/pods", False),
        ("PUT", "/apis/apps/v1/namespaces/a/deployments/x", True),
        ("PUT", "/apis/apps/v1/namespaces/a/deployments/y", False),
        ("PUT", "/apis/apps/v1/namespaces/b/deployments/x", False),
        ("GET", "/metrics", True),
        ("GET", "/debug/pprof", True),
        ("GET", "/other", False),
    ],
)
def test_decisions(rbac: Rbac, method: str, path: str, allowed: bool) -> None:
    assert rbac.authorize(ALICE, parse(method, path)).allowed is allowed


def test_a_service_account_without_namespace_is_of_the_bindings_own(rbac: Rbac) -> None:
    user = User("system:serviceaccount:b:s")
    assert rbac.authorize(user, parse("GET", "/api/v1/namespaces/b/pods")).allowed
    assert not rbac.authorize(user, parse("GET", "/api/v1/namespaces/c/pods")).allowed


def test_a_binding_of_several_subjects_that_a_user_is(rbac: Rbac) -> None:
    """It gives its rules once, as the first of them."""
    dev, alice = {"kind": "Group", "name": "dev"}, {"kind": "User", "name": "alice"}
    for first, second, words in ((dev, alice, 'Group "dev"'), (alice, dev, 'User "alice"')):
        for namespace, named in (("", 'ClusterRoleBinding "all"'), ("z", 'RoleBinding "all/z"')):
            found = Rbac()
            found.set_role(role("", "reader", READ_PODS))
            found.set_binding(binding(namespace, "all", "ClusterRole", "reader", first, second))
            assert len(list(found.rules_for(ALICE, "z"))) == 1
            decision = found.authorize(ALICE, parse("GET", "/api/v1/namespaces/z/pods"))
            assert decision.reason == f'RBAC: allowed by {named} of ClusterRole "reader" to {words}'


def test_removing_a_binding_takes_effect(rbac: Rbac) -> None:
    info = parse("GET", "/api/v1/pods")
    assert rbac.authorize(ALICE, info).allowed
    rbac.remove_binding("", "all")
    assert not rbac.authorize(ALICE, info).allowed


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("/api/v1/namespaces/default/pods",
         'pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "default"'),
        ("/apis/apps/v1/namespaces/d/deployments/x",
         'deployments.apps "x" is forbidden: User "alice" cannot get resource "deployments" in API group "apps" in the namespace "d"'),
        ("/api/v1/nodes", 'nodes is forbidden: User "alice" cannot list resource "nodes" in API group "" at the cluster scope'),
        ("/metrics", 'forbidden: User "alice" cannot get path "/metrics"'),
        ("/<script>&", 'forbidden: User "alice" cannot get path "/&lt;script&gt;&amp;"'),
        ("/api/v1/namespaces/<b>/pods/x/a&b",
         'pods "x" is forbidden: User "alice" cannot get resource "pods/a&amp;b" in API group "" in the namespace "&lt;b&gt;"'),
    ],
)  # fmt: skip
def test_wording(path: str, want: str) -> None:
    assert forbidden(ALICE, parse("GET", path)).message == want


def test_reasons_are_told_as_they_are() -> None:
    quoted = forbidden(User('a"<'), parse("GET", "/x"), 'because "<b>"').message
    assert quoted == 'forbidden: User "a\\"&lt;" cannot get path "/x": because "<b>"'


async def test_browsers_take_a_refusal_for_no_page(api: Any) -> None:
    answer = await api("GET", "/<script>", user="alice")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "x-content-type-options" not in (await api("GET", "/api/v1/pods/none")).headers


def test_escalation() -> None:
    owned = [Rule.of(READ_PODS)]
    assert uncovered(owned, [Rule.of({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]})]) == []
    left = uncovered(owned, [Rule.of({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "delete"]})])
    assert [sorted(rule.verbs) for rule in left] == [["delete"]]
    assert uncovered([Rule.of({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})], owned) == []


RULES = st.fixed_dictionaries(
    {
        "apiGroups": st.lists(st.sampled_from(["", "apps", "*"]), min_size=1, max_size=2),
        "resources": st.lists(
            st.sampled_from(["pods", "pods/status", "*", "*/status"]), min_size=1, max_size=2
        ),
        "verbs": st.lists(st.sampled_from(["get", "update", "*"]), min_size=1, max_size=2),
    },
    optional={"resourceNames": st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=2)},
)
ASKED = st.builds(
    lambda method, name, part: parse(method, f"/api/v1/namespaces/a/pods{name}{part if name else ''}"),
    st.sampled_from(["GET", "PUT", "POST"]),
    st.sampled_from(["", "/x", "/y", "/z"]),
    st.sampled_from(["", "/status"]),
)


@given(st.lists(st.lists(RULES, max_size=2), max_size=3), st.lists(ASKED, max_size=12))
def test_what_is_remembered_is_what_would_be_decided(roles: list[Any], asked: list[RequestInfo]) -> None:
    found = Rbac()
    for number, rules in enumerate(roles):
        found.set_role(role("", f"r{number}", *rules))
        found.set_binding(
            binding("", f"b{number}", "ClusterRole", f"r{number}", {"kind": "User", "name": "alice"})
        )
    for info in asked:
        assert found.authorize(ALICE, info) == found._decide(ALICE, info, info.namespace)


def test_objects_without_names_of_their_own_are_decided_on_once(rbac: Rbac) -> None:
    for name in ("p", "q", "r"):
        assert rbac.authorize(ALICE, parse("GET", f"/api/v1/namespaces/a/pods/{name}")).allowed
        rbac.authorize(ALICE, parse("GET", f"/apis/apps/v1/namespaces/a/deployments/{name}"))
    kept = [len(one) if isinstance(one, dict) else 0 for one in rbac._remembered.values()]
    assert sorted(kept) == [0, 3]


def test_requests_that_say_much_are_decided_on_and_not_remembered(rbac: Rbac) -> None:
    """Anybody may ask for any path: 20,000 of a million characters each would be more than there is."""
    long = "x" * 5000
    user = User("alice", groups=("dev",))
    for info in (
        parse("GET", f"/{long}"),
        parse("GET", f"/api/v1/namespaces/{long}/pods"),
        parse("GET", f"/api/v1/{long}"),
        parse("GET", f"/api/v1/namespaces/a/pods/{long}"),
    ):
        rbac.authorize(user, info)
    rbac.authorize(User("eve", extra=(("a", (long,)),)), parse("GET", "/api/v1/pods"))
    assert not rbac._remembered
