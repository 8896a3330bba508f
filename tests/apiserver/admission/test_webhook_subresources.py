"""What webhooks are shown of objects that nobody stores: as Go writes them, whatever of them is empty."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.admission.hooked import configure, hook, rule

pytestmark = pytest.mark.asyncio(loop_scope="module")

PODS = "/api/v1/namespaces/default/pods"
BINDING, EVICTION = f"{PODS}/p/binding", f"{PODS}/p/eviction"
TOKEN = "/api/v1/namespaces/default/serviceaccounts/default/token"
META = {"name": "p", "namespace": "default"}
RULES = [rule(resource) for resource in ("pods/binding", "pods/eviction", "serviceaccounts/token")]


@pytest.fixture
def api(swept_api: Any) -> Any:
    return swept_api


@pytest.fixture
def webhook(swept_webhook: Any) -> Any:
    """A webhook of the test's own."""
    return swept_webhook


def token(spec: Any, status: Any) -> dict[str, Any]:
    kind = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
    return {**kind, "metadata": {"namespace": "default"}, "spec": spec, "status": status}


SHOWN: dict[str, tuple[str, Any, Any]] = {
    "a binding": (
        BINDING,
        {"metadata": {"name": "p"}, "target": {"name": "n1"}},
        {"kind": "Binding", "apiVersion": "v1", "metadata": META, "target": {"name": "n1"}},
    ),
    "a binding to nothing": (
        BINDING,
        {"metadata": {"name": "p"}},
        {"kind": "Binding", "apiVersion": "v1", "metadata": META, "target": {}},
    ),
    "an eviction": (
        EVICTION,
        {"metadata": {"name": "p"}},
        {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": META},
    ),
    "an empty token request": (
        TOKEN,
        {},
        token(
            {"audiences": None, "expirationSeconds": 3600, "boundObjectRef": None},
            {"token": "", "expirationTimestamp": None},
        ),
    ),
    "a token request": (
        TOKEN,
        {"spec": {"audiences": ["a"], "boundObjectRef": {"kind": "Pod"}}, "status": {"token": "mine"}},
        token(
            {"audiences": ["a"], "expirationSeconds": 3600, "boundObjectRef": {"kind": "Pod"}},
            {"token": "mine", "expirationTimestamp": None},
        ),
    ),
}


@pytest.mark.parametrize("case", SHOWN)
async def test_shown(api: Any, webhook: Any, make_pod: Any, case: str) -> None:
    path, body, want = SHOWN[case]
    await api.create(PODS, make_pod("p"))
    await configure(api, "mutating", hook(webhook.url(), *RULES))
    await api("POST", path, body)
    assert webhook.asked[0]["object"] == want


async def test_what_a_webhook_makes_of_a_token_request_counts(api: Any, webhook: Any, webhooks: Any) -> None:
    """Webhooks that are asked after it see the rest as before."""
    webhook.answers["/1"] = webhooks.patch({"op": "replace", "path": "/spec/expirationSeconds", "value": 700})
    second = hook(webhook.url("/2"), *RULES, name="two.example.com")
    await configure(api, "mutating", hook(webhook.url("/1"), *RULES), second)
    made = await api.create(TOKEN, {})
    assert made["spec"]["expirationSeconds"] == 700
    first, second = (asked["object"] for asked in webhook.asked)
    assert second == {**first, "spec": {**first["spec"], "expirationSeconds": 700}}
    webhook.answers["/1"] = webhooks.patch({"op": "remove", "path": "/spec"})
    assert (await api.create(TOKEN, {}))["spec"]["expirationSeconds"] == 3600
