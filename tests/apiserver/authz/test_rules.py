"""Which rules grant what others do."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.authz.rules import Rule, uncovered


def on(resources: str, verbs: str, group: str = "v1", names: str = "", urls: str = "") -> dict[str, Any]:
    """Return a rule, of words with blanks between them."""
    rule = {"apiGroups": group.split(), "resources": resources.split(), "verbs": verbs.split()}
    given = {**rule, "resourceNames": names.split(), "nonResourceURLs": urls.split()}
    return {key: values for key, values in given.items() if values}


def at(urls: str, verbs: str) -> dict[str, Any]:
    return on("", verbs, "", urls=urls)


BOTH = on("builds deployments", "delete update")
SINGLE = [on("deployments", "delete"), on("builds", "delete"), on("builds deployments", "update")]
COVERS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]] = {
    # who grants has these, what is granted -> what of that is not covered
    "the same": ([on("builds", "get")], [on("builds", "get")], []),
    "several cover one": (SINGLE, [BOTH], []),
    "several of several groups cover one": (
        [{**rule, "apiGroups": [group]} for rule in SINGLE for group in ("g1", "g2")],
        [{**BOTH, "apiGroups": ["g1", "g2"]}],
        [],
    ),
    "one covers several of several groups": (
        [{**BOTH, "apiGroups": ["g1", "g2"]}],
        [{**rule, "apiGroups": [group]} for rule in SINGLE for group in ("g1", "g2")],
        [],
    ),
    "one verb on one resource is missing": (
        [BOTH, on("pods", "delete")],
        [on("builds deployments pods", "delete update")],
        [on("pods", "update")],
    ),
    "any group covers two": ([on("roles", "get", "*")], [on("roles", "get", "g1 g2")], []),
    "a group covers not any": (
        [on("roles", "get", "g")], [on("roles", "get", "*")], [on("roles", "get", "*")]
    ),
    "any group covers any": ([on("roles", "get", "*")], [on("roles", "get", "*")], []),
    "any verb covers two": ([on("roles", "*")], [on("roles", "watch list")], []),
    "many verbs cover not any": (
        [on("roles", "get list watch create update delete exec")], [on("roles", "*")], [on("roles", "*")]
    ),
    "any verb covers any": ([on("roles", "*")], [on("roles", "*")], []),
    "any resource covers one": ([on("*", "get")], [on("group:deployments", "get")], []),
    "resources cover not any": ([on("roles group:deployments", "get")], [on("*", "get")], [on("*", "get")]),
    "any resource covers any": ([on("*", "get")], [on("*", "get")], []),
    "all names cover two": ([on("pods", "get")], [on("pods", "get", names="foo bar")], []),
    "names cover not all": ([on("pods", "get", names="foo bar")], [on("pods", "get")], [on("pods", "get")]),
    "a path": ([at("/apis", "*")], [at("/apis", "*")], []),
    "any path": ([at("*", "*")], [at("/apis /apis/v1 /", "*")], []),
    "a path is not below itself": (
        [at("/apis/*", "*")], [at("/apis /apis/v1", "get")], [at("/apis", "get")]
    ),
    "paths below one": ([at("/apis/*", "*")], [at("/apis/v1/foo /apis/v1", "get")], []),
    "a path beside resources": (
        [on("builds", "get", urls="/apis")], [on("builds", "get", urls="/apis")], []
    ),
    "a path beside resources that is missing": (
        [on("builds", "get")], [on("builds", "get", urls="/apis")], [at("/apis", "get")]
    ),
}  # fmt: skip


@pytest.mark.parametrize(("owned", "wanted", "missing"), COVERS.values(), ids=COVERS)
def test_which_rules_cover_which(owned: list[Any], wanted: list[Any], missing: list[Any]) -> None:
    found = uncovered([Rule.of(rule) for rule in owned], [Rule.of(rule) for rule in wanted])
    assert [rule.to_object() for rule in found] == missing


URLS = [
    ("*", "/api", True), ("/api", "/api", True), ("/apis", "/api", False), ("/api/v1", "/api", False),
    ("/api/v1", "/api/v1", True), ("/api/*", "/api/v1", True), ("/api/*", "/api", False),
    ("/api/*/*", "/api/v1", False), ("/*/v1/*", "/api/v1", False),
]  # fmt: skip


@pytest.mark.parametrize(("owned", "wanted", "covered"), URLS)
def test_which_paths_cover_which(owned: str, wanted: str, covered: bool) -> None:
    assert (not uncovered([Rule.of(at(owned, "get"))], [Rule.of(at(wanted, "get"))])) is covered
