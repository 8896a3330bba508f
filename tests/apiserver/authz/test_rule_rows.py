"""Whom subjects mean and what rules let through, in upstream's rows."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.apiserver.authz.rules import Rule
from tiphys.apiserver.filters.requestinfo import RequestInfo

VERBS, GROUPS, RESOURCES = ("verb1", "verb2"), ("group1", "group2"), ("resource1", "resource2")


def on(verb: str, group: str, resource: str, subresource: str = "") -> RequestInfo:
    return RequestInfo(
        "", verb, is_resource=True, group=group, resource=resource, subresource=subresource, namespace="x"
    )


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (Rule(("*",), GROUPS[:1], RESOURCES[:1]), {("group1", "resource1")}),
        (Rule(VERBS, ("*",), RESOURCES[:1]), {("group1", "resource1"), ("group2", "resource1")}),
        (Rule(VERBS, GROUPS[:1], ("*",)), {("group1", "resource1"), ("group1", "resource2")}),
        (Rule(VERBS, GROUPS, RESOURCES), set(product(GROUPS, RESOURCES))),
        (Rule(("*",), ("*",), ("resource1/status", "*/scale")), set()),
    ],
)
def test_stars(rule: Rule, allowed: set[tuple[str, str]]) -> None:
    for verb in VERBS:
        asked = set(product(GROUPS, RESOURCES))
        assert {pair for pair in asked if rule.allows(on(verb, *pair))} == allowed


@pytest.mark.parametrize(
    ("resource", "subresource", "allowed"),
    [("resource1", "status", True), ("resource1", "other", False), ("resource2", "status", False),
     ("resource1", "", False), ("resource2", "scale", True), ("*", "scale", True)],
)  # fmt: skip
def test_subresources(resource: str, subresource: str, *, allowed: bool) -> None:
    rule = Rule(("*",), ("*",), ("resource1/status", "*/scale"))
    assert rule.allows(on("get", "g", resource, subresource)) is allowed


@pytest.mark.parametrize(
    ("url", "path", "allowed"),
    [
        ("*", "/foo", True), ("*", "/foo/bar/one", True), ("/foo/*", "/foo", False),
        ("/foo/*", "/foo/bar", True), ("/foo/*", "/foo/bar/one", True), ("/foo/*", "/notfoo", False),
        ("/apis", "/api/v1", False),
    ],
)  # fmt: skip
def test_paths(url: str, path: str, *, allowed: bool) -> None:
    rule = Rule(("get",), urls=(url,))
    assert rule.allows(RequestInfo(path, "get")) is allowed
    assert not rule.allows(RequestInfo(path, "watch"))


def user(name: str) -> dict[str, str]:
    return {"kind": "User", "name": name}


def group(name: str) -> dict[str, str]:
    return {"kind": "Group", "name": name}


DEFAULT = {"kind": "ServiceAccount", "namespace": "kube-system", "name": "default"}
ACCOUNT = "system:serviceaccount:kube-system:default"
ANYBODY = [group("system:authenticated"), group("system:unauthenticated")]
SUBJECTS: dict[str, tuple[list[Any], User, bool]] = {
    "the user": ([user("foobar")], User("foobar"), True),
    "one of them": ([user("barfoo"), user("foobar")], User("foobar"), True),
    "none of them": ([user("barfoo"), user("foobar")], User("zimzam"), False),
    "a group": ([user("barfoo"), group("foobar")], User("zimzam", groups=("foobar",)), True),
    "an account": ([user("barfoo"), group("foobar"), DEFAULT], User(ACCOUNT), True),
    "a star is a name": ([user("*")], User("foobar"), False),
    "a star is no group": ([group("*")], User("foobar", groups=("a",)), False),
    "who is known": (ANYBODY, User("foobar", groups=("system:authenticated",)), True),
    "who is not": (ANYBODY, User("system:anonymous", groups=("system:unauthenticated",)), True),
}


@pytest.mark.parametrize("namespace", ["", "x"])
@pytest.mark.parametrize(("subjects", "asks", "meant"), SUBJECTS.values(), ids=SUBJECTS)
def test_subjects(subjects: list[Any], asks: User, namespace: str, *, meant: bool) -> None:
    rbac = Rbac()
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    rbac.set_role({"metadata": {"name": "r"}, "rules": [everything]})
    meta = {"name": "b", **({"namespace": namespace} if namespace else {})}
    reference = {"kind": "ClusterRole", "name": "r"}
    rbac.set_binding({"metadata": meta, "roleRef": reference, "subjects": subjects})
    assert rbac.authorize(asks, on("get", "", "pods")).allowed is meant
    assert len(list(rbac.rules_for(asks, "x"))) == meant
