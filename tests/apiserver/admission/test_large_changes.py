"""Large objects that webhooks and policies change: others are served while they are looked through."""

from __future__ import annotations

import asyncio
import importlib
import threading
from typing import Any

import pytest
from tests.apiserver.admission.hooked import GROUP, MAPS, configure, hook, rule

from tiphys.apiserver.evaluating import LARGE_BYTES

pytestmark = pytest.mark.asyncio(loop_scope="module")
CHANGE = {"op": "add", "path": "/data/added", "value": "1"}
PACKAGE = "tiphys.apiserver.admission"
STEPS = {
    "patching": ("webhooks.plugins.json_patch", "apply", "webhook"),
    "reading what a webhook made": ("versions", "_decode", "webhook"),
    "mutating": ("policies.mutating", "_mutated", "policy"),
    "reading what a policy made": ("versions", "_decode", "policy"),
    "keeping it": ("policies.mutating", "copy_object", "policy"),
}


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


@pytest.fixture
def webhook(swept_webhook: Any) -> Any:
    """A webhook of the test's own."""
    return swept_webhook


async def change_maps(api: Any, webhook: Any, webhooks: Any, who: str) -> None:
    if who == "webhook":
        webhook.answers["/"] = webhooks.patch(CHANGE)
        await configure(api, "mutating", hook(webhook.url()))
        return
    expression = '[JSONPatch{op: "add", path: "/data/added", value: "1"}]'
    policy = {
        "matchConstraints": {"resourceRules": [rule("configmaps", "", "CREATE")]},
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
    }
    await api.create(f"{GROUP}/mutatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": policy})
    binding = {"metadata": {"name": "p"}, "spec": {"policyName": "p"}}
    await api.create(f"{GROUP}/mutatingadmissionpolicybindings", binding)
    await api.settle()


@pytest.mark.parametrize("step", STEPS)
async def test_others_are_served_meanwhile(
    api: Any, webhook: Any, webhooks: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    place, name, who = STEPS[step]
    module = importlib.import_module(f"{PACKAGE}.{place.removesuffix('.json_patch')}")
    owner = module.json_patch if place.endswith(".json_patch") else module
    await change_maps(api, webhook, webhooks, who)
    begun, served = threading.Event(), threading.Event()
    original = getattr(owner, name)

    def slow(*args: Any) -> Any:
        begun.set()
        assert served.wait(20), "nobody else was served"
        return original(*args)

    monkeypatch.setattr(owner, name, slow)
    large = {"metadata": {"name": "m"}, "data": {"x": "y" * LARGE_BYTES}}
    writing = asyncio.create_task(api("POST", MAPS, large))
    assert await asyncio.to_thread(begun.wait, 20)
    assert (await api("GET", "/api/v1/namespaces/default")).status == 200
    served.set()
    answer = await writing
    assert (answer.status, answer.json["data"]["added"]) == (201, "1")
