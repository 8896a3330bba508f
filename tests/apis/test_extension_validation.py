"""Faults of what extends the API, and of runtime classes and flow control."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, copy_object, gvk_of
from tiphys.apis.strategies import strategy_for

SCHEMA = {"openAPIV3Schema": {"type": "object"}}
VERSION = {"name": "v1", "served": True, "storage": True, "schema": SCHEMA}
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}


def kind(api_version: str, name: str, object_name: str = "x", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": name, "metadata": {"name": object_name}, **fields}


def crd(object_name: str = "foos.example.com", **spec: Any) -> dict[str, Any]:
    inner = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "foos", "kind": "Foo"},
        "versions": [VERSION],
        **spec,
    }
    return kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", object_name, spec=inner)


def selecting(*selected: list[str], apart: bool = False) -> list[dict[str, Any]]:
    """Versions that select these fields, of one schema or each of its own."""
    made = []
    for index, paths in enumerate(selected, 1):
        names = ("a", "b", f"v{index}") if apart else ("a", "b")
        fields = {name: {"type": "string"} for name in names}
        schema = {"openAPIV3Schema": {"type": "object", "properties": fields}}
        selects = [{"jsonPath": path} for path in paths]
        version = {**VERSION, "name": f"v{index}", "storage": index == 1, "schema": schema}
        made.append({**version, "selectableFields": selects})
    return made


URL = "webhooks[0].clientConfig.url: Invalid value: "


def webhooks(**webhook: Any) -> dict[str, Any]:
    inner = {
        "name": "a.example.com",
        "clientConfig": {"url": "https://a"},
        "rules": [RULE],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **webhook,
    }
    return kind("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", webhooks=[inner])


def policy(**spec: Any) -> dict[str, Any]:
    inner = {
        "matchConstraints": {"resourceRules": [RULE]},
        "validations": [{"expression": "true"}],
        **spec,
    }
    return kind("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", spec=inner)


def api_service(object_name: str = "v1.a.b", **spec: Any) -> dict[str, Any]:
    inner = {
        "group": "a.b",
        "version": "v1",
        "groupPriorityMinimum": 100,
        "versionPriority": 10,
        "service": {"namespace": "n", "name": "s"},
        **spec,
    }
    return kind("apiregistration.k8s.io/v1", "APIService", object_name, spec=inner)


FLOW = "flowcontrol.apiserver.k8s.io/v1"
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "crd": (crd(), []),
    "crd name": (
        crd("x.y.z"),
        ['metadata.name: Invalid value: "x.y.z": must be spec.names.plural+"."+spec.group'],
    ),
    "crd group": (
        crd("foos.example", group="example"),
        ['spec.group: Invalid value: "example": should be a domain with at least one dot'],
    ),
    "crd scope": (
        crd(scope="X"),
        ['spec.scope: Unsupported value: "X": supported values: "Cluster", "Namespaced"'],
    ),
    "crd schema": (
        crd(versions=[{**VERSION, "schema": None}]),
        ["spec.versions[0].schema.openAPIV3Schema: Required value"],
    ),
    "crd column": (
        crd(
            versions=[{**VERSION, "additionalPrinterColumns": [{"name": "A", "type": "x", "jsonPath": ".a"}]}]
        ),
        [
            'spec.additionalPrinterColumns[0].type: Invalid value: "x": must be one of boolean,date,integer,'
            "number,string"
        ],
    ),
    "crd fields that all versions select, in schemas of their own": (
        crd(versions=selecting([".a"], [".a"], apart=True)),
        ['spec.selectableFields: Invalid value: "": may only be set when validations.schema is included'],
    ),
    "crd fields that a version selects, in the schema of all": (
        crd(versions=selecting([".a"], [".b"])),
        [
            f'spec.versions[{index}].selectableFields: Invalid value: "": may only be set when '
            "`version.schema.openAPIV3Schema` is not included"
            for index in (0, 1)
        ],
    ),
    "crd fields that versions select alike": (crd(versions=selecting([".a"], [".a"])), []),
    "crd fields of versions of their own": (crd(versions=selecting([".a"], [".b"], apart=True)), []),
    "crd conversion": (
        crd(conversion={"strategy": "Webhook"}),
        [
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
            "spec.conversion.conversionReviewVersions: Required value",
        ],
    ),
    "webhook": (webhooks(), []),
    "webhook name": (
        webhooks(name="a.b"),
        [
            'webhooks[0].name: Invalid value: "a.b": should be a domain with at least three segments '
            "separated "
            "by dots"
        ],
    ),
    "webhook effects": (
        webhooks(sideEffects=None),
        ["webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun"],
    ),
    "webhook versions": (
        webhooks(admissionReviewVersions=["v9"]),
        [
            'webhooks[0].admissionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, '
            "v1beta1"
        ],
    ),
    "webhook client": (
        webhooks(clientConfig={}),
        ["webhooks[0].clientConfig: Required value: exactly one of url or service is required"],
    ),
    "webhook both": (
        webhooks(clientConfig={"url": "https://a", "service": {"name": "s", "namespace": "n"}}),
        ["webhooks[0].clientConfig: Required value: exactly one of url or service is required"],
    ),
    "webhook url": (
        webhooks(clientConfig={"url": "http://me:x@a/b?c=d#e"}),
        [
            f"{URL}\"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
            f'{URL}"me:x": user information is not permitted in the URL',
            f'{URL}"e": fragments are not permitted in the URL',
            f'{URL}"c=d": query parameters are not permitted in the URL',
        ],
    ),
    "webhook url that is none": (
        webhooks(clientConfig={"url": "https://a:x/"}),
        [
            "webhooks[0].clientConfig.url: Required value: url must be a valid URL: parse "
            '"https://a:x/": invalid port ":x" after host; desired format: https://host[/path]'
        ],
    ),
    "webhook url that leads nowhere": (
        webhooks(clientConfig={"url": "a/b"}),
        [
            f"{URL}\"\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
            f'{URL}"": host must be specified; desired format: https://host[/path]',
        ],
    ),
    "webhook no host": (
        webhooks(clientConfig={"url": "https:///a"}),
        [f'{URL}"": host must be specified; desired format: https://host[/path]'],
    ),
    "webhook service": (
        webhooks(clientConfig={"service": {"name": "s", "namespace": "n", "path": "/a/b/"}}),
        [],
    ),
    "webhook service names": (
        webhooks(clientConfig={"service": {"port": 65536}}),
        [
            "webhooks[0].clientConfig.service.name: Required value",
            "webhooks[0].clientConfig.service.namespace: Required value",
            "webhooks[0].clientConfig.service.port: Invalid value: 65536: port is not valid: must be between "
            "1 and 65535, inclusive",
        ],
    ),
    "webhook service without a name": (
        webhooks(clientConfig={"service": {"namespace": "n"}}),
        ["webhooks[0].clientConfig.service.namespace: Required value"],
    ),
    "webhook path": (
        webhooks(clientConfig={"service": {"name": "s", "namespace": "n", "path": "x/y//z"}}),
        [
            "webhooks[0].clientConfig.service.path: Invalid value: \"x/y//z\": must start with a '/'",
            'webhooks[0].clientConfig.service.path: Invalid value: "x/y//z": segment[0] may not be empty',
            'webhooks[0].clientConfig.service.path: Invalid value: "x/y//z": segment[2] may not be empty',
        ],
    ),
    "webhook timeout": (
        webhooks(timeoutSeconds=31),
        ["webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"],
    ),
    "webhook groups": (
        webhooks(rules=[{**RULE, "apiGroups": ["*", "a"]}]),
        [
            'webhooks[0].rules[0].apiGroups: Invalid value: ["*","a"]: if \'*\' is present, must not specify '
            "other API groups"
        ],
    ),
    "policy": (policy(), []),
    "policy without rules": (
        policy(matchConstraints={}),
        ["spec.matchConstraints.resourceRules: Required value"],
    ),
    "policy without validations": (
        policy(validations=[]),
        [
            "spec.validations: Required value: validations or auditAnnotations must contain at "
            "least one item",
            "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at "
            "least one item",
        ],
    ),
    "policy binding": (
        kind(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicyBinding",
            spec={"policyName": "p", "validationActions": []},
        ),
        ["spec.validationActions: Required value: at least one validation action is required"],
    ),
    "api service": (api_service(), []),
    "api service name": (
        api_service("x"),
        ['metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "v1.a.b"'],
    ),
    "api service without group": (
        api_service("v2.", group="", version="v2"),
        ["spec.group: Required value: only v1 may have an empty group and it better be legacy kube"],
    ),
    "api service port": (
        api_service(service={"namespace": "n", "name": "s", "port": 65536}),
        [
            "spec.service.port: Invalid value: 65536: port is not valid: must be between 1 and 65535, "
            "inclusive"
        ],
    ),
    "api service of this server": (
        api_service(service=None, caBundle="YWJj", insecureSkipTLSVerify=True),
        [
            'spec.caBundle: Invalid value: "3 bytes": local APIServices may not have a caBundle',
            "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have "
            "insecureSkipTLSVerify",
        ],
    ),
    "api service priority": (
        api_service(versionPriority=0),
        ["spec.versionPriority: Invalid value: 0: must be positive and less than 1000"],
    ),
    "flow schema": (
        kind(FLOW, "FlowSchema", spec={}),
        ["spec.priorityLevelConfiguration.name: Required value: must reference a priority level"],
    ),
    "priority level": (
        kind(FLOW, "PriorityLevelConfiguration", spec={"type": "Limited"}),
        ["spec.limited: Required value: must not be empty when type is Limited"],
    ),
    "runtime class": (kind("node.k8s.io/v1", "RuntimeClass", handler="runc"), []),
    "runtime class without a handler": (
        kind("node.k8s.io/v1", "RuntimeClass"),
        ["handler: Required value: must be a valid DNS label"],
    ),
    "runtime class that tolerates the same twice": (
        kind(
            "node.k8s.io/v1",
            "RuntimeClass",
            handler="runc",
            scheduling={
                "tolerations": [
                    {"key": "a", "operator": "Exists", "effect": "NoExecute"},
                    {"key": "a", "operator": "Exists"},
                    {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
                    {"key": "a", "effect": "NoExecute"},
                    {"operator": "X"},
                ]
            },
        ),
        [
            'scheduling.tolerations[4].operator: Invalid value: "X": operator must be Exists when `key` is '
            'empty, which means "match all values and all keys"',
            'scheduling.tolerations[4].operator: Unsupported value: "X": supported values: "Equal", "Exists"',
            "scheduling.tolerations[2]: Duplicate value: "
            '{"Key":"a","Operator":"Exists","Value":"","Effect":"NoExecute","TolerationSeconds":5}',
        ],
    ),
}


def defaulted(obj: dict[str, Any]) -> dict[str, Any]:
    copy = copy_object(obj)
    strategy = strategy_for(gvk_of(obj))
    strategy.default(copy)
    strategy.prepare_create(copy)
    return copy


@pytest.mark.parametrize(("obj", "expected"), CASES.values(), ids=CASES)
def test_create(obj: dict[str, Any], expected: list[str]) -> None:
    assert [str(fault) for fault in strategy_for(gvk_of(obj)).validate(defaulted(obj))] == expected


def test_exactly_one_version_is_stored() -> None:
    obj = crd(versions=[VERSION, {**VERSION, "name": "v2"}])
    found = strategy_for(gvk_of(obj)).validate(defaulted(obj))
    assert [fault.field for fault in found] == ["spec.versions", "status.storedVersions"]
    assert found[0].detail.endswith("must have exactly one version marked as storage version")


def test_storage_versions_are_remembered_and_kept() -> None:
    old = defaulted(crd())
    strategy = strategy_for(gvk_of(old))
    new = copy_object(old)
    new["spec"]["versions"] = [{**VERSION, "storage": False}, {**VERSION, "name": "v2"}]
    strategy.prepare_update(new, old)
    assert new["status"]["storedVersions"] == ["v1", "v2"]
    assert strategy.validate_update(new, old) == []
    gone = copy_object(new)
    gone["spec"]["versions"] = [{**VERSION, "name": "v2"}]
    assert [fault.field for fault in strategy.validate_update(gone, new)] == ["status.storedVersions[0]"]


NAMED = {
    "api service": (api_service("x/y"), 'must be `spec.version+"."+spec.group`: "v1.a.b"'),
    "definition": (crd("x.y.z"), 'must be spec.names.plural+"."+spec.group'),
}


@pytest.mark.parametrize(("obj", "text"), NAMED.values(), ids=NAMED)
def test_names_that_the_spec_makes(obj: dict[str, Any], text: str) -> None:
    """What is no name at all is told of as that; what a name is made from is held to the same rule."""
    strategy, made = strategy_for(gvk_of(obj)), defaulted(obj)
    odd = "/" in made["metadata"]["name"]
    assert [str(fault) for fault in strategy.validate(made)] == (
        [] if odd else [f'metadata.name: Invalid value: "x.y.z": {text}']
    )
    made["metadata"] = {"generateName": "x-", "name": "x-1"}
    assert [str(fault) for fault in strategy.validate(made)] == [
        f'metadata.generateName: Invalid value: "x-": {text}',
        f'metadata.name: Invalid value: "x-1": {text}',
    ]
    made["metadata"] = {}
    assert strategy.validate(made) == []


def test_states_of_api_services() -> None:
    strategy = strategy_for(GVK("apiregistration.k8s.io", "v1", "APIService"))
    new = {"status": {"conditions": [{"type": "Available", "status": "yes"}, {"status": "True"}]}}
    assert [str(fault) for fault in strategy.validate_status_update(new, new)] == [
        'status.conditions[0].status: Unsupported value: "yes": supported values: "True", "False", "Unknown"'
    ]
