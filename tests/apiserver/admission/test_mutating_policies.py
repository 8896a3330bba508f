"""MutatingAdmissionPolicy over a whole API server: what objects become, who is called again, who refuses."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


GROUP = "/apis/admissionregistration.k8s.io/v1"
POLICIES = f"{GROUP}/mutatingadmissionpolicies"
BINDINGS = f"{GROUP}/mutatingadmissionpolicybindings"
MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def rule(resources: str = "configmaps", group: str = "", *operations: str) -> dict[str, Any]:
    return {
        "apiGroups": [group], "apiVersions": ["*"], "operations": list(operations) or ["CREATE", "UPDATE"],
        "resources": [resources],
    }  # fmt: skip


def apply(expression: str) -> dict[str, Any]:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patch(expression: str) -> dict[str, Any]:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def add(path: str, value: str) -> dict[str, Any]:
    return patch(f'[JSONPatch{{op: "add", path: "{path}", value: {value}}}]')


def policy(*mutations: Any, name: str = "p", match: Any = None, **spec: Any) -> dict[str, Any]:
    body = {
        "matchConstraints": match or {"resourceRules": [rule()]},
        "mutations": list(mutations),
        "reinvocationPolicy": "Never",
        **spec,
    }
    return {"metadata": {"name": name}, "spec": body}


async def install(api: Any, made: Any, **binding: Any) -> None:
    name = made["metadata"]["name"]
    await api.create(POLICIES, made)
    await api.create(BINDINGS, {"metadata": {"name": f"b-{name}"}, "spec": {"policyName": name, **binding}})
    await api.settle()


def config_map(name: str = "m", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def deployment(name: str = "d", **pod: Any) -> dict[str, Any]:
    labels = {"app": "nginx"}
    spec = {"containers": [{"name": "n", "image": "nginx"}], **pod}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


OF_DEPLOYMENTS = {"resourceRules": [rule("deployments", "apps")]}


async def test_a_deployment_gets_annotations(api: Any) -> None:
    """What the conformance suite does with an apply configuration."""
    expression = """
        Object{
            metadata: Object.metadata{
                annotations: {"my-foo-annotation": "myAnnotationValue"}
            }
        }"""
    await install(api, policy(apply(expression), match=OF_DEPLOYMENTS))
    made = deployment()
    made["metadata"]["annotations"] = {"mine": "1"}
    created = await api.create(DEPLOYMENTS, made)
    assert created["metadata"]["annotations"] == {"mine": "1", "my-foo-annotation": "myAnnotationValue"}


async def test_a_deployment_is_changed(api: Any) -> None:
    """What the conformance suite does with the number of replicas."""
    expression = "Object{spec: Object.spec{replicas: object.spec.replicas + 1}}"
    await install(api, policy(apply(expression), match=OF_DEPLOYMENTS))
    assert (await api.create(DEPLOYMENTS, deployment()))["spec"]["replicas"] == 2


async def test_lists_are_merged_by_their_keys(api: Any) -> None:
    expression = """Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
        containers: [
            Object.spec.template.spec.containers{name: "n", imagePullPolicy: "Always"},
            Object.spec.template.spec.containers{name: "side", image: "busybox"}
        ]}}}}"""
    await install(api, policy(apply(expression), match=OF_DEPLOYMENTS))
    created = await api.create(DEPLOYMENTS, deployment())
    first, second = created["spec"]["template"]["spec"]["containers"]
    assert (first["name"], first["image"], first["imagePullPolicy"]) == ("n", "nginx", "Always")
    assert (second["name"], second["image"]) == ("side", "busybox")
    assert second["terminationMessagePolicy"] == "File"  # defaults come after


PATCHES: dict[str, tuple[str, dict[str, str] | None]] = {
    "add": ('[JSONPatch{op: "add", path: "/data/y", value: "2"}]', {"x": "1", "y": "2"}),
    "replace": ('[JSONPatch{op: "replace", path: "/data/x", value: object.data.x + "!"}]', {"x": "1!"}),
    "remove": ('[JSONPatch{op: "remove", path: "/data/x"}]', None),
    "move": ('[JSONPatch{op: "move", from: "/data/x", path: "/data/z"}]', {"z": "1"}),
    "copy": ('[JSONPatch{op: "copy", from: "/data/x", path: "/data/z"}]', {"x": "1", "z": "1"}),
    "a map": ('[JSONPatch{op: "add", path: "/data", value: {"a": "b"}}]', {"a": "b"}),
    "an object": ('[JSONPatch{op: "add", path: "/data", value: Object.data{a: "b"}}]', {"a": "b"}),
    "an escaped key": (
        '[JSONPatch{op: "add", path: "/metadata/labels", value: {}}, JSONPatch{op: "add", '
        'path: "/metadata/labels/" + jsonpatch.escapeKey("a.b/c"), value: "d"}]',
        {"x": "1"},
    ),
    "a test that fails": (
        '[JSONPatch{op: "add", path: "/data/y", value: "2"}, '
        'JSONPatch{op: "test", path: "/data/x", value: "other"}]',
        {"x": "1"},
    ),
    "a test that holds": (
        '[JSONPatch{op: "test", path: "/data/x", value: "1"}, '
        'JSONPatch{op: "add", path: "/data/y", value: "2"}]',
        {"x": "1", "y": "2"},
    ),
    "what was not given": (
        """has(JSONPatch{}.op) || has(JSONPatch{op: ""}.op) || has(JSONPatch{}.value) ? [] :
        [JSONPatch{op: "add", path: "/data", value: {
          "texts": "[" + JSONPatch{}.op + JSONPatch{}.path + JSONPatch{}.from + "]",
          "value": string(JSONPatch{}.value == null),
          "alike": string(JSONPatch{op: ""} == JSONPatch{}),
          "null": string(JSONPatch{value: null} == JSONPatch{}),
          "given": JSONPatch{op: "x"}.op + dyn(JSONPatch{path: "y"})["path"] + dyn(JSONPatch{})["from"],
        }}]""",
        {"texts": "[]", "value": "true", "alike": "true", "null": "false", "given": "xy"},
    ),
    "by condition": (
        'has(object.data.x) ? [JSONPatch{op: "add", path: "/data/y", value: "2"}] : []', {"x": "1", "y": "2"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PATCHES)
async def test_patches(api: Any, case: str) -> None:
    expression, data = PATCHES[case]
    await install(api, policy(patch(expression)))
    created = await api.create(MAPS, config_map(x="1"))
    assert (created.get("data") or None) == data
    if "escapeKey" in expression:
        assert created["metadata"]["labels"] == {"a.b/c": "d"}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an error": (
        add("/data/y", "object.none"),
        "expression '[JSONPatch{op: \"add\", path: \"/data/y\", value: object.none}]' resulted in error: "
        "no such key: none",
    ),
    "a path that is not there": (
        patch('[JSONPatch{op: "remove", path: "/data/none"}]'),
        "JSON Patch: error in remove for path: '/data/none': Unable to remove nonexistent key: none: "
        "missing value",
    ),
    "an operation that is no text": (
        patch("[JSONPatch{op: dyn(1)}]"),
        "expression '[JSONPatch{op: dyn(1)}]' resulted in error: "
        "unexpected type int64 for JSONPatchType 'op' field",
    ),
    "a place that is no text": (
        patch("[JSONPatch{path: dyn([1])}]"),
        "expression '[JSONPatch{path: dyn([1])}]' resulted in error: "
        "unexpected type []ref.Val for JSONPatchType 'path' field",
    ),
    "an operation that is none": (
        patch('[JSONPatch{op: "boil", path: "/data"}]'), "JSON Patch: Unexpected kind: boil"
    ),
    "a type at the wrong field": (
        apply("Object{metadata: Object.data{}}"),
        'type mismatch: unexpected type name "Object.data", expected "Object.metadata", which matches field '
        "name path from root Object type",
    ),
    "a field that is not there": (
        apply("Object{spec: Object.spec{}}"),
        "error applying patch: failed to convert patch object to typed object: .spec: "
        "field not declared in schema",
    ),
    "a wrong type": (
        apply("Object{data: Object.data{x: 1}}"),
        "error applying patch: failed to convert patch object to typed object: .data.x: expected string, "
        "got &value.valueUnstructured{Value:1}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_done_refuses(api: Any, case: str) -> None:
    mutation, why = REFUSED[case]
    await install(api, policy(mutation))
    answer = await api("POST", MAPS, config_map(x="1"))
    message = f"policy 'p' with binding 'b-p' denied request: {why}"
    assert answer.message == message
    assert (answer.status, answer.json["reason"]) == (403, "Invalid")
    assert answer.json["details"] == {"name": "m", "kind": "configmaps", "causes": [{"message": message}]}
    await api.patch(f"{POLICIES}/p", {"spec": {"failurePolicy": "Ignore"}})
    await api.settle()
    assert (await api.create(MAPS, config_map(x="1")))["data"] == {"x": "1"}


async def test_what_would_be_replaced_as_a_whole_is_refused(api: Any) -> None:
    expression = "Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'b'}}}}"
    await install(api, policy(apply(expression), match=OF_DEPLOYMENTS))
    answer = await api("POST", DEPLOYMENTS, deployment())
    assert answer.message.endswith(
        "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: "
        ".spec.selector"
    )


async def test_an_unknown_field_in_a_patch_is_an_error_of_the_server(api: Any) -> None:
    await install(api, policy(add("/what", '"x"')))
    answer = await api("POST", MAPS, config_map())
    assert answer.status == 500
    assert answer.message == 'Internal error occurred: strict decoding error: unknown field "what"'


async def test_each_mutation_sees_what_the_one_before_has_made(api: Any) -> None:
    variables = [{"name": "first", "expression": '"v" + object.data.x'}]
    second = add("/data/z", "object.data.y + variables.first")
    await install(api, policy(add("/data/y", "variables.first"), second, variables=variables))
    assert (await api.create(MAPS, config_map(x="1")))["data"] == {"x": "1", "y": "v1", "z": "v1v1"}


async def test_policies_follow_each_other_by_name(api: Any) -> None:
    for name in ("b", "a"):
        expression = f'object.data.x + "{name}"'
        await install(api, policy(add("/data/x", expression), name=name))
    assert (await api.create(MAPS, config_map(x="")))["data"] == {"x": "ab"}


CALLED_AGAIN = {"Never": "1a", "IfNeeded": "1aa"}


@pytest.mark.parametrize("when", CALLED_AGAIN)
async def test_a_policy_is_called_again_when_a_later_one_changes_something(api: Any, when: str) -> None:
    first = policy(add("/data/x", 'object.data.x + "a"'), name="a", reinvocationPolicy=when)
    await install(api, first)
    await install(api, policy(add("/data/y", '"2"'), name="b"))
    assert (await api.create(MAPS, config_map(x="1")))["data"] == {"x": CALLED_AGAIN[when], "y": "2"}


async def test_conditions_are_asked_again_even_of_a_policy_that_is_not_called_again(api: Any) -> None:
    once = [{"name": "c", "expression": "!has(object.data.y) || object.none == 1"}]
    await install(api, policy(add("/data/x", '"a"'), name="a", matchConditions=once))
    await install(api, policy(add("/data/y", '"2"'), name="b"))
    answer = await api("POST", MAPS, config_map(x="1"))
    assert (answer.status, "no such key: none" in answer.message) == (403, True)


@pytest.mark.asyncio(loop_scope="function")
async def test_policies_come_before_webhooks_and_see_their_changes_again(
    serving: Any, webhook: Any, webhooks: Any
) -> None:
    async with serving() as api:
        await _policies_and_a_webhook(api, webhook, webhooks)


async def _policies_and_a_webhook(api: Any, webhook: Any, webhooks: Any) -> None:
    webhook.answers["/"] = webhooks.patch({"op": "add", "path": "/data/hooked", "value": "1"})
    hook = {
        "name": "one.example.com", "clientConfig": webhook.url(), "rules": [rule()], "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }  # fmt: skip
    await api.create(
        f"{GROUP}/mutatingwebhookconfigurations", {"metadata": {"name": "c"}, "webhooks": [hook]}
    )
    seen = add("/data/seen", 'has(object.data.hooked) ? "yes" : "no"')
    await install(api, policy(seen, reinvocationPolicy="IfNeeded"))
    assert (await api.create(MAPS, config_map(x="1")))["data"] == {"x": "1", "hooked": "1", "seen": "yes"}
    assert webhook.asked[0]["object"]["data"] == {"x": "1", "seen": "no"}


async def test_validating_policies_judge_what_mutating_ones_have_made(api: Any) -> None:
    await install(api, policy(add("/data/y", '"2"')))
    judge = {
        "matchConstraints": {"resourceRules": [rule()]}, "validations": [{"expression": "has(object.data.y)"}]
    }  # fmt: skip
    validating = f"{GROUP}/validatingadmissionpolicies"
    await api.create(validating, {"metadata": {"name": "v"}, "spec": judge})
    bound = {"policyName": "v", "validationActions": ["Deny"]}
    await api.create(
        validating.replace("policies", "policybindings"), {"metadata": {"name": "v"}, "spec": bound}
    )
    await api.settle()
    await api.create(MAPS, config_map(x="1"))


async def test_parameters(api: Any) -> None:
    made = policy(
        add("/data/from", "params.data.value"),
        match={"resourceRules": [rule()], "objectSelector": {"matchLabels": {"a": "b"}}},
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
    )
    ref = {"name": "settings", "parameterNotFoundAction": "Deny"}
    await install(api, made, paramRef=ref)
    chosen = {**config_map(), "metadata": {"name": "m", "labels": {"a": "b"}}, "data": {"x": "1"}}
    assert (await api("POST", MAPS, chosen)).message == (
        "policy 'p' with binding 'b-p' denied request: failed to configure binding: no params found for "
        "policy binding with `Deny` parameterNotFoundAction"
    )
    await api.create(MAPS, config_map("settings", value="here"))
    assert (await api.create(MAPS, chosen))["data"] == {"x": "1", "from": "here"}


CONDITIONS = {"request.name == 'm'": True, "request.name == 'other'": False, "object.none == 1": None}


@pytest.mark.parametrize("expression", CONDITIONS)
async def test_match_conditions(api: Any, expression: str) -> None:
    conditions = [{"name": "c", "expression": expression}]
    await install(api, policy(add("/data/y", '"2"'), matchConditions=conditions))
    answer = await api("POST", MAPS, config_map(x="1"))
    meant = CONDITIONS[expression]
    if meant is None:
        assert answer.message == (
            "policy 'p' with binding 'b-p' denied request: expression 'object.none == 1' resulted in error: "
            "no such key: none"
        )
    else:
        assert answer.json["data"] == ({"x": "1", "y": "2"} if meant else {"x": "1"})


async def test_deletions_and_connections_change_nothing(api: Any) -> None:
    await api.create(MAPS, config_map())
    await install(api, policy(add("/data/y", '"2"'), match={"resourceRules": [rule("*", "", "*")]}))
    assert (await api("DELETE", f"{MAPS}/m")).status == 200


async def test_rights_decide(api: Any) -> None:
    asks = "authorizer.group('').resource('secrets').check('get').allowed()"
    await install(api, policy(add("/data/may", f'{asks} ? "yes" : "no"')))
    assert (await api.create(MAPS, config_map(x="1")))["data"] == {"x": "1", "may": "yes"}


async def test_the_merged_object_is_the_version_that_the_policy_wants(api: Any) -> None:
    """A policy about an older version works on it, whatever version the client speaks."""
    match = {"resourceRules": [{**rule("horizontalpodautoscalers", "autoscaling"), "apiVersions": ["v1"]}]}
    target = "Object{spec: Object.spec{targetCPUUtilizationPercentage: 42}}"
    await install(api, policy(apply(target), match=match))
    body = {
        "metadata": {"name": "h"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "minReplicas": 1,
            "maxReplicas": 3,
        },
    }
    created = await api.create("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", body)
    metric = created["spec"]["metrics"][0]["resource"]
    assert metric == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 42}}
