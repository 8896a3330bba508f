"""What a patch of a webhook makes of an object's kind: another version, another kind, nothing known."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.admission.hooked import (
    DENIED,
    FOOS,
    MAPS,
    config_map,
    configure,
    define,
    foo,
    hook,
    refuse,
    rule,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


@pytest.fixture
def webhook(swept_webhook: Any) -> Any:
    """A webhook of the test's own."""
    return swept_webhook


def replaced(key: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": f"/{key}", "value": value}


KIND_CHANGES: dict[str, tuple[list[dict[str, Any]], int, str]] = {
    "another kind": (
        [replaced("kind", "Secret")], 500, "converting (v1.Secret) to (core.ConfigMap): unknown conversion"
    ),
    "a kind of another group": (
        [replaced("kind", "Deployment"), replaced("apiVersion", "apps/v1")],
        500,
        "converting (v1.Deployment) to (core.ConfigMap): unknown conversion",
    ),
    "a kind that nobody knows": (
        [replaced("kind", "Boat")],
        500,
        'Internal error occurred: no kind "Boat" is registered for version "v1" in scheme '
        '"pkg/api/legacyscheme/scheme.go:30"',
    ),
    "a version that nobody knows": (
        [replaced("apiVersion", "v7")],
        500,
        'Internal error occurred: no kind "ConfigMap" is registered for version "v7" in scheme '
        '"pkg/api/legacyscheme/scheme.go:30"',
    ),
    "no text": (
        [replaced("kind", 1)],
        500,
        "Internal error occurred: couldn't get version/kind; json parse error: json: cannot unmarshal number "
        "into Go struct field .kind of type string",
    ),
    "no version": (
        [replaced("apiVersion", "a/b/c")],
        500,
        "Internal error occurred: unexpected GroupVersion string: a/b/c",
    ),
    "none": ([{"op": "remove", "path": "/kind"}, {"op": "remove", "path": "/apiVersion"}], 201, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", KIND_CHANGES)
async def test_a_patch_cannot_make_an_object_another_kind(
    api: Any, webhook: Any, webhooks: Any, case: str
) -> None:
    patch, code, message = KIND_CHANGES[case]
    webhook.answers["/"] = webhooks.patch(*patch)
    await configure(api, "mutating", hook(webhook.url()))
    answer = await api("POST", MAPS, config_map())
    assert answer.status == code
    if code == 500:
        assert answer.message == message
        assert answer.json.get("reason") == ("InternalError" if message.startswith("Internal") else None)
    else:
        assert (answer.json["kind"], answer.json["apiVersion"]) == ("ConfigMap", "v1")


async def test_but_another_version_of_its_kind(api: Any, webhook: Any, webhooks: Any) -> None:
    webhook.answers["/"] = webhooks.patch(
        replaced("apiVersion", "autoscaling/v1"),
        {"op": "add", "path": "/spec/targetCPUUtilizationPercentage", "value": 7},
    )
    await configure(api, "mutating", hook(webhook.url(), rule("horizontalpodautoscalers", "autoscaling")))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    body = {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
    made = await api.create("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", body)
    assert made["apiVersion"] == "autoscaling/v2"
    assert made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 7


CUSTOM_CHANGES: dict[str, tuple[dict[str, Any], int, str]] = {
    "another kind": (
        replaced("kind", "Bar"),
        422,
        'Bar.example.com "f" is invalid: kind: Invalid value: "Bar": must be Foo',
    ),
    "no kind": (replaced("kind", ""), 500, "Internal error occurred: Object 'Kind' is missing in '{"),
    "another group": (
        replaced("apiVersion", "example.org/v1"),
        500,
        'example.org/v1, Kind=Foo is unstructured and is not suitable for converting to "example.com/v1"',
    ),
    "another version": (
        replaced("apiVersion", "example.com/v7"),
        500,
        "request to convert CR from an invalid group/version: example.com/v7",
    ),
}


@pytest.mark.parametrize("case", CUSTOM_CHANGES)
async def test_nor_a_custom_one(api: Any, webhook: Any, webhooks: Any, case: str) -> None:
    patch, code, message = CUSTOM_CHANGES[case]
    webhook.answers["/"] = webhooks.patch(patch)
    await define(api)
    await configure(api, "mutating", hook(webhook.url(), rule("foos", "example.com")))
    answer = await api("POST", FOOS, foo(a=1))
    assert answer.status == code
    assert answer.message.startswith(message)


SECRET = replaced("kind", "Secret")
AFTER: dict[str, tuple[dict[str, Any] | None, int, str]] = {
    "the next one changes nothing": (
        None, 500, "converting (v1.Secret) to (core.ConfigMap): unknown conversion",
    ),
    "the next one makes it what it was": (replaced("kind", "ConfigMap"), 201, ""),
    "the next one makes it yet another": (
        replaced("kind", "Pod"), 500, "converting (v1.Pod) to (core.ConfigMap): unknown conversion",
    ),
    "the next one makes it nothing known": (
        replaced("kind", "Boat"),
        500,
        'Internal error occurred: no kind "Boat" is registered for version "v1" in scheme '
        '"pkg/api/legacyscheme/scheme.go:30"',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", AFTER)
async def test_another_kind_is_refused_after_the_last_webhook(
    api: Any, webhook: Any, webhooks: Any, case: str
) -> None:
    patch, code, message = AFTER[case]
    webhook.answers["/1"] = webhooks.patch(
        SECRET, {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}
    )
    webhook.answers["/2"] = webhooks.patch(*([patch] if patch else []))
    selector = {"matchLabels": {"a": "b"}}
    await configure(
        api, "mutating", hook(webhook.url("/1")),
        hook(webhook.url("/2"), name="two.example.com", objectSelector=selector),
    )  # fmt: skip
    answer = await api("POST", MAPS, config_map("m", key="a3M="))
    assert (answer.status, answer.json.get("message", "")) == (code, message)
    first, second = (asked["object"] for asked in webhook.asked)
    assert (first["kind"], second["kind"]) == ("ConfigMap", "Secret")
    assert (second["data"], second["type"], second["metadata"]["labels"]) == (
        {"key": "a3M="}, "Opaque", {"a": "b"},
    )  # fmt: skip
    if code == 201:
        assert answer.json["data"] == {"key": "a3M="}
        assert answer.json["metadata"]["labels"] == {"a": "b"}


async def test_who_denies_after_another_kind_is_heard(api: Any, webhook: Any, webhooks: Any) -> None:
    webhook.answers["/1"] = webhooks.patch(SECRET)
    webhook.answers["/2"] = refuse
    second = hook(webhook.url("/2"), name="two.example.com")
    await configure(api, "mutating", hook(webhook.url("/1")), second)
    answer = await api("POST", MAPS, config_map())
    assert answer.message == DENIED.replace("one.example.com", "two.example.com")


async def test_a_webhook_of_another_version_cannot_be_shown_another_kind(
    api: Any, webhook: Any, webhooks: Any
) -> None:
    groups = rule("horizontalpodautoscalers", "autoscaling")
    older = {**groups, "apiVersions": ["v1"]}
    first = hook(webhook.url("/1"), {**groups, "apiVersions": ["v2"]})
    await configure(api, "mutating", first, hook(webhook.url("/2"), older, name="two.example.com"))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    body = {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
    webhook.answers["/1"] = webhooks.patch(replaced("kind", "Deployment"), replaced("apiVersion", "apps/v1"))
    answer = await api("POST", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", body)
    said = "Internal error occurred: Internal error occurred: "
    assert answer.message == (
        f"{said}converting (v1.Deployment) to (autoscaling.HorizontalPodAutoscaler): unknown conversion"
    )
    assert len(webhook.asked) == 1


async def test_the_next_webhook_sees_another_version_as_it_was_made(
    api: Any, webhook: Any, webhooks: Any
) -> None:
    webhook.answers["/1"] = webhooks.patch(replaced("apiVersion", "autoscaling/v1"))
    webhook.answers["/2"] = webhooks.patch(
        {"op": "add", "path": "/spec/targetCPUUtilizationPercentage", "value": 7}
    )
    groups = rule("horizontalpodautoscalers", "autoscaling")
    second = hook(webhook.url("/2"), groups, name="two.example.com")
    await configure(api, "mutating", hook(webhook.url("/1"), groups), second)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    body = {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
    made = await api.create("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", body)
    assert [asked["object"]["apiVersion"] for asked in webhook.asked] == ["autoscaling/v2", "autoscaling/v1"]
    assert made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 7


async def test_custom_objects_of_another_kind_are_refused_after_the_last_webhook(
    api: Any, webhook: Any, webhooks: Any
) -> None:
    webhook.answers["/1"] = webhooks.patch(replaced("kind", "Bar"))
    webhook.answers["/2"] = webhooks.patch(replaced("kind", "Foo"))
    await define(api)
    foos = rule("foos", "example.com")
    second = hook(webhook.url("/2"), foos, name="two.example.com")
    await configure(api, "mutating", hook(webhook.url("/1"), foos), second)
    assert (await api.create(FOOS, foo(a=1)))["kind"] == "Foo"
    assert [asked["object"]["kind"] for asked in webhook.asked] == ["Foo", "Bar"]
