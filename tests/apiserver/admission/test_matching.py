"""Which row of a kind a rule means: upstream's cases of matching rules, as values."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tiphys.apiserver.admission.matching import matched_row, read_match


def row(group: str, version: str) -> Any:
    return SimpleNamespace(group=group, version=version, plural="deployments", namespaced=True)


V1, V1BETA1, EXTENSIONS = row("apps", "v1"), row("apps", "v1beta1"), row("extensions", "v1beta1")
OTHERS = (V1BETA1, EXTENSIONS)


def rule(of: Any, *resources: str, **more: Any) -> dict[str, Any]:
    return {
        "apiGroups": [of.group],
        "apiVersions": [of.version],
        "operations": ["*"],
        "resources": list(resources) or ["deployments", "deployments/scale"],
        **more,
    }


EVERYTHING = rule(row("*", "*"), "*/*", scope="*")
UNKNOWN = row("extensions", "v1")

CASES: dict[str, tuple[list[Any], Any, Any]] = {
    "no rules": ([], OTHERS, None),
    "everything, as requested": ([EVERYTHING], OTHERS, V1),
    "the exact one before others": ([rule(EXTENSIONS), rule(V1BETA1), rule(V1)], OTHERS, V1),
    "only exact ones": ([rule(EXTENSIONS), rule(V1BETA1)], (), None),
    "none that is there": ([rule(UNKNOWN)], OTHERS, None),
    "the first rule's, extensions": ([rule(EXTENSIONS), rule(V1BETA1)], OTHERS, EXTENSIONS),
    "the first rule's, apps": ([rule(V1BETA1), rule(EXTENSIONS)], OTHERS, V1BETA1),
    "a name that fits": ([rule(EXTENSIONS, resourceNames=["name"])], OTHERS, EXTENSIONS),
    "a name that does not": (
        [rule(EXTENSIONS, resourceNames=["other"]), rule(V1BETA1, resourceNames=["name"])],
        OTHERS,
        V1BETA1,
    ),
    "another scope": ([rule(V1, scope="Cluster")], OTHERS, None),
    "its scope": ([rule(V1, scope="Namespaced")], OTHERS, V1),
}


def asked(of: Any = V1, subresource: str = "") -> Any:
    return SimpleNamespace(
        call=SimpleNamespace(resource=of),
        operation="CREATE",
        subresource=subresource,
        request_name="name",
        scales=False,
    )


@pytest.mark.parametrize("subresource", ["", "scale"])
@pytest.mark.parametrize(("rules", "others", "want"), CASES.values(), ids=CASES)
def test_rules(rules: list[Any], others: Any, want: Any, subresource: str) -> None:
    assert matched_row(rules, asked(subresource=subresource), others) is want


OF_EXTENSIONS = rule(EXTENSIONS, "deployments")
EXCLUSIONS: dict[str, tuple[Any, Any, str, bool]] = {
    "of another version": (OF_EXTENSIONS, V1, "Exact", True),
    "of the same": (OF_EXTENSIONS, EXTENSIONS, "Exact", False),
    "of one that stands for it": (OF_EXTENSIONS, V1, "Equivalent", False),
    "of the name": (rule(V1, resourceNames=["name"]), V1, "Exact", False),
    "of another name": (rule(V1, resourceNames=["other"]), V1, "Exact", True),
    "of another name, in one that stands for it": (
        rule(EXTENSIONS, resourceNames=["other"]),
        V1,
        "Equivalent",
        True,
    ),
}


@pytest.mark.parametrize(("excluded", "of", "policy", "want"), EXCLUSIONS.values(), ids=EXCLUSIONS)
@pytest.mark.parametrize("rules", [[EVERYTHING], []], ids=["everything", "no rules"])
def test_exclusions(rules: list[Any], excluded: Any, of: Any, policy: str, want: bool) -> None:
    spec = {"matchPolicy": policy, "resourceRules": rules, "excludeResourceRules": [excluded]}
    match = read_match(spec, "resourceRules", "excludeResourceRules")
    assert match.row(asked(of), OTHERS) is of
    assert match.selects(asked(of), OTHERS, {}) is want


def test_a_rule_that_says_nothing_means_nothing() -> None:
    assert read_match({"resourceRules": [{}]}, "resourceRules").row(asked(), OTHERS) is None
