"""Which schema a request belongs to, with the objects that every cluster has."""

from __future__ import annotations

import pytest

from tiphys.apiserver.authn.user import User
from tiphys.apiserver.filters.requestinfo import parse
from tiphys.apiserver.flowcontrol import objects
from tiphys.apiserver.flowcontrol.matching import Schema, in_order

SCHEMAS = in_order(Schema.of(obj) for obj in objects.flow_schemas())
AUTH = "system:authenticated"
ADMIN = User("admin", groups=("system:masters", AUTH))
NODE = User("system:node:n1", groups=("system:nodes", AUTH))
MANAGER = User("system:kube-controller-manager", groups=(AUTH,))
SCHEDULER = User("system:kube-scheduler", groups=(AUTH,))
ALICE = User("alice", groups=(AUTH,))
ANYONE = User("system:anonymous", groups=("system:unauthenticated",))


def account(namespace: str, name: str) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTH)
    return User(f"system:serviceaccount:{namespace}:{name}", groups=groups)


LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x"
PODS = "/api/v1/namespaces/default/pods"
ENDPOINTS = "/api/v1/namespaces/default/endpoints/e"


@pytest.mark.parametrize(
    ("user", "method", "path", "schema"),
    [
        (ADMIN, "GET", PODS, "exempt"),
        (ANYONE, "GET", "/livez", "probes"),
        (ANYONE, "GET", "/version", "global-default"),
        (MANAGER, "PUT", LEASE, "system-leader-election"),
        (SCHEDULER, "GET", LEASE, "system-leader-election"),
        (account("kube-system", "job-controller"), "PUT", LEASE, "system-leader-election"),
        (account("kube-system", "endpoint-controller"), "PUT", ENDPOINTS, "kube-system-service-accounts"),
        (account("kube-system", "dns"), "GET", PODS, "kube-system-service-accounts"),
        (account("default", "app"), "GET", PODS, "service-accounts"),
        (account("default", "app"), "PUT", LEASE, "service-accounts"),
        (NODE, "PATCH", "/api/v1/nodes/n1/status", "system-node-high"),
        (NODE, "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1",
         "system-node-high"),
        (NODE, "GET", PODS, "system-nodes"),
        (MANAGER, "GET", PODS, "kube-controller-manager"),
        (SCHEDULER, "POST", "/api/v1/namespaces/default/pods/p/binding", "kube-scheduler"),
        (ALICE, "GET", PODS, "global-default"),
        (ALICE, "PUT", LEASE, "global-default"),
        (User("none", groups=()), "GET", PODS, None),
    ],
)  # fmt: skip
def test_the_default_schemas(user: User, method: str, path: str, schema: str | None) -> None:
    info = parse(method, path)
    found = next((one.name for one in SCHEMAS if one.matches(user, info)), None)
    assert found == schema
    matching = {one.name for one in SCHEMAS if one.matches(user, info)}
    assert matching <= {one.name for one in SCHEMAS if one.may_match(user)}


def test_what_a_user_is_no_subject_of_need_not_be_tried() -> None:
    names = {one.name for one in SCHEMAS if one.may_match(account("default", "app"))}
    assert names == {"probes", "service-accounts", "global-default", "catch-all"}
    assert not {one.name for one in SCHEMAS if one.may_match(User("none", groups=()))}


def _schema(**rule: object) -> Schema:
    spec = {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 5, "rules": [rule]}
    return Schema.of({"metadata": {"name": "s", "uid": "u"}, "spec": spec})


EVERYONE = [{"kind": "User", "user": {"name": "*"}}]


@pytest.mark.parametrize(
    ("wanted", "name", "matches"),
    [
        ("b", "a:b", True), ("*", "a:b", True), ("b", "a:bc", False), ("b", "ab:b", False),
        ("*", "ab:b", False), ("*", "a:b:c", True), ("b", "a:b:c", False), ("b:c", "a:b:c", True),
        ("*", "a", False),
    ],
)  # fmt: skip
def test_service_accounts(wanted: str, name: str, matches: bool) -> None:
    """A name need not be one of an account to be compared with one."""
    subject = {"kind": "ServiceAccount", "serviceAccount": {"namespace": "a", "name": wanted}}
    schema = _schema(subjects=[subject], nonResourceRules=[{"verbs": ["*"], "nonResourceURLs": ["*"]}])
    assert schema.matches(User(f"system:serviceaccount:{name}"), parse("GET", "/x")) is matches


@pytest.mark.parametrize(
    ("rule", "path", "matches"),
    [
        ({"resources": ["pods"], "namespaces": ["a"]}, "/api/v1/namespaces/a/pods", True),
        ({"resources": ["pods"], "namespaces": ["a"]}, "/api/v1/namespaces/b/pods", False),
        ({"resources": ["pods"], "namespaces": ["*"]}, "/api/v1/pods", False),
        ({"resources": ["pods"], "clusterScope": True}, "/api/v1/pods", True),
        ({"resources": ["pods"], "clusterScope": True}, "/api/v1/namespaces/a/pods", False),
        ({"resources": ["pods"], "namespaces": ["*"]}, "/api/v1/namespaces/a/pods/p/log", False),
        ({"resources": ["pods/log"], "namespaces": ["*"]}, "/api/v1/namespaces/a/pods/p/log", True),
        ({"resources": ["pods"], "namespaces": ["*"]}, "/apis/x/v1/namespaces/a/pods", False),
    ],
)  # fmt: skip
def test_resource_rules(rule: dict[str, object], path: str, matches: bool) -> None:
    one = {"verbs": ["*"], "apiGroups": [""], **rule}
    schema = _schema(subjects=EVERYONE, resourceRules=[one])
    assert schema.matches(ALICE, parse("GET", path)) is matches


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [("/healthz", "/healthz", True), ("/healthz", "/healthz/ping", False),
     ("/healthz/*", "/healthz/ping", True), ("*", "/x", True)],
)  # fmt: skip
def test_path_rules(pattern: str, path: str, matches: bool) -> None:
    schema = _schema(subjects=EVERYONE, nonResourceRules=[{"verbs": ["get"], "nonResourceURLs": [pattern]}])
    assert schema.matches(ALICE, parse("GET", path)) is matches
    assert not schema.matches(ALICE, parse("POST", path))


def test_equal_precedence_goes_by_name() -> None:
    assert [one.name for one in SCHEMAS if one.precedence == 800] == [
        "kube-controller-manager", "kube-scheduler"
    ]  # fmt: skip


def test_flows_are_told_apart_as_the_schema_says() -> None:
    info = parse("GET", PODS)
    by = {one.name: one.flow(ALICE, info) for one in SCHEMAS}
    assert by["global-default"] == "alice"
    assert by["kube-scheduler"] == "default"
    assert by["exempt"] == ""
