"""What is counted of expressions, under upstream's names, labels and buckets."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.families import Registry
from tiphys.apiserver.observe.expression_times import Conditioned, ExpressionTimes, error_type

GROUP = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
CHECKS = ["5e-07", "0.001", "0.01", "0.1", "1", "+Inf"]
CONDITIONS = ["0.005", "0.025", "0.1", "0.5", "1", "2.5", "+Inf"]
DEFAULT = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]


def registry_of(times: ExpressionTimes) -> Registry:
    registry = Registry()
    registry.register(times)
    return registry


def counted(api: Any, name: str) -> dict[tuple[str, ...], float]:
    """Return a family's numbers by the values of their labels, in the order of the labels' names."""
    registry = registry_of(api.server.backend.admission.times.expressions)
    return {
        tuple(sample.labels[key] for key in sorted(sample.labels)): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"apiserver_{name}"
    }


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("compilation error: compilation failed: ...", "compile_error"),
        ("validation failed due to running out of cost budget, no further ...", "out_of_budget"),
        ("expression 'x' resulted in error: no such key: x", "invalid_error"),
        ("failed expression: false", "invalid_error"),
    ],
)
def test_types_of_errors(text: str, kind: str) -> None:
    assert error_type(text) == kind


def test_names_labels_and_buckets() -> None:
    times = ExpressionTimes()
    times.compiled(0.02)
    times.evaluated(20.0)
    times.conditions(Conditioned("c", "webhook", "admit", "CREATE"), 0.2, 2, excluded=True)
    times.validated("p", "b", "no_error", "deny", 0.5)
    times.mutated("p", "b", "no_error", 0.0000001)
    registry = registry_of(times)
    buckets: dict[str, list[str]] = {}
    labels: dict[str, set[str]] = {}
    for family in registry.collect():
        for sample in family.samples:
            name = sample.name.removeprefix("apiserver_")
            if name.endswith("_bucket"):
                buckets.setdefault(name.removesuffix("_bucket"), []).append(sample.labels["le"])
            elif name.endswith("_total"):
                labels[name] = set(sample.labels)
    assert buckets == {
        "cel_compilation_duration_seconds": DEFAULT,
        "cel_evaluation_duration_seconds": DEFAULT,
        "admission_match_condition_evaluation_seconds": CONDITIONS,
        "validating_admission_policy_check_duration_seconds": CHECKS,
        "mutating_admission_policy_check_duration_seconds": CHECKS,
    }
    conditioned = {"name", "kind", "type", "operation"}
    assert labels == {
        "admission_match_condition_evaluation_errors_total": conditioned,
        "admission_match_condition_exclusions_total": conditioned,
        "validating_admission_policy_check_total": {
            "policy", "policy_binding", "error_type", "enforcement_action"
        },
        "mutating_admission_policy_check_total": {"policy", "policy_binding", "error_type"},
    }  # fmt: skip
    sample = registry.sample_value
    assert sample("apiserver_cel_evaluation_duration_seconds_sum") == 20.0
    assert sample("apiserver_cel_compilation_duration_seconds_bucket", {"le": "0.025"}) == 1


async def install(api: Any, kind: str, spec: Any, **binding: Any) -> None:
    match = {"matchConstraints": {"resourceRules": [RULE]}}
    await api.create(
        f"{GROUP}/{kind}admissionpolicies", {"metadata": {"name": "p"}, "spec": {**match, **spec}}
    )
    body = {"metadata": {"name": "b"}, "spec": {"policyName": "p", **binding}}
    await api.create(f"{GROUP}/{kind}admissionpolicybindings", body)
    await api.settle()


async def test_checks_of_validating_policies(api: Any) -> None:
    spec = {
        "failurePolicy": "Ignore",
        "validations": [
            {"expression": "object.metadata.name != 'bad'"}, {"expression": "object.nothing == 1"}
        ],
    }  # fmt: skip
    await install(api, "validating", spec, validationActions=["Warn", "Audit"])
    await api.create(MAPS, {"metadata": {"name": "good"}})
    await api.create(MAPS, {"metadata": {"name": "bad"}})
    assert counted(api, "validating_admission_policy_check_total") == {
        ("allow", "invalid_error", "p", "b"): 2,
        ("warn", "invalid_error", "p", "b"): 1,
        ("audit", "invalid_error", "p", "b"): 1,
    }


async def test_refusals_and_conditions_of_validating_policies(api: Any) -> None:
    spec = {
        "matchConditions": [{"name": "m", "expression": "object.metadata.name != 'left-out'"}],
        "validations": [{"expression": "false"}],
    }
    await install(api, "validating", spec, validationActions=["Deny"])
    assert (await api("POST", MAPS, {"metadata": {"name": "a"}})).status == 422
    await api.create(MAPS, {"metadata": {"name": "left-out"}})
    assert counted(api, "validating_admission_policy_check_total") == {("deny", "invalid_error", "p", "b"): 1}
    whose = ("policy", "p", "CREATE", "validate")
    assert counted(api, "admission_match_condition_evaluation_seconds_count") == {whose: 2}
    assert counted(api, "admission_match_condition_exclusions_total") == {}


async def test_checks_of_mutating_policies(api: Any) -> None:
    good = 'Object{metadata: Object.metadata{labels: {"a": "b"}}}'
    bad = 'Object{metadata: Object.metadata{labels: {"a": object.nothing}}}'
    spec = {
        "failurePolicy": "Ignore",
        "reinvocationPolicy": "Never",
        "matchConditions": [{"name": "m", "expression": "object.nothing != 1 || true"}],
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}
            for text in (good, bad)
        ],
    }
    await install(api, "mutating", spec)
    await api.create(MAPS, {"metadata": {"name": "m"}})
    assert counted(api, "mutating_admission_policy_check_total") == {
        ("no_error", "p", "b"): 1,
        ("invalid_error", "p", "b"): 1,
    }
    found = counted(api, "admission_match_condition_evaluation_seconds_count")
    assert set(found) == {("policy", "p", "CREATE", "admit")}


@pytest.mark.parametrize(("kind", "shown"), [("mutating", "admit"), ("validating", "validate")])
async def test_conditions_of_webhooks(api: Any, kind: str, shown: str) -> None:
    hook = {
        "name": "w.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [RULE],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Ignore",
        "matchConditions": [
            {"name": "fails", "expression": "object.data.nothing == 'a'"},
            {"name": "says-no", "expression": "object.metadata.name != 'left-out'"},
        ],
    }
    await api.create(f"{GROUP}/{kind}webhookconfigurations", {"metadata": {"name": "c"}, "webhooks": [hook]})
    await api.settle()
    await api.create(MAPS, {"metadata": {"name": "left-out"}})
    await api.create(MAPS, {"metadata": {"name": "failed"}})
    whose = ("webhook", "w.example.com", "CREATE", shown)
    assert counted(api, "admission_match_condition_evaluation_seconds_count") == {whose: 2}
    assert counted(api, "admission_match_condition_evaluation_errors_total") == {whose: 2}
    assert counted(api, "admission_match_condition_exclusions_total") == {whose: 2}


async def test_rules_of_custom_kinds(api: Any) -> None:
    schema = {
        "type": "object",
        "x-kubernetes-validations": [{"rule": "self.n > 0"}],
        "properties": {"n": {"type": "integer"}},
    }
    await api.create(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        {
            "metadata": {"name": "foos.example.com"},
            "spec": {
                "group": "example.com",
                "scope": "Cluster",
                "names": {"plural": "foos", "kind": "Foo"},
                "versions": [
                    {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
                ],
            },
        },
    )
    await api.settle()
    assert counted(api, "cel_compilation_duration_seconds_count") == {(): 1}
    foo = {"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "f"}, "n": 0}
    assert (await api("POST", "/apis/example.com/v1/foos", foo)).status == 422
    assert counted(api, "cel_evaluation_duration_seconds_count") == {(): 1}
