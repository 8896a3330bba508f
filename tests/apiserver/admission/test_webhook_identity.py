"""New objects get their identity after admission has changed them: what webhooks see and cannot choose."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.admission.hooked import MAPS, config_map, configure, hook, rule

SYSTEM_FIELDS = ("uid", "creationTimestamp", "name")


@pytest.mark.parametrize("kind", ["mutating", "validating"])
async def test_a_new_object_gets_its_identity_between_mutation_and_validation(
    api: Any, webhook: Any, kind: str
) -> None:
    await configure(api, kind, hook(webhook.url("/")))
    made = await api.create(MAPS, {"metadata": {"generateName": "m-"}})
    (asked,) = webhook.asked
    shown = asked["object"]["metadata"]
    expected = [made["metadata"][field] if kind == "validating" else None for field in SYSTEM_FIELDS]
    assert [shown.get(field) for field in SYSTEM_FIELDS] == expected


async def test_a_patch_does_not_choose_an_identity(api: Any, webhook: Any, webhooks: Any) -> None:
    webhook.answers["/"] = webhooks.patch(
        {"op": "add", "path": "/metadata/uid", "value": "mine"},
        {"op": "add", "path": "/metadata/creationTimestamp", "value": "2001-01-01T00:00:00Z"},
        {"op": "add", "path": "/data/a", "value": "1"},
    )
    await configure(api, "mutating", hook(webhook.url("/")))
    made = await api.create(MAPS, config_map(b="2"))
    assert made["data"] == {"a": "1", "b": "2"}
    assert len(made["metadata"]["uid"]) == 36
    assert not made["metadata"]["creationTimestamp"].startswith("2001")


async def test_a_patch_that_says_a_version_of_what_is_not_stored_is_refused(
    api: Any, webhook: Any, webhooks: Any
) -> None:
    webhook.answers["/"] = webhooks.patch({"op": "add", "path": "/metadata/resourceVersion", "value": "5"})
    await configure(api, "mutating", hook(webhook.url("/")))
    answer = await api("POST", MAPS, config_map())
    assert answer.status == 400
    assert answer.json["message"] == "resourceVersion should not be set on objects to be created"


async def test_an_applied_object_has_no_identity_for_policies_that_change_it(api: Any, webhook: Any) -> None:
    await configure(api, "mutating", hook(webhook.url("/")))
    applied = {"apiVersion": "v1", "kind": "ConfigMap", **config_map(a="1")}
    answer = await api.patch(f"{MAPS}/m?fieldManager=me", applied, "apply")
    assert answer.status == 201
    (asked,) = webhook.asked
    assert not {"uid", "creationTimestamp"} & asked["object"]["metadata"].keys()


@pytest.mark.parametrize("verb", ["POST", "PUT"])
@pytest.mark.parametrize("kind", ["mutating", "validating"])
async def test_sections_that_were_not_sent_are_shown_empty(
    api: Any, webhook: Any, kind: str, verb: str
) -> None:
    path = "/apis/batch/v1/namespaces/default/cronjobs"
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    spec = {"schedule": "@daily", "suspend": True, "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    job = {"metadata": {"name": "j"}, "spec": spec}
    if verb == "PUT":
        await api.create(path, job)
    await configure(api, kind, hook(webhook.url("/"), rule("cronjobs", "batch")))
    await api(verb, path if verb == "POST" else f"{path}/j", {**job, "spec": {**spec, "suspend": False}})
    (asked,) = webhook.asked
    assert asked["object"]["status"] == {}


async def test_a_webhook_that_changes_nothing_is_asked_once(api: Any, webhook: Any, webhooks: Any) -> None:
    webhook.answers["/"] = webhooks.patch({"op": "replace", "path": "/status", "value": {}})
    rules = rule("cronjobs", "batch")
    await configure(
        api, "mutating",
        hook(webhook.url("/a"), rules, name="a.example.com", reinvocationPolicy="IfNeeded"),
        hook(webhook.url("/"), rules, name="b.example.com"),
    )  # fmt: skip
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    spec = {"schedule": "@daily", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    await api.create("/apis/batch/v1/namespaces/default/cronjobs", {"metadata": {"name": "j"}, "spec": spec})
    assert [path.partition("?")[0] for path in webhook.paths] == ["/a", "/"]
