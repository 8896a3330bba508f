"""ValidatingAdmissionPolicy over a whole API server: what is refused, in which words, and what passes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apiserver.admission.policies import judge
from tiphys.wire.message import Request

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


GROUP = "/apis/admissionregistration.k8s.io/v1"
POLICIES = f"{GROUP}/validatingadmissionpolicies"
BINDINGS = f"{GROUP}/validatingadmissionpolicybindings"
MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def rule(resources: str = "configmaps", group: str = "", *operations: str, **more: Any) -> dict[str, Any]:
    return {
        "apiGroups": [group], "apiVersions": ["*"], "operations": list(operations) or ["CREATE", "UPDATE"],
        "resources": [resources], **more,
    }  # fmt: skip


def policy(*validations: Any, name: str = "p", match: Any = None, **spec: Any) -> dict[str, Any]:
    written = [{"expression": one} if isinstance(one, str) else one for one in validations]
    constraints = {"resourceRules": [rule()], **(match or {})}
    body = {"matchConstraints": constraints, "validations": written, **spec}
    return {"metadata": {"name": name}, "spec": body}


def binding(name: str = "b", policy_name: str = "p", *actions: str, **spec: Any) -> dict[str, Any]:
    body = {"policyName": policy_name, "validationActions": list(actions) or ["Deny"], **spec}
    return {"metadata": {"name": name}, "spec": body}


async def install(api: Any, made: Any, *bindings: Any) -> None:
    await api.create(POLICIES, made)
    for one in bindings or (binding(),):
        await api.create(BINDINGS, one)
    await api.settle()


def config_map(name: str = "m", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app": "x"}}, "data": data}


def deployment(name: str = "d", replicas: int = 1) -> dict[str, Any]:
    labels = {"app": "nginx"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "n", "image": "nginx"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


WHO = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "


def refusal(why: str, name: str = "m") -> str:
    return f'configmaps "{name}" is forbidden: {WHO}{why}'


async def test_refused_with_all_that_a_client_can_read(api: Any) -> None:
    await install(api, policy("object.data.x == '1'"))
    answer = await api("POST", MAPS, config_map(x="2"))
    message = WHO + "failed expression: object.data.x == '1'"
    assert answer.status == 422
    assert answer.json["reason"] == "Invalid"
    assert answer.message == f'configmaps "m" is forbidden: {message}'
    assert answer.json["details"] == {"name": "m", "kind": "configmaps", "causes": [{"message": message}]}
    await api.create(MAPS, config_map(x="1"))


async def test_a_deployment_needs_replicas(api: Any) -> None:
    """What the conformance suite does: too few replicas are refused, other kinds are not meant."""
    made = policy(
        {
            "expression": "object.spec.replicas > 1",
            "messageExpression": "'wants replicas > 1, got ' + string(object.spec.replicas)",
        },
        match={"resourceRules": [rule("deployments", "apps")]},
    )
    await install(api, made)
    answer = await api("POST", DEPLOYMENTS, deployment("marker", 1))
    assert answer.json["reason"] == "Invalid"
    assert answer.message.endswith(WHO + "wants replicas > 1, got 1")
    await api.create(DEPLOYMENTS, deployment("replicated", 2))
    sets = DEPLOYMENTS.replace("deployments", "replicasets")
    await api.create(sets, deployment("single", 1))


async def test_variables_are_there_for_expressions(api: Any) -> None:
    """What the conformance suite does with variables that build on each other."""
    variables = [
        {"name": "replicas", "expression": "object.spec.replicas"},
        {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
    ]
    made = policy(
        {"expression": "variables.replicas > 1"},
        {
            "expression": "variables.oddReplicas",
            "messageExpression": "'wants odd, got ' + string(variables.replicas)",
        },
        match={"resourceRules": [rule("deployments", "apps")]},
        variables=variables,
    )
    await install(api, made)
    assert (await api("POST", DEPLOYMENTS, deployment("one", 1))).message.endswith(
        "failed expression: variables.replicas > 1"
    )
    assert (await api("POST", DEPLOYMENTS, deployment("two", 2))).message.endswith("wants odd, got 2")
    await api.create(DEPLOYMENTS, deployment("three", 3))


SAID: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "a message": ({"expression": "false", "message": " no "}, 422, "Invalid", "no"),
    "a reason": (
        {"expression": "false", "reason": "Forbidden", "message": "m"}, 403, "Forbidden", "m"
    ),
    "too large": (
        {"expression": "false", "reason": "RequestEntityTooLarge"}, 413, "RequestEntityTooLarge",
        "failed expression: false",
    ),
    "a message that cannot be made": (
        {"expression": "false", "messageExpression": "string(object.none)", "message": "m"},
        422, "Invalid", "m",
    ),
    "a message of several lines": (
        {"expression": "false", "messageExpression": "'a\\nb'"}, 422, "Invalid", "failed expression: false"
    ),
    "an empty message": (
        {"expression": "false", "messageExpression": "'  '", "message": "m"}, 422, "Invalid", "m"
    ),
    "an error": (
        {"expression": "object.spec.x == 1"}, 422, "Invalid",
        "expression 'object.spec.x == 1' resulted in error: no such key: spec",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
async def test_what_is_said(api: Any, case: str) -> None:
    validation, status, reason, message = SAID[case]
    await install(api, policy(validation))
    answer = await api("POST", MAPS, config_map())
    assert (answer.status, answer.json["reason"]) == (status, reason)
    assert answer.message == refusal(message)


TRUE: dict[str, str] = {
    "request": "request.operation == 'CREATE' && request.resource.resource == 'configmaps'",
    "kinds": "request.kind == request.requestKind && request.kind.kind == 'ConfigMap'",
    "who asks": "request.userInfo.username == 'admin' && 'system:masters' in request.userInfo.groups",
    "name and namespace": "request.name == 'm' && request.namespace == 'default'",
    "no subresource": "!has(request.subResource) && !request.dryRun",
    "options": "request.options.kind == 'CreateOptions'",
    "no old object": "oldObject == null",
    "no parameters": "!has(object.params)",
    "namespace": "namespaceObject.metadata.name == 'default' && namespaceObject.status.phase == 'Active'",
    "namespace's age": "namespaceObject.metadata.creationTimestamp < timestamp('2100-01-01T00:00:00Z')",
    "rights of masters": "authorizer.group('apps').resource('deployments').check('create').allowed()",
    "rights of this": "authorizer.requestResource.check('delete').allowed()",
    "paths": "authorizer.path('/healthz').check('get').allowed()",
    "an account's rights": (
        "!authorizer.serviceAccount('default', 'default').group('').resource('secrets').namespace('default')"
        ".check('get').allowed()"
    ),
    "optionals": "object.?data.?x.orValue('none') == 'none'",
}


@pytest.mark.parametrize("case", TRUE)
async def test_what_expressions_see(api: Any, case: str) -> None:
    await install(api, policy(TRUE[case]))
    answer = await api("POST", MAPS, config_map(y="1"))
    assert answer.status == 201, answer.message


async def test_updates_and_deletions_have_an_old_object(api: Any) -> None:
    created = await api.create(MAPS, config_map(x="1"))
    match = {"resourceRules": [rule("configmaps", "", "*")]}
    expressions = (
        "request.operation != 'UPDATE' || object.data.x == oldObject.data.x",
        "request.operation != 'DELETE' || (object == null && oldObject.data.x != '1')",
    )
    await install(api, policy(*expressions, match=match))
    created["data"]["x"] = "2"
    assert (await api("PUT", f"{MAPS}/m", created)).message == refusal(f"failed expression: {expressions[0]}")
    assert (await api("DELETE", f"{MAPS}/m")).message == refusal(f"failed expression: {expressions[1]}")


NEVER = policy("false")
MEANT: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "a rule": ({}, {}, True),
    "another name": ({"resourceRules": [rule(resourceNames=["other"])]}, {}, False),
    "this name": ({"resourceRules": [rule(resourceNames=["m"])]}, {}, True),
    "excluded": ({"excludeResourceRules": [rule("*")]}, {}, False),
    "another name excluded": ({"excludeResourceRules": [rule(resourceNames=["other"])]}, {}, True),
    "object selector": ({"objectSelector": {"matchLabels": {"app": "x"}}}, {}, True),
    "other object selector": ({"objectSelector": {"matchLabels": {"app": "y"}}}, {}, False),
    "namespace selector": (
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}, {}, True
    ),
    "other namespace selector": ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, {}, False),
    "other operation": ({"resourceRules": [rule("configmaps", "", "DELETE")]}, {}, False),
    "cluster scope": ({"resourceRules": [rule(scope="Cluster")]}, {}, False),
    "binding's namespaces": ({}, {"namespaceSelector": {"matchLabels": {"a": "b"}}}, False),
    "binding's rules": ({}, {"resourceRules": [rule("secrets")]}, False),
    "binding's exclusions": ({}, {"excludeResourceRules": [rule()]}, False),
    "binding's own rule": ({}, {"resourceRules": [rule()]}, True),
}  # fmt: skip


@pytest.mark.parametrize("case", MEANT)
async def test_which_writes_are_meant(api: Any, case: str) -> None:
    match, resources, meant = MEANT[case]
    bound = binding(matchResources=resources) if resources else binding()
    await install(api, policy("false", match=match), bound)
    assert (await api("POST", MAPS, config_map())).status == (422 if meant else 201)


async def test_other_versions_of_a_kind_are_meant_too(api: Any) -> None:
    scalers = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "minReplicas": 1,
        "maxReplicas": 3,
    }
    body = {"metadata": {"name": "h"}, "spec": scalers}
    only_v1 = {**rule("horizontalpodautoscalers", "autoscaling"), "apiVersions": ["v1"]}
    made = policy("object.apiVersion != 'autoscaling/v1'", match={"resourceRules": [only_v1]})
    await install(api, made)
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    answer = await api("POST", path, body)
    assert answer.status == 422
    exact = {**made["spec"]["matchConstraints"], "matchPolicy": "Exact"}
    await api.patch(f"{POLICIES}/p", {"spec": {"matchConstraints": exact}})
    await api.settle()
    await api.create(path, body)


CONDITIONS: dict[str, tuple[list[str], str, bool, str]] = {
    "true": (["true"], "Fail", True, "failed expression: false"),
    "false": (["true", "false"], "Fail", False, ""),
    "an error": (
        ["object.none == 1"], "Fail", True,
        "expression 'object.none == 1' resulted in error: no such key: none",
    ),
    "an error ignored": (["object.none == 1"], "Ignore", False, ""),
    "false beside an error": (["object.none == 1", "false"], "Fail", False, ""),
    "of the old object": (["oldObject == null"], "Fail", True, "failed expression: false"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONDITIONS)
async def test_match_conditions(api: Any, case: str) -> None:
    expressions, on_failure, refused, message = CONDITIONS[case]
    conditions = [{"name": f"c{index}", "expression": one} for index, one in enumerate(expressions)]
    await install(api, policy("false", matchConditions=conditions, failurePolicy=on_failure))
    answer = await api("POST", MAPS, config_map())
    assert answer.status == (422 if refused else 201)
    if refused:
        assert answer.message == refusal(message)


async def test_errors_are_ignored_where_the_policy_says_so(api: Any) -> None:
    await install(api, policy("object.none == 1", failurePolicy="Ignore"))
    await api.create(MAPS, config_map())


async def test_warnings_and_audit(api: Any) -> None:
    made = policy({"expression": "false", "message": "no"}, auditAnnotations=[
        {"key": "size", "valueExpression": "'data ' + string(size(object.data))"},
        {"key": "none", "valueExpression": "null"},
    ])  # fmt: skip
    await install(api, made, binding("b", "p", "Warn", "Audit"))
    response = await api.send("POST", MAPS, config_map(x="1"))
    assert response.status == 201
    text = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': no"
    assert response.headers["warning"] == f'299 - "{text}"'


async def test_audit_annotations_reach_the_request(api: Any) -> None:
    rules = [{"expression": "false", "message": text} for text in ("no", "nor this: the first stays")]
    made = policy(*rules, auditAnnotations=[
        {"key": "app", "valueExpression": "string(object.metadata.labels.app)"}
    ])  # fmt: skip
    await install(api, made, binding("b", "p", "Audit"))
    head = {"authorization": "Bearer admin", "content-type": "application/json"}
    request = Request("POST", MAPS, "", head, orjson.dumps(config_map()))
    request.scope["audit_annotations"] = {}
    assert (await api.server.handler(request)).status == 201
    assert request.scope["audit_annotations"] == {
        "p/app": "x",
        "validation.policy.admission.k8s.io/validation_failure": (
            '[{"message":"no","policy":"p","binding":"b","expressionIndex":0,"validationActions":["Audit"]}]'
        ),
    }


async def test_an_annotation_that_fails_refuses(api: Any) -> None:
    made = policy(auditAnnotations=[{"key": "k", "valueExpression": "string(object.none)"}])
    await install(api, made, binding("b", "p", "Audit"))
    answer = await api("POST", MAPS, config_map())
    assert answer.message == refusal("expression 'string(object.none)' resulted in error: no such key: none")


async def test_annotations_cannot_ask_for_rights(api: Any) -> None:
    """They compile with an authorizer, and are evaluated without."""
    asks = "string(authorizer.path('/').check('get').allowed())"
    await install(api, policy(auditAnnotations=[{"key": "k", "valueExpression": asks}]))
    answer = await api("POST", MAPS, config_map())
    assert answer.message == refusal(
        f"expression '{asks}' resulted in error: no such attribute(s): authorizer"
    )


async def test_the_first_policy_by_name_is_the_one_that_is_named(api: Any) -> None:
    await api.create(POLICIES, policy("false", name="z"))
    await api.create(BINDINGS, binding("z", "z"))
    await install(api, policy("false"))
    assert (await api("POST", MAPS, config_map())).message == refusal("failed expression: false")


async def test_without_a_binding_nothing_happens_and_all_ends_with_it(api: Any) -> None:
    await api.create(POLICIES, NEVER)
    await api.settle()
    await api.create(MAPS, config_map("a"))
    await api.create(BINDINGS, binding())
    await api.settle()
    assert (await api("POST", MAPS, config_map("b"))).status == 422
    await api("DELETE", f"{BINDINGS}/b")
    await api.settle()
    await api.create(MAPS, config_map("b"))


async def test_policies_do_not_police_policies(api: Any) -> None:
    everything = [{**rule("*", "*", "*"), "apiGroups": ["*"]}]
    await install(api, policy("false", match={"resourceRules": everything}))
    assert (await api("DELETE", f"{BINDINGS}/b")).status == 200
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    assert (await api("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)).status == 201


async def test_a_variable_is_evaluated_only_when_it_is_asked_for(api: Any) -> None:
    variables = [{"name": "bad", "expression": "object.none"}]
    await install(api, policy("true || variables.bad", variables=variables))
    await api.create(MAPS, config_map())


async def test_a_variable_that_fails(api: Any) -> None:
    variables = [{"name": "bad", "expression": "object.none"}]
    await install(api, policy("variables.bad == 1", variables=variables))
    assert (await api("POST", MAPS, config_map())).message == refusal(
        "expression 'variables.bad == 1' resulted in error: composited variable \"bad\" fails to evaluate: "
        "no such key: none"
    )


async def test_cost_of_one_expression_and_of_all(api: Any) -> None:
    checks = " || ".join(["!authorizer.path('/x').check('get').allowed()"] * 3)
    await install(api, policy(checks))
    assert (await api("POST", MAPS, config_map())).message == refusal(
        f"expression '{checks}' resulted in error: operation cancelled: actual cost limit exceeded"
    )
    two = "authorizer.path('/x').check('get').allowed() && authorizer.path('/x').check('get').allowed()"
    made = policy(*[two] * 15)
    await api.patch(f"{POLICIES}/p", {"spec": made["spec"]})
    await api.settle()
    assert (await api("POST", MAPS, config_map())).message == refusal(
        "validation failed due to running out of cost budget, no further validation rules will be run"
    )


async def test_what_messages_cost_counts_where_nobody_reads_them(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "string([1, 2, 3, 4, 5].map(x, x * 2).size())"
    await install(api, policy({"expression": "true", "messageExpression": said}))
    monkeypatch.setattr(judge, "POLICY_BUDGET", 20)
    assert (await api("POST", MAPS, config_map())).message == refusal(
        "failed messageExpression: validation failed due to running out of cost budget, no further "
        "validation rules will be run"
    )
    monkeypatch.setattr(judge, "POLICY_BUDGET", 200)
    await api.create(MAPS, config_map())


async def test_custom_objects_and_custom_parameters(api: Any) -> None:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        "metadata": {"name": "limits.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "limits", "kind": "Limit"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": free}}
            ],
        },
    })  # fmt: skip
    for _ in range(50):
        await api.settle()
    limits = "/apis/example.com/v1/limits"
    await api.create(limits, {"apiVersion": "example.com/v1", "kind": "Limit", "metadata": {"name": "l"},
                              "max": 2})  # fmt: skip
    made = policy(
        "size(object.data) <= params.max", paramKind={"apiVersion": "example.com/v1", "kind": "Limit"}
    )
    await install(api, made, binding(paramRef={"name": "l", "parameterNotFoundAction": "Deny"}))
    await api.create(MAPS, config_map("two", a="1", b="2"))
    assert (await api("POST", MAPS, config_map("three", a="1", b="2", c="3"))).status == 422
    await api.create(POLICIES, policy("object.max < 9", name="of-limits", match={
        "resourceRules": [rule("limits", "example.com")]
    }))  # fmt: skip
    await api.create(BINDINGS, binding("of-limits", "of-limits"))
    await api.settle()
    answer = await api("PATCH", f"{limits}/l", {"max": 10}, content_type="application/merge-patch+json")
    assert answer.status == 422
    assert "ValidatingAdmissionPolicy 'of-limits'" in answer.message
