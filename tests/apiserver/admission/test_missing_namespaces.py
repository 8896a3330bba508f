"""Writes into a namespace that is not there, with nobody (NamespaceLifecycle) to say so first."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.admission.hooked import GROUP, KINDS, configure, hook, rule

LOST = "/api/v1/namespaces/lost/configmaps"
LOST_TEXT = 'namespaces "lost" not found'
SELECTOR = {"matchLabels": {"a": "b"}}
MAP = {"metadata": {"name": "m"}}
UNLIKE = {"matchLabels": {"no": "such"}}


@pytest.fixture
async def api(serving: Any) -> Any:
    async with serving(disabled_admission=("NamespaceLifecycle",)) as found:
        yield found


@pytest.mark.parametrize("kind", KINDS)
async def test_webhooks(api: Any, kind: str) -> None:
    """A selector that nothing else decides before asks for labels that are nowhere."""
    nobody = {"url": "https://127.0.0.1:1/"}
    await configure(api, kind, hook(nobody, rule("secrets"), namespaceSelector=SELECTOR), name="others")
    await configure(
        api, kind, hook(nobody, namespaceSelector=SELECTOR, objectSelector=UNLIKE), name="of-no-object"
    )
    assert (await api("POST", LOST, MAP)).status == 201
    await configure(api, kind, hook(nobody, namespaceSelector=SELECTOR))
    answer = await api("POST", LOST, {"metadata": {"name": "n"}})
    assert (answer.status, answer.message) == (404, LOST_TEXT)
    assert answer.json["details"] == {"name": "lost", "kind": "namespaces"}


async def test_webhooks_without_selectors_are_called(api: Any) -> None:
    await configure(api, "validating", hook({"url": "https://127.0.0.1:1/"}))
    answer = await api("POST", LOST, MAP)
    assert answer.status == 500
    assert answer.message.startswith('Internal error occurred: failed calling webhook "one.example.com"')


async def bind(api: Any, kind: str, spec: Any, bound: Any, name: str = "p", **fields: Any) -> None:
    match = {"resourceRules": [rule("configmaps", "", "CREATE")], **spec}
    if kind == "validating":
        fields["validations"] = [{"expression": "true"}]
    else:
        value = 'Object{metadata: Object.metadata{labels: {"x": "y"}}}'
        change = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": value}}
        fields |= {"mutations": [change], "reinvocationPolicy": "Never"}
    body = {"metadata": {"name": name}, "spec": {"matchConstraints": match, **fields}}
    await api.create(f"{GROUP}/{kind}admissionpolicies", body)
    actions = {"validationActions": ["Deny"]} if kind == "validating" else {}
    binding = {"policyName": name, "matchResources": bound, **actions}
    path = f"{GROUP}/{kind}admissionpolicybindings"
    await api.create(path, {"metadata": {"name": f"{name}-b"}, "spec": binding})
    await api.settle()


CASES: dict[str, tuple[Any, Any, Any, str]] = {
    # constraints of the policy, of the binding, further fields, what is said
    "a policy that selects": (
        {"namespaceSelector": SELECTOR}, {}, {}, f"failed to configure policy: {LOST_TEXT}",
    ),
    "a binding that selects": (
        {}, {"namespaceSelector": SELECTOR}, {}, f"failed to configure binding: {LOST_TEXT}",
    ),
    "one that may fail": ({"namespaceSelector": SELECTOR}, {}, {"failurePolicy": "Ignore"}, ""),
    "one of other objects": ({"namespaceSelector": SELECTOR, "objectSelector": UNLIKE}, {}, {}, ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("policy", "binding", "fields", "why"), CASES.values(), ids=CASES)
async def test_policies(api: Any, kind: str, policy: Any, binding: Any, fields: Any, why: str) -> None:
    await bind(api, kind, policy, binding, **fields)
    answer = await api("POST", LOST, MAP)
    if not why:
        assert answer.status == 201
        return
    assert answer.status == (422 if kind == "validating" else 403), answer.message
    assert answer.message.endswith(f"denied request: {why}"), answer.message


@pytest.mark.parametrize("kind", KINDS)
async def test_what_policies_are_to_see(api: Any, kind: str) -> None:
    await bind(api, kind, {}, {})
    answer = await api("POST", LOST, MAP)
    assert (answer.status, answer.message) == (404, LOST_TEXT)
