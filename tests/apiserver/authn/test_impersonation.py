"""Speaking as another: which rights are asked for, in which way, and who comes of it."""
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import BadRequest, Forbidden
from tiphys.apiserver.authn.impersonation import Impersonation, read, wanted
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.attributes import Decision
from tiphys.apiserver.filters.requestinfo import RequestInfo, parse
from tiphys.wire.message import RepeatedHeaders

REAL = User("root")
LIST = parse("GET", "/api/v1/namespaces/ns/pods")
GROUP = "authentication.k8s.io"
Question = tuple[str, ...]


class Asked:
    """Writes down what is asked, and allows what a test says."""

    def __init__(self, allows: Callable[[RequestInfo], bool]) -> None:
        self.allows = allows
        self.questions: list[Question] = []
        self.users: list[User] = []

    async def decide(self, user: User, info: RequestInfo) -> Decision:
        self.users.append(user)
        parts = (info.verb, info.group, info.namespace, info.resource, info.subresource, info.name)
        self.questions.append(tuple(part for part in parts if part))
        return Decision(allowed=self.allows(info))


def headers(*pairs: tuple[str, str]) -> dict[str, str]:
    """Headers as the wire has them, some of them sent several times."""
    found = RepeatedHeaders({})
    for name, value in pairs:
        if name in found:
            found.repeat(name, value)
        else:
            found[name] = value
    return found


def legacy(info: RequestInfo) -> bool:
    return info.verb == "impersonate"


def constrained(info: RequestInfo) -> bool:
    return info.verb.startswith("impersonate")


AUTHENTICATED = "system:authenticated"
NAME = "impersonate-user"
LEGACY: dict[str, tuple[dict[str, str], list[Question], dict[str, Any]]] = {
    "user": (headers((NAME, "bob")), [("users", "bob")], {"username": "bob", "groups": [AUTHENTICATED]}),
    "groups, one with a comma": (
        headers((NAME, "bob"), ("impersonate-group", "x"), ("impersonate-group", "cn=a, ou=b")),
        [("users", "bob"), ("groups", "x"), ("groups", "cn=a, ou=b")],
        {"username": "bob", "groups": ["x", "cn=a, ou=b", AUTHENTICATED]},
    ),
    "the first of two names": (
        headers((NAME, "bob"), (NAME, "eve")), [("users", "bob")], {"username": "bob", "groups": [AUTHENTICATED]},
    ),
    "service account": (
        headers((NAME, "system:serviceaccount:a:b")),
        [("a", "serviceaccounts", "b")],
        {"username": "system:serviceaccount:a:b",
         "groups": ["system:serviceaccounts", "system:serviceaccounts:a", AUTHENTICATED]},
    ),
    "no service account after all": (
        headers((NAME, "system:serviceaccount:a")),
        [("users", "system:serviceaccount:a")],
        {"username": "system:serviceaccount:a", "groups": [AUTHENTICATED]},
    ),
    "more than a service account": (
        headers((NAME, "system:serviceaccount:a:b:c")),
        [("users", "system:serviceaccount:a:b:c")],
        {"username": "system:serviceaccount:a:b:c", "groups": [AUTHENTICATED]},
    ),
    "a node is a user like others": (
        headers((NAME, "system:node:n")), [("users", "system:node:n")],
        {"username": "system:node:n", "groups": [AUTHENTICATED]},
    ),
    "anonymous": (
        headers((NAME, "system:anonymous")),
        [("users", "system:anonymous")],
        {"username": "system:anonymous", "groups": ["system:unauthenticated"]},
    ),
    "unauthenticated": (
        headers((NAME, "bob"), ("impersonate-group", "system:unauthenticated")),
        [("users", "bob"), ("groups", "system:unauthenticated")],
        {"username": "bob", "groups": ["system:unauthenticated"]},
    ),
    "masters": (
        headers((NAME, "bob"), ("impersonate-group", "system:masters")),
        [("users", "bob"), ("groups", "system:masters")],
        {"username": "bob", "groups": ["system:masters", AUTHENTICATED]},
    ),
    "everything": (
        headers((NAME, "bob"), ("impersonate-uid", "7"), ("impersonate-extra-acme.com%2fx", "1"), ("impersonate-extra-acme.com%2fx", "2")),
        [("users", "bob"), (GROUP, "uids", "7"), (GROUP, "userextras", "acme.com/x", "1"),
         (GROUP, "userextras", "acme.com/x", "2")],
        {"username": "bob", "uid": "7", "groups": [AUTHENTICATED], "extra": {"acme.com/x": ["1", "2"]}},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "questions", "want"), LEGACY.values(), ids=LEGACY)
async def test_the_older_way(sent: dict[str, str], questions: list[Question], want: dict[str, Any]) -> None:
    asked = Asked(legacy)
    user, bound = await Impersonation(FakeClock()).impersonate(REAL, sent, LIST, asked)
    assert (user.to_info(), bound) == (want, "")
    assert [one[1:] for one in asked.questions if one[0] == "impersonate"] == questions


ACCOUNT = User("system:serviceaccount:kube-system:agent", extra=(
    ("authentication.kubernetes.io/node-name", ("n1",)), ("authentication.kubernetes.io/pod-name", ("p",)),
))  # fmt: skip
MANY = [("impersonate-group", f"g{number}") for number in range(4)]
CONSTRAINED: dict[str, tuple[User, dict[str, str], str, list[Question], dict[str, Any]]] = {
    "user": (
        REAL, headers((NAME, "bob")), "user-info", [(GROUP, "users", "bob")],
        {"username": "bob", "groups": [AUTHENTICATED]},
    ),
    "groups, uid and extra": (
        REAL,
        headers((NAME, "bob"), ("impersonate-uid", "7"), ("impersonate-group", "x"), ("impersonate-extra-a.b%2fc", "1")),
        "user-info",
        [(GROUP, "users", "bob"), (GROUP, "uids", "7"), (GROUP, "groups", "x"),
         (GROUP, "userextras", "a.b/c", "1")],
        {"username": "bob", "uid": "7", "groups": ["x", AUTHENTICATED], "extra": {"a.b/c": ["1"]}},
    ),
    "many groups are asked for at once": (
        REAL, headers((NAME, "bob"), *MANY), "user-info", [(GROUP, "users", "bob"), (GROUP, "groups", "*")],
        {"username": "bob", "groups": ["g0", "g1", "g2", "g3", AUTHENTICATED]},
    ),
    "many extras": (
        REAL, headers((NAME, "bob"), *[("impersonate-extra-a.b%2fc", str(number)) for number in range(4)]),
        "user-info", [(GROUP, "users", "bob"), (GROUP, "userextras", "*", "*")],
        {"username": "bob", "groups": [AUTHENTICATED], "extra": {"a.b/c": ["0", "1", "2", "3"]}},
    ),
    "service account": (
        REAL, headers((NAME, "system:serviceaccount:a:b")), "serviceaccount",
        [(GROUP, "a", "serviceaccounts", "b")],
        {"username": "system:serviceaccount:a:b",
         "groups": ["system:serviceaccounts", "system:serviceaccounts:a", AUTHENTICATED]},
    ),
    "more than a service account": (
        REAL, headers((NAME, "system:serviceaccount:a:b:c")), "user-info",
        [(GROUP, "users", "system:serviceaccount:a:b:c")],
        {"username": "system:serviceaccount:a:b:c", "groups": [AUTHENTICATED]},
    ),
    "any node": (
        REAL, headers((NAME, "system:node:n1")), "arbitrary-node", [(GROUP, "nodes", "n1")],
        {"username": "system:node:n1", "groups": ["system:nodes", AUTHENTICATED]},
    ),
    "the node that an account runs on": (
        ACCOUNT, headers((NAME, "system:node:n1")), "associated-node", [(GROUP, "nodes", "*")],
        {"username": "system:node:n1", "groups": ["system:nodes", AUTHENTICATED]},
    ),
    "another node": (
        ACCOUNT, headers((NAME, "system:node:n2")), "arbitrary-node", [(GROUP, "nodes", "n2")],
        {"username": "system:node:n2", "groups": ["system:nodes", AUTHENTICATED]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("real", "sent", "mode", "questions", "want"), CONSTRAINED.values(), ids=CONSTRAINED)
async def test_bounded_ways(
    real: User, sent: dict[str, str], mode: str, questions: list[Question], want: dict[str, Any]
) -> None:
    asked = Asked(constrained)
    user, bound = await Impersonation(FakeClock()).impersonate(real, sent, LIST, asked)
    assert (user.to_info(), bound) == (want, f"impersonate:{mode}")
    first, *rest = asked.questions
    assert first == (f"impersonate-on:{mode}:list", "ns", "pods")
    assert rest == [(f"impersonate:{mode}", *question) for question in questions]


async def test_an_account_on_its_node_is_asked_about_without_what_names_the_node() -> None:
    asked = Asked(constrained)
    await Impersonation(FakeClock()).impersonate(ACCOUNT, headers((NAME, "system:node:n1")), LIST, asked)
    keys = ("authentication.kubernetes.io/node-name", "authentication.kubernetes.io/pod-name")
    told = (("authentication.kubernetes.io/associated-node-keys", keys),)
    assert {user.extra for user in asked.users} == {told}


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "masters": (
        headers((NAME, "bob"), ("impersonate-group", "system:masters")),
        'groups.authentication.k8s.io "system:masters" is forbidden: User "root" cannot impersonate:user-info resource "groups" in API group "authentication.k8s.io" at the cluster scope: impersonating the system:masters group is not allowed',
    ),
    "a group without a name": (
        headers((NAME, "bob"), ("impersonate-group", "")),
        'groups.authentication.k8s.io is forbidden: User "root" cannot impersonate:user-info resource "groups" in API group "authentication.k8s.io" at the cluster scope: impersonating the empty string group is not allowed',
    ),
    "an extra of no domain": (
        headers((NAME, "bob"), ("impersonate-extra-scopes", "x")),
        'userextras.authentication.k8s.io is forbidden: User "root" cannot impersonate:user-info resource "userextras" in API group "authentication.k8s.io" at the cluster scope: impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "scopes": must be a domain-prefixed path (such as "acme.io/foo")',
    ),
    "an extra without a value": (
        headers((NAME, "bob"), ("impersonate-extra-a.b%2fc", "")),
        'userextras.authentication.k8s.io is forbidden: User "root" cannot impersonate:user-info resource "userextras" in API group "authentication.k8s.io" at the cluster scope: impersonating the empty string value in extra is not allowed',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "text"), REFUSED.values(), ids=REFUSED)
async def test_what_is_never_taken_on_by_a_bounded_right(sent: dict[str, str], text: str) -> None:
    asked = Asked(lambda info: info.verb != "impersonate")
    with pytest.raises(Forbidden) as caught:
        await Impersonation(FakeClock()).impersonate(REAL, sent, LIST, asked)
    assert caught.value.message == text


async def test_nodes_and_accounts_are_taken_on_alone() -> None:
    """With a group beside it no bounded way is left, and the older one is asked for."""
    for name in ("system:node:n1", "system:serviceaccount:a:b"):
        asked = Asked(lambda info: False)
        with pytest.raises(Forbidden):
            await Impersonation(FakeClock()).impersonate(
                REAL, headers((NAME, name), ("impersonate-group", "x")), LIST, asked
            )
        assert [question[0] for question in asked.questions] == ["impersonate"]


async def test_the_way_that_worked_is_tried_first() -> None:
    ways, asked = Impersonation(FakeClock()), Asked(legacy)
    sent = headers((NAME, "bob"))
    await ways.impersonate(REAL, sent, LIST, asked)
    assert [question[0] for question in asked.questions] == ["impersonate-on:user-info:list", "impersonate"]
    asked.questions.clear()
    await ways.impersonate(REAL, sent, LIST, asked)
    assert [question[0] for question in asked.questions] == ["impersonate"]


def counted(ways: Impersonation) -> dict[tuple[str, str, str], float]:
    """What was counted, and, as it must be the same, observed: by what, mode and decision."""
    found: dict[tuple[str, str, str], float] = {}
    for family in ways.collect():
        assert family.documentation.startswith("[ALPHA] ")
        for sample in family.samples:
            ending = next(
                (end for end in ("_total", "_duration_seconds_count") if sample.name.endswith(end)), None
            )
            if ending is not None:
                name = sample.name.removeprefix("apiserver_impersonation_").removesuffix(ending)
                key = (name, sample.labels["mode"], sample.labels["decision"])
                assert found.setdefault(key, sample.value) == sample.value
    return found


async def test_what_is_counted() -> None:
    ways, sent = Impersonation(FakeClock()), headers((NAME, "bob"))
    await ways.impersonate(REAL, sent, LIST, Asked(legacy))
    checks = "authorization_attempts"
    assert counted(ways) == {
        ("attempts", "legacy", "allowed"): 1, (checks, "user-info", "denied"): 1, (checks, "legacy", "allowed"): 1,
    }  # fmt: skip
    with pytest.raises(Forbidden):
        await ways.impersonate(
            User("eve"), sent, LIST, Asked(lambda info: info.verb.startswith("impersonate-on"))
        )
    assert counted(ways) == {
        ("attempts", "legacy", "allowed"): 1, ("attempts", "", "denied"): 1, (checks, "user-info", "allowed"): 1,
        (checks, "user-info", "denied"): 2, (checks, "legacy", "allowed"): 1, (checks, "legacy", "denied"): 1,
    }  # fmt: skip
    older = Impersonation(FakeClock(), constrained=False)
    await older.impersonate(REAL, sent, LIST, Asked(legacy))
    assert not list(older.collect())


async def test_what_was_allowed_a_moment_ago() -> None:
    clock = FakeClock()
    ways, asked, sent = Impersonation(clock), Asked(constrained), headers((NAME, "bob"))

    async def questions(real: User, sent: dict[str, str], info: RequestInfo = LIST) -> list[str]:
        asked.questions.clear()
        await ways.impersonate(real, sent, info, asked)
        return [question[0] for question in asked.questions]

    on, whole = "impersonate-on:user-info:list", ["impersonate-on:user-info:list", "impersonate:user-info"]
    assert await questions(REAL, sent) == whole
    assert await questions(REAL, sent) == []
    assert await questions(REAL, sent, parse("GET", "/api/v1/namespaces/other/pods")) == [on]
    assert await questions(User("root", groups=("x",)), sent) == whole
    assert await questions(REAL, headers((NAME, "bob"), ("impersonate-uid", "7"))) == [*whole, whole[1]]
    clock.advance(10)
    assert await questions(REAL, sent) == whole
    # An account may be any node that it runs on, so the node does not matter.
    elsewhere = User(
        ACCOUNT.name, extra=(("authentication.kubernetes.io/node-name", ("n2",)), ACCOUNT.extra[1])
    )
    assert len(await questions(ACCOUNT, headers((NAME, "system:node:n1")))) == 2
    assert await questions(elsewhere, headers((NAME, "system:node:n2"))) == []
    assert len(await questions(elsewhere, headers((NAME, "system:node:n1")))) == 2, (
        "another node, by another way"
    )
    asked.allows = legacy
    assert await questions(User("older"), sent) == [on, "impersonate"]
    assert await questions(User("older"), sent) == ["impersonate"]


@pytest.mark.parametrize(
    ("sent", "want"),
    [
        ({}, False),
        ({NAME: ""}, False),
        ({"impersonate-uid": ""}, False),
        ({"impersonate-anything": "x"}, False),
        ({NAME: "bob"}, True),
        ({"impersonate-uid": "7"}, True),
        ({"impersonate-group": ""}, True),
        ({"impersonate-extra-": ""}, True),
    ],
)
def test_who_wants_to_be_another(sent: dict[str, str], want: bool) -> None:
    assert wanted({"accept": "*/*", **sent}) is want


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ({"impersonate-group": "x"}, 'Groups:[]string{"x"}, Extra:map[string][]string(nil)}'),
        ({"impersonate-extra-k": "v"}, 'Groups:[]string(nil), Extra:map[string][]string{"k":[]string{"v"}}}'),
    ],
)
def test_nobody_to_be(sent: dict[str, str], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(sent)
    shown = f'&user.DefaultInfo{{Name:"", UID:"", {text}'
    assert caught.value.message == f"requested {shown} without impersonating a user name"


WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


async def grant(api: Any, *rules: dict[str, Any]) -> None:
    await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": "i"}, "rules": list(rules)})
    await api.create(f"{RBAC}/clusterrolebindings", {
        "metadata": {"name": "i"}, "subjects": [{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "ClusterRole", "name": "i", "apiGroup": "rbac.authorization.k8s.io"}})  # fmt: skip
    await api.settle()


def rule(group: str, resource: str, verb: str, *resource_names: str) -> dict[str, Any]:
    names = {"resourceNames": list(resource_names)} if resource_names else {}
    return {"apiGroups": [group], "resources": [resource], "verbs": [verb], **names}


async def test_each_thing_needs_a_right(api: Any) -> None:
    await grant(
        api, rule("", "users", "impersonate", "bob"), rule(GROUP, "userextras/scopes", "impersonate", "view")
    )
    ok = await api(
        "POST", WHOAMI, {}, user="alice", **{"impersonate-user": "bob", "impersonate-extra-scopes": "view"}
    )
    assert ok.json["status"]["userInfo"]["extra"] == {"scopes": ["view"]}
    for sent, text in (
        ({"impersonate-user": "eve"}, 'users "eve" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope'),
        ({"impersonate-user": "bob", "impersonate-group": "dev"}, 'groups "dev" is forbidden: User "alice" cannot impersonate resource "groups" in API group "" at the cluster scope'),
        ({"impersonate-user": "bob", "impersonate-extra-scopes": "admin"},
         'userextras.authentication.k8s.io "admin" is forbidden: User "alice" cannot impersonate resource "userextras/scopes" in API group "authentication.k8s.io" at the cluster scope'),
        ({"impersonate-user": "bob", "impersonate-uid": "1"},
         'uids.authentication.k8s.io "1" is forbidden: User "alice" cannot impersonate resource "uids" in API group "authentication.k8s.io" at the cluster scope'),
    ):  # fmt: skip
        answer = await api("POST", WHOAMI, {}, user="alice", **sent)
        assert (answer.status, answer.message) == (403, text)


async def test_a_bounded_right_reaches_as_far_as_it_says(api: Any) -> None:
    await grant(
        api,
        rule(GROUP, "users", "impersonate:user-info", "admin"),
        rule(GROUP, "groups", "impersonate:user-info", "ops"),
        rule("", "configmaps", "impersonate-on:user-info:list"),
        rule("", "configmaps", "list"),
    )
    as_admin = {"impersonate-user": "admin", "impersonate-group": "ops"}
    await api.create(f"{RBAC}/clusterrolebindings", {
        "metadata": {"name": "ops"}, "subjects": [{"kind": "Group", "name": "ops", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "ClusterRole", "name": "cluster-admin", "apiGroup": "rbac.authorization.k8s.io"}})  # fmt: skip
    await api.settle()
    assert (await api("GET", "/api/v1/configmaps", user="alice", **as_admin)).status == 200
    answer = await api("GET", "/api/v1/secrets", user="alice", **as_admin)
    assert answer.message == (
        'secrets is forbidden: User "alice" cannot impersonate-on:user-info:list resource "secrets" in API '
        'group "" at the cluster scope'
    )
