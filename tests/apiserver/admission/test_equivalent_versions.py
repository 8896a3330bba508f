"""Webhooks and policies that mean one version of a custom kind meet writes in every version."""

from __future__ import annotations

from typing import Any

import pytest

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
V1, V2 = (f"/apis/example.com/{version}/namespaces/default/foos" for version in ("v1", "v2"))
FIELDS = {"v1": "image", "v2": "picture"}
RULE = {
    "apiGroups": ["example.com"],
    "apiVersions": ["v2"],
    "resources": ["foos"],
    "operations": ["CREATE", "UPDATE"],
}


def version(name: str, *, field: str) -> dict[str, Any]:
    fields = {field: {"type": "string"}, f"{name}Default": {"type": "string", "default": name}}
    spec = {"type": "object", "properties": fields}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {"name": name, "served": True, "storage": name == "v1", "schema": schema}


def convert(asked: dict[str, Any]) -> dict[str, Any]:
    """Rename the one field; what only one version has gets lost."""
    wanted = asked["desiredAPIVersion"]
    made = []
    for obj in asked["objects"]:
        value = obj["spec"].get("image") or obj["spec"].get("picture")
        made.append({**obj, "apiVersion": wanted, "spec": {FIELDS[wanted[-2:]]: value}})
    broken = any(obj["metadata"]["name"] == "unconvertible" for obj in made)
    result = {"status": "Failure", "message": "cannot"} if broken else {"status": "Success"}
    return {"result": result, "convertedObjects": made}


async def define(api: Any, webhook: Any, *, converts: bool = True) -> None:
    """Serve foos in two versions, whose one field has a name in each."""
    webhook.answers["/convert"] = convert
    conversion: dict[str, Any] = {"strategy": "None"}
    if converts:
        config = {"clientConfig": webhook.url("/convert"), "conversionReviewVersions": ["v1"]}
        conversion = {"strategy": "Webhook", "webhook": config}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "foos", "kind": "Foo"},
            "versions": [
                version("v1", field="image"),
                version("v2", field="picture" if converts else "image"),
            ],
            "conversion": conversion,
        },
    }
    await api.create(CRDS, body)
    await api.settle()


async def configure(api: Any, webhook: Any, kind: str, path: str, **more: Any) -> None:
    """Have a webhook asked about foos of v2."""
    hook = {
        "name": f"{path[1:]}.example.com",
        "clientConfig": webhook.url(path),
        "rules": [RULE],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **more,
    }
    name = f"{kind}WebhookConfiguration"
    meta = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": name, "metadata": {"name": path[1:]}}
    await api.create(f"{ADMISSION}/{name.lower()}s", {**meta, "webhooks": [hook]})
    await api.settle()


async def bind(api: Any, kind: str, **spec: Any) -> None:
    """Have a policy about foos of v2."""
    name = f"{kind}AdmissionPolicy"
    meta = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": "p"}}
    policy = {**meta, "kind": name, "spec": {"matchConstraints": {"resourceRules": [RULE]}, **spec}}
    actions = {"validationActions": ["Deny"]} if kind == "Validating" else {}
    binding = {**meta, "kind": f"{name}Binding", "spec": {"policyName": "p", **actions}}
    await api.create(f"{ADMISSION}/{name.lower().removesuffix('y')}ies", policy)
    await api.create(f"{ADMISSION}/{name.lower()}bindings", binding)
    await api.settle()


def foo(name: str = "a", api_version: str = "v1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"example.com/{api_version}",
        "kind": "Foo",
        "metadata": {"name": name},
        "spec": spec or {FIELDS[api_version]: "x"},
    }


def reviews(webhook: Any) -> list[dict[str, Any]]:
    """Return what was asked about admission; conversions are asked about as well."""
    return [asked for asked in webhook.asked if "operation" in asked]


async def test_validating_webhooks_see_the_version_they_ask_for(api: Any, webhook: Any) -> None:
    await define(api, webhook)
    await configure(api, webhook, "Validating", "/look")
    await api.create(V1, foo())
    await api.patch(f"{V1}/a", {"spec": {"image": "y"}})
    created, updated = reviews(webhook)
    kinds = ("kind", "resource", "requestKind", "requestResource")
    assert [created[key]["version"] for key in kinds] == ["v2", "v2", "v1", "v1"]
    assert (created["object"]["apiVersion"], created["object"]["spec"]) == (
        "example.com/v2",
        {"picture": "x"},
    )
    assert (updated["oldObject"]["spec"], updated["object"]["spec"]) == ({"picture": "x"}, {"picture": "y"})
    assert updated["oldObject"]["apiVersion"] == "example.com/v2"


async def test_writes_in_the_version_meant_are_shown_as_they_are(api: Any, webhook: Any) -> None:
    await define(api, webhook)
    await configure(api, webhook, "Validating", "/look")
    await api.create(V2, foo(api_version="v2"))
    (asked,) = reviews(webhook)
    assert (asked["kind"]["version"], asked["requestKind"]["version"]) == ("v2", "v2")
    assert asked["object"]["spec"] == {"picture": "x", "v2Default": "v2"}


async def test_exact_webhooks_are_not_asked(api: Any, webhook: Any) -> None:
    await define(api, webhook)
    await configure(api, webhook, "Validating", "/look", matchPolicy="Exact")
    await api.create(V1, foo())
    assert reviews(webhook) == []


async def test_without_a_conversion_webhook_the_version_alone_differs(api: Any, webhook: Any) -> None:
    await define(api, webhook, converts=False)
    await configure(api, webhook, "Validating", "/look")
    await api.create(V1, foo())
    (asked,) = webhook.asked
    assert (asked["object"]["apiVersion"], asked["object"]["spec"]["image"]) == ("example.com/v2", "x")


async def test_each_version_is_converted_to_once(api: Any, webhook: Any) -> None:
    await define(api, webhook)
    for path in ("/one", "/two", "/three"):
        await configure(api, webhook, "Validating", path)
    await api.create(V1, foo())
    assert len(reviews(webhook)) == 3
    assert len(webhook.asked) == 4


async def test_patches_are_made_to_the_version_asked_for(api: Any, webhook: Any, webhooks: Any) -> None:
    await define(api, webhook)
    webhook.answers["/change"] = webhooks.patch(
        {"op": "replace", "path": "/spec/picture", "value": "changed"},
        {"op": "add", "path": "/spec/junk", "value": 1},
    )
    await configure(api, webhook, "Mutating", "/change")
    made = await api.create(V1, foo())
    assert (made["apiVersion"], made["spec"]) == ("example.com/v1", {"image": "changed", "v1Default": "v1"})
    assert (await api.get(f"{V1}/a"))["spec"]["image"] == "changed"


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
async def test_what_does_not_convert_is_refused(api: Any, webhook: Any, policy: str) -> None:
    await define(api, webhook)
    await configure(api, webhook, "Validating", "/look", failurePolicy=policy)
    answer = await api("POST", V1, foo("unconvertible"))
    assert (answer.status, answer.json["reason"]) == (500, "InternalError")
    assert "conversion webhook for example.com/v1, Kind=Foo failed: cannot" in answer.message


async def test_match_conditions_see_it_too(api: Any, webhook: Any) -> None:
    await define(api, webhook)
    conditions = [{"name": "c", "expression": "object.spec.picture == 'y' && request.kind.version == 'v2'"}]
    await configure(api, webhook, "Validating", "/look", matchConditions=conditions)
    await api.create(V1, foo("a", image="x"))
    await api.create(V1, foo("b", image="y"))
    assert [asked["name"] for asked in reviews(webhook)] == ["b"]


async def test_validating_policies_see_it_too(api: Any, webhook: Any) -> None:
    await define(api, webhook)
    await bind(
        api, "Validating", validations=[{"expression": "object.spec.picture != 'bad'", "message": "no bad"}]
    )
    assert (await api("POST", V1, foo("a", image="good"))).status == 201
    refused = await api("POST", V1, foo("b", image="bad"))
    assert (refused.status, "no bad" in refused.message) == (422, True)


async def test_mutating_policies_change_it_too(api: Any, webhook: Any) -> None:
    await define(api, webhook)
    patch = {"expression": '[JSONPatch{op: "replace", path: "/spec/picture", value: "policy"}]'}
    await bind(
        api,
        "Mutating",
        mutations=[{"patchType": "JSONPatch", "jsonPatch": patch}],
        reinvocationPolicy="Never",
    )
    assert (await api.create(V1, foo()))["spec"]["image"] == "policy"
