"""Policies of mode ABAC, by upstream's tables: what they allow and are shown as, and lines that are none."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.authn.user import AUTHENTICATED, User
from tiphys.apiserver.authz.abac import Abac, BadPolicyFile, parse
from tiphys.apiserver.filters.requestinfo import RequestInfo

CARIBOU = "projectCaribou"
OLDER = """
{                    "readonly": true, "resource": "events"   }
{"user":"scheduler", "readonly": true, "resource": "pods"     }
{"user":"scheduler",                   "resource": "bindings" }
{"user":"kubelet",   "readonly": true, "resource": "bindings" }
{"user":"kubelet",                     "resource": "events"   }
{"user":"alice",                                              "namespace": "projectCaribou"}
{"user":"bob",       "readonly": true,                        "namespace": "projectCaribou"}
{"group":"a",                          "resource": "bindings" }
{"group":"b",        "readonly": true                         }
"""
HEAD = '{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":'
VERSIONED = "\n".join(
    ["# Comment line", "", *(
        f"  {HEAD}{spec}}}" for spec in (
            '{"user":"*", "readonly": true, "nonResourcePath": "/api"}',
            '{"user":"*", "nonResourcePath": "/custom"}',
            '{"user":"*", "nonResourcePath": "/root/*"}',
            '{"user":"noresource", "nonResourcePath": "*"}',
            '{"user":"*", "readonly": true, "resource": "events", "namespace": "*"}',
            '{"user":"scheduler", "readonly": true, "resource": "pods", "namespace": "*"}',
            '{"user":"scheduler", "resource": "bindings", "namespace": "*"}',
            '{"user":"alice", "resource": "*", "namespace": "projectCaribou"}',
            '{"user":"debbie", "resource": "pods", "namespace": "projectCaribou"}',
            '{"user":"any", "resource": "*", "namespace": "projectAnyGroup", "apiGroup": "*"}',
            '{"user":"any", "resource": "*", "namespace": "projectEmptyGroup", "apiGroup": ""}',
            '{"user":"any", "resource": "*", "namespace": "projectXGroup", "apiGroup": "x"}',
            '{"user":"carol", "group":"crew", "resource": "pods", "namespace": "*"}',
        )
    )]
)  # fmt: skip


def user(name: str, *groups: str) -> User:
    return User(name, groups=groups or (AUTHENTICATED,))


def asked(verb: str, what: str, namespace: str = "", group: str = "") -> RequestInfo:
    """A request for a resource, or for a path."""
    if what.startswith("/"):
        return RequestInfo(path=what, verb=verb)
    return RequestInfo(path="", verb=verb, is_resource=True, resource=what, namespace=namespace, group=group)


OLDER_CASES: list[tuple[User, tuple[str, ...], bool]] = [
    (user("scheduler"), ("list", "pods", "ns1"), True),
    (user("scheduler"), ("list", "pods", ""), True),
    (user("scheduler"), ("create", "pods", "ns1"), False),
    (user("scheduler"), ("create", "pods", ""), False),
    (user("scheduler"), ("get", "bindings", "ns1"), True),
    (user("scheduler"), ("create", "bindings", ""), True),
    (user("alice"), ("get", "pods", CARIBOU), True),
    (user("alice"), ("get", "", CARIBOU), True),
    (user("alice"), ("update", "widgets", CARIBOU), True),
    (user("alice"), ("update", "foo", CARIBOU, "bar"), True),
    (user("alice"), ("get", "pods", "ns1"), False),
    (user("bob"), ("watch", "pods", CARIBOU), True),
    (user("bob"), ("delete", "pods", CARIBOU), False),
    (user("chuck"), ("get", "events", "ns1"), True),
    (user("chuck"), ("get", "events", ""), True),
    (user("chuck"), ("update", "events", "ns1"), False),
    (user("chuck"), ("get", "pods", "ns1"), False),
    (user("chuck"), ("get", "/"), False),
    (User("nobody"), ("get", "events", "ns1"), False),
    (user("x", "a"), ("create", "bindings", "ns1"), True),
    (user("x", "b"), ("get", "/metrics"), True),
    (user("x", "b"), ("post", "/metrics"), False),
]
VERSIONED_CASES: list[tuple[User, tuple[str, ...], bool]] = [
    (user("noresource"), ("get", "/"), True),
    (user("noresource"), ("get", "/foo/bar/baz"), True),
    (user("chuck"), ("get", "/api"), True),
    (user("chuck"), ("update", "/api"), False),
    (user("chuck"), ("update", "/custom"), True),
    (user("chuck"), ("get", "/root/"), True),
    (user("chuck"), ("post", "/root/test/1/2/3"), True),
    (user("chuck"), ("get", "/root"), False),
    (User("chuck"), ("get", "/api"), False),
    (user("scheduler"), ("list", "pods", "ns1"), True),
    (user("scheduler"), ("create", "pods", "ns1"), False),
    (user("scheduler"), ("get", "bindings", "ns1"), True),
    (user("alice"), ("update", "pods", CARIBOU), True),
    (user("alice"), ("get", "pods", "ns1"), False),
    (user("debbie"), ("update", "pods", CARIBOU), True),
    (user("debbie"), ("get", "services", CARIBOU), False),
    (user("debbie"), ("get", "pods", CARIBOU, "metrics.k8s.io"), False),
    (user("any"), ("get", "x", "projectAnyGroup", "x"), True),
    (user("any"), ("get", "x", "projectAnyGroup", ""), True),
    (user("any"), ("get", "x", "projectEmptyGroup", ""), True),
    (user("any"), ("get", "x", "projectEmptyGroup", "x"), False),
    (user("any"), ("get", "x", "projectXGroup", "x"), True),
    (user("any"), ("get", "x", "projectXGroup", ""), False),
    (user("carol", "crew"), ("get", "pods", "ns1"), True),
    (user("carol"), ("get", "pods", "ns1"), False),
    (user("dave", "crew"), ("get", "pods", "ns1"), False),
]


@pytest.mark.parametrize(
    ("text", "who", "what", "allowed"),
    [(OLDER, *case) for case in OLDER_CASES] + [(VERSIONED, *case) for case in VERSIONED_CASES],
)
def test_what_is_allowed(text: str, who: User, what: tuple[str, ...], allowed: bool) -> None:
    decision = Abac(parse(text, "policies")).authorize(who, asked(*what))
    assert (decision.allowed, decision.denied) == (allowed, False)
    assert decision.reason == ("" if allowed else "No policy matched.")


def test_what_one_may_do_is_shown() -> None:
    found = Abac(parse(OLDER, "policies")).rules_for(user("x", "a", "b"), "ns1")
    shown = [rule.to_object() for rule in found]
    reads = ["get", "list", "watch"]
    assert shown == [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["bindings"]},
        {"verbs": reads, "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": reads, "nonResourceURLs": ["*"]},
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("user: [", "yaml: "),
        ("5", "couldn't get version/kind; json parse error: the line is no object"),
        ('{"user": 5}', "a field of the Policy has the wrong type"),
        ('{"readonly": "yes"}', "a field of the Policy has the wrong type"),
    ],
)
def test_lines_that_are_no_policies(line: str, fault: str) -> None:
    with pytest.raises(BadPolicyFile) as caught:
        parse(f"# first\n{line}\n", "/policies")
    assert str(caught.value).startswith(f"error reading policy file /policies, line 2: {line}: {fault}")


async def test_a_server_goes_by_them(serving: Any) -> None:
    text = f'{HEAD}{{"user":"alice","resource":"configmaps","namespace":"default","readonly":true}}}}'
    async with serving(authorization_modes=("ABAC",), authorization_policies=parse(text, "policies")) as api:
        assert (await api("GET", "/api/v1/namespaces/default/configmaps", user="alice")).status == 200
        refused = await api("GET", "/api/v1/namespaces/default/pods", user="alice")
        assert refused.message.endswith('in the namespace "default": No policy matched.')
        review = {"spec": {"namespace": "default"}}
        url = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        asked_as = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", **review}
        assert (await api("POST", url, asked_as, user="alice")).status == 403, "that is a right as well"
        admin = (await api("POST", url, asked_as)).json["status"]
        assert (admin["resourceRules"], admin["incomplete"]) == ([], False)
