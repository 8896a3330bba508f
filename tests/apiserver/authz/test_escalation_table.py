"""Which rules cover which, and what is left: upstream's table of its comparator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tiphys.apiserver.authz.rules import Rule, TooMany, combinations, compact, not_whole, uncovered

Text = str
"""``verbs|resources|groups|names|URLs``, each by commas; empty where it is left out."""


def rule(text: Text) -> Rule:
    parts = [[word for word in part.strip().split(",") if word] for part in text.split("|")]
    verbs, resources, groups, names, urls = [*parts, *[[]] * (5 - len(parts))]
    return Rule.of(
        {
            "verbs": verbs,
            "resources": resources,
            "apiGroups": groups,
            "resourceNames": names,
            "nonResourceURLs": urls,
        }
    )


CASES: dict[str, tuple[list[Text], list[Text], list[Text]]] = {
    "the same": (["get|builds|v1"], ["get|builds|v1"], []),
    "a subresource of all": (["get|*/scale|v1"], ["get|foo/scale|v1"], []),
    "several for one": (
        ["delete|deployments|v1", "delete|builds|v1", "update|builds,deployments|v1"],
        ["delete,update|builds,deployments|v1"],
        [],
    ),
    "several groups for one": (
        [
            f"{verb}|{resource}|{group}"
            for group in ("group1", "group2")
            for verb, resource in (
                ("delete", "deployments"), ("delete", "builds"), ("update", "builds,deployments"),
            )
        ],
        ["delete,update|builds,deployments|group1,group2"],
        [],
    ),
    "one for several groups": (
        ["delete,update|builds,deployments|group1,group2"],
        ["delete|deployments|group1", "update|builds,deployments|group2", "delete|builds|group2"],
        [],
    ),
    "a verb of a resource is missing": (
        ["delete,update|builds,deployments|v1", "delete|pods|v1"],
        ["delete,update|builds,deployments,pods|v1"],
        ["update|pods|v1"],
    ),
    "all groups": (["get|roles|*"], ["get|roles|group1,group2"], []),
    "all groups of one": (["get|roles|dummy-group"], ["get|roles|*"], ["get|roles|*"]),
    "all groups of all": (["get|roles|*"], ["get|roles|*"], []),
    "all verbs": (["*|roles|v1"], ["watch,list|roles|v1"], []),
    "all verbs of many": (
        ["get,list,watch,create,update,delete,exec|roles|v1"], ["*|roles|v1"], ["*|roles|v1"]
    ),
    "all verbs of all": (["*|roles|v1"], ["*|roles|v1"], []),
    "all resources": (["get|*|v1"], ["get|resourcegroup:deployments|v1"], []),
    "all resources of some": (["get|roles,resourcegroup:deployments|v1"], ["get|*|v1"], ["get|*|v1"]),
    "all resources of all": (["get|*|v1"], ["get|*|v1"], []),
    "all names": (["get|pods|v1"], ["get|pods|v1|foo,bar"], []),
    "all names of some": (["get|pods|v1|foo,bar"], ["get|pods|v1"], ["get|pods|v1"]),
    "a URL": (["*||||/apis"], ["*||||/apis"], []),
    "all URLs": (["*||||*"], ["*||||/apis,/apis/v1,/"], []),
    "URLs below": (["*||||/apis/*"], ["get||||/apis,/apis/v1"], ["get||||/apis"]),
    "URLs further below": (["*||||/apis/*"], ["get||||/apis/v1/foo,/apis/v1"], []),
    "both": (["get|builds|v1||/apis"], ["get|builds|v1||/apis"], []),
    "both of one": (["get|builds|v1"], ["get|builds|v1||/apis"], ["get||||/apis"]),
}  # fmt: skip


@pytest.mark.parametrize(("owned", "wanted", "left"), CASES.values(), ids=CASES)
def test_covers(owned: list[Text], wanted: list[Text], left: list[Text]) -> None:
    assert compact(uncovered(map(rule, owned), map(rule, wanted))) == [*map(rule, left)]


@pytest.mark.parametrize(("owned", "wanted", "left"), CASES.values(), ids=CASES)
def test_what_is_covered_as_a_whole_has_nothing_left(
    owned: list[Text], wanted: list[Text], left: list[Text]
) -> None:
    mine, others = [*map(rule, owned)], [*map(rule, wanted)]
    assert compact(uncovered(mine, not_whole(mine, others))) == [*map(rule, left)]


def test_a_name_that_is_empty_is_all_names_also_where_it_is_held() -> None:
    mine = [Rule(("get",), ("",), ("pods",), ("", "a"))]
    assert uncovered(mine, not_whole(mine, mine)) == [Rule(("get",), ("",), ("pods",))]


MANY = tuple(f"a{at}" for at in range(1_000))
LARGE = Rule(MANY, MANY, MANY, MANY)


def test_rules_held_as_a_whole_are_never_taken_to_pieces() -> None:
    assert combinations([LARGE]) == 10**12
    assert not_whole([LARGE], [LARGE]) == []
    assert not_whole([Rule(("*",), ("*",), ("*",))], [LARGE]) == []


@pytest.mark.parametrize(
    ("owned", "wanted"),
    [([], [LARGE]), ([LARGE], [replace(LARGE, verbs=("x", *MANY))]), ([], [Rule(MANY, urls=MANY)]),
     ([Rule(("x",), (one,), (one,)) for one in MANY * 10], [Rule(("y",), (one,), ("p",)) for one in MANY])],
    ids=["held by nobody", "one more", "URLs", "many rules"],
)  # fmt: skip
def test_rules_of_too_many_pieces_are_not_compared(owned: list[Rule], wanted: list[Rule]) -> None:
    with pytest.raises(TooMany):
        not_whole(owned, wanted)


async def test_who_writes_a_role_of_endless_pieces_is_refused(api: Any) -> None:
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    writes = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]}
    await api.create(f"{path}/roles", {"metadata": {"name": "writer"}, "rules": [writes]})
    bound = {
        "metadata": {"name": "writer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writer"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "alice"}],
    }
    await api.create(f"{path}/rolebindings", bound)
    await api.settle()
    endless = {"metadata": {"name": "endless"}, "rules": [LARGE.to_object()]}
    answer = await api("POST", f"{path}/roles", endless, user="alice")
    assert answer.status == 403
    assert "may have 20000 combinations" in answer.message
    again = {"metadata": {"name": "again"}, "rules": [writes]}
    await api.create(f"{path}/roles", again, user="alice")


@pytest.mark.parametrize(
    ("owner", "requested", "covers"),
    [
        ("*", "/", True), ("*", "/api", True), ("/*", "/", True), ("/*", "/foo", True),
        ("/api", "/api", True),
        ("/apis", "/api", False), ("/api/v1", "/api", False), ("/api/v1", "/api/v1", True),
        ("/api/*", "/api/v1", True), ("/api/*", "/api", False), ("/api/*/*", "/api/v1", False),
        ("/*/v1/*", "/api/v1", False),
    ],
)  # fmt: skip
def test_urls(owner: str, requested: str, covers: bool) -> None:
    assert (uncovered([rule(f"get||||{owner}")], [rule(f"get||||{requested}")]) == []) is covers
