"""Policies as upstream tries them: namespaces, parameters that are none, who is called again."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


GROUP = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
ENDPOINTS = "/api/v1/namespaces/default/endpoints"
NAMESPACES = "/api/v1/namespaces"
OF_MAPS = {"apiVersion": "v1", "kind": "ConfigMap"}


def rule(resource: str, *operations: str) -> dict[str, Any]:
    return {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": list(operations) or ["*"],
        "resources": [resource],
    }


async def validate(api: Any, resource: str, spec: Any, name: str = "policy", **binding: Any) -> None:
    match = {"resourceRules": [rule(resource)]}
    body = {"metadata": {"name": name}, "spec": {"matchConstraints": match, **spec}}
    await api.create(f"{GROUP}/validatingadmissionpolicies", body)
    bound = {"policyName": name, "validationActions": ["Deny"], **binding}
    path = f"{GROUP}/validatingadmissionpolicybindings"
    await api.create(path, {"metadata": {"name": f"{name}-binding"}, "spec": bound})
    await api.settle()


UNGUARDED = "object.metadata.name.startsWith(params.metadata.name)"
GUARDED = "has(params.metadata) && has(params.metadata.name) && " + UNGUARDED
NOT_NULL = f"(params != null && {UNGUARDED})"
SUFFIX = "object.metadata.name.endsWith('k8s')"
ASKED = "request.name.endsWith('k8s') && request.namespace == request.name"
MISSING = "object.nonExistentProperty == 'someval'"
PARAMS = {"paramKind": OF_MAPS}

NAMED: dict[str, tuple[Any, str, str]] = {
    "as it must be": ({"validations": [{"expression": SUFFIX}]}, "test-k8s", ""),
    "not as it must be": (
        {"validations": [{"expression": SUFFIX}]},
        "test-foobar",
        f"failed expression: {SUFFIX}",
    ),
    "by the request": ({"validations": [{"expression": ASKED}]}, "test-k8s", ""),
    "an error that is ignored": (
        {"validations": [{"expression": MISSING}], "failurePolicy": "Ignore"},
        "test-k8s",
        "",
    ),
    "an error": (
        {"validations": [{"expression": MISSING}]},
        "test-k8s",
        f"expression '{MISSING}' resulted in error: no such key: nonExistentProperty",
    ),
    "parameters that nobody refers to": (
        {"validations": [{"expression": UNGUARDED}], **PARAMS},
        "test-k8s",
        f"expression '{UNGUARDED}' resulted in error: no such key: metadata",
    ),
    "guarded by has": (
        {"validations": [{"expression": GUARDED}], **PARAMS},
        "test-k8s",
        f"failed expression: {GUARDED}",
    ),
    "compared with null": (
        {"validations": [{"expression": NOT_NULL}], **PARAMS},
        "test-k8s",
        f"failed expression: {NOT_NULL}",
    ),
    "guarded, or something else": (
        {"validations": [{"expression": f"({GUARDED}) || {SUFFIX}"}], **PARAMS},
        "test-k8s",
        "",
    ),
    "not null, or something else": (
        {"validations": [{"expression": f"{NOT_NULL} || {SUFFIX}"}], **PARAMS},
        "test-k8s",
        "",
    ),
    "a namespace is in none": (
        {"validations": [{"expression": "namespaceObject == null"}]},
        "test-k8s",
        "",
    ),
}


@pytest.mark.parametrize("case", NAMED)
async def test_namespaces(api: Any, case: str) -> None:
    spec, name, why = NAMED[case]
    await validate(api, "namespaces", spec)
    answer = await api("POST", NAMESPACES, {"metadata": {"name": name}})
    assert answer.status == (422 if why else 201)
    if why:
        assert answer.message == (
            f"namespaces \"{name}\" is forbidden: ValidatingAdmissionPolicy 'policy' with binding "
            f"'policy-binding' denied request: {why}"
        )


async def test_a_namespace_may_have_parameters_within_it(api: Any) -> None:
    """It is in itself; a new one has none yet."""
    await api.create(MAPS, {"metadata": {"name": "p"}, "data": {"a": "b"}})
    spec = {"validations": [{"expression": "params.data.a == 'c'"}], **PARAMS}
    ref = {"name": "p", "parameterNotFoundAction": "Allow"}
    await validate(api, "namespaces", spec, paramRef=ref)
    await api.create(NAMESPACES, {"metadata": {"name": "other"}})
    answer = await api.patch(f"{NAMESPACES}/default", {"metadata": {"labels": {"x": "y"}}})
    assert answer.message.endswith("failed expression: params.data.a == 'c'")


async def test_parameters_of_another_kind_change_what_is_said(api: Any) -> None:
    for plural in ("configmaps", "secrets"):
        await api.create(f"/api/v1/namespaces/default/{plural}", {"metadata": {"name": "allowed"}})
    expression = "object.metadata.name.startsWith(params.kind.lowerAscii())"
    spec = {"validations": [{"expression": expression, "message": "wrong kind"}], **PARAMS}
    ref = {"name": "allowed", "namespace": "default", "parameterNotFoundAction": "Deny"}
    await validate(api, "namespaces", spec, paramRef=ref)
    for kind, good, bad in (("ConfigMap", "configmap-", "secret-"), ("Secret", "secret-", "configmap-")):
        changed = {"spec": {"paramKind": {"apiVersion": "v1", "kind": kind}}}
        await api.patch(f"{GROUP}/validatingadmissionpolicies/policy", changed)
        await api.settle()
        await api.create(NAMESPACES, {"metadata": {"generateName": good}})
        answer = await api("POST", NAMESPACES, {"metadata": {"generateName": bad}})
        assert answer.message.endswith("denied request: wrong kind")
        assert answer.message.startswith(f'namespaces "{bad}')


async def test_parameters_come_and_go(api: Any) -> None:
    expression = "object.metadata.name.startsWith(params.data.prefix)"
    spec = {"validations": [{"expression": expression, "message": "wrong prefix"}], **PARAMS}
    ref = {"name": "p", "namespace": "default", "parameterNotFoundAction": "Deny"}
    await validate(api, "namespaces", spec, paramRef=ref)
    nobody = (
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    )
    named = {"metadata": {"name": "not-test"}}
    assert (await api("POST", NAMESPACES, named)).message.endswith(nobody)
    await api.create(MAPS, {"metadata": {"name": "p"}, "data": {"prefix": "test-1"}})
    assert (await api("POST", NAMESPACES, named)).message.endswith("wrong prefix")
    await api.create(NAMESPACES, {"metadata": {"name": "test-1"}})
    await api.patch(f"{MAPS}/p", {"data": {"prefix": "not"}})
    await api.create(NAMESPACES, named)
    await api("DELETE", f"{MAPS}/p")
    assert (await api("POST", NAMESPACES, {"metadata": {"name": "a"}})).message.endswith(nobody)


async def test_each_binding_has_its_own_parameters_and_labels(api: Any) -> None:
    params = {
        "fails": {"autofail": "true"},
        "passes": {"autofail": "false", "conditional": "false"},
        "asks": {"autofail": "false", "conditional": "true", "check": "prefix-"},
    }
    expression = (
        "params.data.autofail != 'true' && (params.data.conditional == 'false' || "
        "object.metadata.name.startsWith(params.data.check))"
    )
    spec = {"validations": [{"expression": expression}], **PARAMS}
    body = {"matchConstraints": {"resourceRules": [rule("secrets")]}, **spec}
    await api.create(f"{GROUP}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": body})
    for name, data in params.items():
        await api.create(MAPS, {"metadata": {"name": name}, "data": data})
        bound = {
            "policyName": "p",
            "validationActions": ["Deny"],
            "paramRef": {"name": name, "namespace": "default", "parameterNotFoundAction": "Deny"},
            "matchResources": {"objectSelector": {"matchExpressions": [{"key": name, "operator": "Exists"}]}},
        }
        path = f"{GROUP}/validatingadmissionpolicybindings"
        await api.create(path, {"metadata": {"name": name}, "spec": bound})
    await api.settle()
    for name, label, status in (
        ("a", "fails", 422),
        ("b", "passes", 201),
        ("prefix-c", "asks", 201),
        ("d", "asks", 422),
    ):
        secret = {"metadata": {"name": name, "labels": {label: "true"}}}
        answer = await api("POST", "/api/v1/namespaces/default/secrets", secret)
        assert answer.status == status, answer.raw


@pytest.mark.parametrize(("selector", "asked"), [("app in (x)", False), ("app notin (x)", True)])
async def test_a_scale_has_no_labels(api: Any, selector: str, asked: bool) -> None:
    """The selector looks at what is written, and that is the Scale."""
    operator = "NotIn" if "notin" in selector else "In"
    expression = {"key": "app", "operator": operator, "values": ["x"]}
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 0, "selector": labels, "template": template}
    path = "/api/v1/namespaces/default/replicationcontrollers"
    await api.create(path, {"metadata": {"name": "rc", "labels": labels}, "spec": spec})
    match = {
        "resourceRules": [rule("replicationcontrollers/scale")],
        "objectSelector": {"matchExpressions": [expression]},
    }
    await validate(api, "none", {"matchConstraints": match, "validations": [{"expression": "false"}]})
    answer = await api.patch(f"{path}/rc/scale", {"spec": {"replicas": 1}})
    assert answer.status == (422 if asked else 200), answer.raw


@pytest.mark.parametrize("operator", ["DoesNotExist", "Exists"])
async def test_options_of_a_connection_meet_no_selector(api: Any, make_pod: Any, operator: str) -> None:
    await api.create("/api/v1/namespaces/default/pods", make_pod())
    match = {
        "resourceRules": [rule("pods/exec", "CONNECT")],
        "objectSelector": {"matchExpressions": [{"key": "app", "operator": operator}]},
    }
    await validate(api, "none", {"matchConstraints": match, "validations": [{"expression": "false"}]})
    answer = await api("GET", "/api/v1/namespaces/default/pods/p/exec?command=id")
    assert "ValidatingAdmissionPolicy" not in answer.message


async def mutate(
    api: Any, name: str, *mutations: Any, resource: str = "endpoints", binding: Any = None, **spec: Any
) -> None:
    body = {
        "matchConstraints": {"resourceRules": [rule(resource)]},
        "reinvocationPolicy": "Never",
        "mutations": [
            {"patchType": "JSONPatch", "jsonPatch": {"expression": one}}
            if one.startswith("[")
            else {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": one}}
            for one in mutations
        ],
        **spec,
    }
    await api.create(f"{GROUP}/mutatingadmissionpolicies", {"metadata": {"name": name}, "spec": body})
    bound = {"policyName": name, **(binding or {})}
    path = f"{GROUP}/mutatingadmissionpolicybindings"
    await api.create(path, {"metadata": {"name": f"{name}-binding"}, "spec": bound})
    await api.settle()


def noted(entries: str) -> str:
    return f"Object{{metadata: Object.metadata{{annotations: {entries}}}}}"


COUNTED = '?"foo": optional.of(string(int(object.metadata.annotations["foo"]) + 1))'


def counting(note: str) -> str:
    return noted(f'{{{COUNTED}, "{note}": "true"}}')


async def test_policies_count_how_often_they_are_called(api: Any) -> None:
    """Three calls, and two more of those that want to see what came after them."""
    await mutate(api, "policy-1", counting("first"), reinvocationPolicy="IfNeeded")
    await mutate(api, "policy-2", counting("second"), reinvocationPolicy="IfNeeded")
    await mutate(api, "policy-3", counting("third"))
    made = await api.create(ENDPOINTS, {"metadata": {"name": "e", "annotations": {"foo": "0"}}})
    assert made["metadata"]["annotations"] == {
        "foo": "5",
        "first": "true",
        "second": "true",
        "third": "true",
    }


async def test_each_parameter_is_a_call_of_its_own(api: Any) -> None:
    for index, name in enumerate(("first", "second", "third")):
        labels = {"labels": {"many": "true"}} if index < 2 else {}
        await api.create(MAPS, {"metadata": {"name": name, **labels}, "data": {name: "true"}})
    both = (noted("params.data"), noted(f"{{{COUNTED}}}"))
    selected = {"selector": {"matchLabels": {"many": "true"}}, "parameterNotFoundAction": "Allow"}
    named = {"name": "third", "parameterNotFoundAction": "Allow"}
    await mutate(
        api, "a", *both, binding={"paramRef": selected}, reinvocationPolicy="IfNeeded", paramKind=OF_MAPS
    )
    await mutate(api, "b", *both, binding={"paramRef": named}, paramKind=OF_MAPS)
    made = await api.create(ENDPOINTS, {"metadata": {"name": "e", "annotations": {"foo": "0"}}})
    assert made["metadata"]["annotations"] == {
        "foo": "5",
        "first": "true",
        "second": "true",
        "third": "true",
    }


async def test_mutations_of_one_policy_share_variables(api: Any) -> None:
    variables = [
        {"name": "foo1", "expression": '"foo1" + "Value"'},
        {"name": "foo2", "expression": 'variables.foo1.replace("1", "2")'},
    ]
    patches = (
        '[JSONPatch{op: "test", path: "/metadata/annotations", value: {"foo1": variables.foo1}},'
        ' JSONPatch{op: "add", path: "/metadata/annotations/foo2", value: variables.foo2},]'
    )
    await mutate(
        api, "p", noted('{"foo1": variables.foo1}'), patches, noted('{"foo3": "foo3Value"}'),
        variables=variables,
    )  # fmt: skip
    made = await api.create(ENDPOINTS, {"metadata": {"name": "e"}})
    wanted = {"foo1": "foo1Value", "foo2": "foo2Value", "foo3": "foo3Value"}
    assert made["metadata"]["annotations"] == wanted


async def test_a_status_is_mutated(api: Any) -> None:
    condition = 'type: "NamespaceDeletionContentFailure", message: "mutated"'
    expression = "Object{status: Object.status{conditions: [Object.status.conditions{" + condition + "}]}}"
    await mutate(api, "p", expression, resource="namespaces/status")
    made = await api.create(NAMESPACES, {"metadata": {"name": "n"}})
    made["status"] = {"conditions": [{"type": "NamespaceDeletionContentFailure", "status": "Unknown"}]}
    written = await api.put(f"{NAMESPACES}/n/status", made)
    (found,) = written["status"]["conditions"]
    assert (found["status"], found["message"]) == ("Unknown", "mutated")
    assert written["spec"] == {"finalizers": ["kubernetes"]}
    assert written["status"]["phase"] == "Active"


OPTIONAL = 'object.metadata.?labels["environment"] == optional.of("{}")'
MATCHED: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "matches": ({"environment": "test"}, {"environment": "test", "applied": "updated"}),
    "another value": ({"environment": "production"}, {"environment": "production", "applied": "wrong"}),
    "neither": ({"environment": "x"}, {"environment": "x"}),
}


@pytest.mark.parametrize("case", MATCHED)
async def test_conditions_choose_the_policy(api: Any, case: str) -> None:
    given, wanted = MATCHED[case]
    for name, environment, value in (("p1", "production", "wrong"), ("p2", "test", "updated")):
        conditions = [{"name": "only", "expression": OPTIONAL.format(environment)}]
        text = f'Object{{metadata: Object.metadata{{labels: {{"applied": "{value}"}}}}}}'
        await mutate(api, name, text, matchConditions=conditions)
    made = await api.create(ENDPOINTS, {"metadata": {"name": "e", "labels": given}})
    assert made["metadata"]["labels"] == wanted


async def test_what_is_not_in_the_schema_is_ignored_where_failures_are(api: Any) -> None:
    text = 'Object{spec: Object.spec{invalidField: "invalid apply configuration"}}'
    await mutate(api, "p", text, failurePolicy="Ignore")
    made = await api.create(ENDPOINTS, {"metadata": {"name": "e"}})
    assert "spec" not in made
