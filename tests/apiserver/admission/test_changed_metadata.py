"""What becomes of an object whose metadata a patch of admission took away, or moved elsewhere."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.apiserver.admission.hooked import (
    FOOS,
    GROUP,
    MAPS,
    config_map,
    configure,
    define,
    foo,
    hook,
    rule,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
APPLY = "application/apply-patch+yaml"
ELSEWHERE = "the namespace of the provided object does not match the namespace sent on the request"
NO_NAME = "metadata.name: Required value: name or generateName is required"
GONE: dict[str, dict[str, Any]] = {"removed": {"op": "remove"}, "null": {"op": "replace", "value": None}}


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


@pytest.fixture
def webhook(swept_webhook: Any) -> Any:
    """A webhook of the test's own."""
    return swept_webhook


async def mutate(api: Any, webhook: Any, operation: Any, webhooks: Any) -> None:
    """Let a webhook make a change of what is written."""
    webhook.answers["/"] = webhooks.patch(operation)
    rules = rule("configmaps", "", "CREATE", "UPDATE"), rule("foos", "example.com", "CREATE", "UPDATE")
    await configure(api, "mutating", hook(webhook.url(), *rules))


@pytest.mark.parametrize("path", [MAPS, FOOS])
async def test_no_webhook_puts_an_object_into_another_namespace(
    api: Any, webhook: Any, webhooks: Any, path: str
) -> None:
    await define(api)
    await mutate(api, webhook, {"op": "add", "path": "/metadata/namespace", "value": "kube-system"}, webhooks)
    new = foo("m") if path == FOOS else {"apiVersion": "v1", "kind": "ConfigMap", **config_map("m")}
    for answer in (
        await api("POST", path, new),
        await api("POST", f"{path}?dryRun=All", new),
        await api("PATCH", f"{path}/m?fieldManager=a", orjson.dumps(new), content_type=APPLY),
    ):
        assert (answer.status, answer.message) == (400, ELSEWHERE)
    elsewhere = path.replace("/default/", "/kube-system/")
    assert (await api("GET", f"{elsewhere}/m")).status == 404


async def test_nor_does_a_policy(api: Any) -> None:
    move = '[JSONPatch{op: "add", path: "/metadata/namespace", value: "kube-system"}]'
    policy = {
        "matchConstraints": {"resourceRules": [rule("configmaps", "", "CREATE")]},
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": move}}],
    }
    await api.create(f"{GROUP}/mutatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": policy})
    binding = {"metadata": {"name": "p"}, "spec": {"policyName": "p"}}
    await api.create(f"{GROUP}/mutatingadmissionpolicybindings", binding)
    await api.settle()
    answer = await api("POST", MAPS, config_map("m"))
    assert (answer.status, answer.message) == (400, ELSEWHERE)


@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("path", [MAPS, FOOS])
async def test_metadata_taken_away_is_missed(
    api: Any, webhook: Any, webhooks: Any, path: str, how: str
) -> None:
    await define(api)
    new = foo("m") if path == FOOS else config_map("m")
    await api.create(path, new)
    await mutate(api, webhook, {**GONE[how], "path": "/metadata"}, webhooks)
    answer = await api("POST", path, new)
    kind = "Foo.example.com" if path == FOOS else "ConfigMap"
    assert (answer.status, answer.message) == (422, f'{kind} "" is invalid: {NO_NAME}')
    answer = await api.patch(f"{path}/m", {"metadata": {"labels": {"a": "b"}}})
    assert answer.status == 422
    assert (await api.get(f"{path}/m"))["metadata"]["name"] == "m"


@pytest.mark.parametrize(("code", "sent"), [(99, 400), (200, 400), (418, 418), (999, 999), (9999, 500)])
async def test_codes_of_refusals_are_codes_of_failures(api: Any, webhook: Any, code: int, sent: int) -> None:
    webhook.answers["/"] = lambda _: {"allowed": False, "status": {"code": code}}
    await configure(api, "validating", hook(webhook.url()))
    assert (await api("POST", MAPS, config_map("m"))).status == sent
