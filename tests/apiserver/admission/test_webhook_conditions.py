"""Match conditions of webhooks: kept, judged, and who is asked by them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.admission.hooked import KINDS, MAPS, config_map, configure, hook, path_of, rule

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


@pytest.fixture
def webhook(swept_webhook: Any) -> Any:
    """A webhook of the test's own."""
    return swept_webhook


@pytest.mark.parametrize("kind", KINDS)
async def test_match_conditions_are_kept(api: Any, webhook: Any, kind: str) -> None:
    first = [{"name": "first", "expression": "request.name != 'x'"}]
    made = await configure(api, kind, hook(webhook.url(), matchConditions=first))
    assert made["webhooks"][0]["matchConditions"] == first
    made["webhooks"][0]["matchConditions"] = [*first, {"name": "second", "expression": "true"}]
    await api.put(path_of(kind, "c"), made)
    found = (await api.get(path_of(kind, "c")))["webhooks"][0]["matchConditions"]
    assert [one["name"] for one in found] == ["first", "second"]


@pytest.mark.parametrize("kind", KINDS)
async def test_invalid_match_conditions_are_refused(api: Any, webhook: Any, kind: str) -> None:
    bad = [{"name": "bad", "expression": "... [] bad expression"}]
    body = {"metadata": {"name": "c"}, "webhooks": [hook(webhook.url(), matchConditions=bad)]}
    answer = await api("POST", path_of(kind), body)
    assert answer.status == 422
    assert answer.message.startswith(
        f'{kind.title()}WebhookConfiguration.admissionregistration.k8s.io "c" is invalid: '
        'webhooks[0].matchConditions[0].expression: Invalid value: "... [] bad expression": '
        "compilation failed: ERROR: <input>:1:2: Syntax error: "
    )


async def test_all_but_one_map_are_changed(api: Any, webhook: Any, webhooks: Any) -> None:
    webhook.answers["/"] = webhooks.patch({"op": "add", "path": "/data/added", "value": "1"})
    skip = [{"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"}]
    await configure(api, "mutating", hook(webhook.url(), matchConditions=skip))
    assert (await api.create(MAPS, config_map("skip-me", x="1")))["data"] == {"x": "1"}
    assert (await api.create(MAPS, config_map("other", x="1")))["data"] == {"x": "1", "added": "1"}


CONDITIONS: dict[str, tuple[list[str], dict[str, Any], int, bool]] = {
    "hold": (["true", "request.operation == 'CREATE'"], {}, 201, True),
    "do not hold": (["true", "false"], {}, 201, False),
    "rights": (["authorizer.group('').resource('secrets').check('get').allowed()"], {}, 201, True),
    "fail": (["object.none == 1"], {}, 403, False),
    "fail beside one that is false": (["object.none == 1", "false"], {}, 201, False),
    "fail and are ignored": (["object.none == 1"], {"failurePolicy": "Ignore"}, 201, False),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CONDITIONS)
async def test_conditions_decide_who_is_asked(api: Any, webhook: Any, kind: str, case: str) -> None:
    expressions, fields, status, asked = CONDITIONS[case]
    conditions = [{"name": f"c{index}", "expression": one} for index, one in enumerate(expressions)]
    await configure(api, kind, hook(webhook.url(), matchConditions=conditions, **fields))
    answer = await api("POST", MAPS, config_map())
    assert (answer.status, bool(webhook.paths)) == (status, asked)
    if status == 403:
        assert answer.message == (
            'configmaps "m" is forbidden: '
            "expression 'object.none == 1' resulted in error: no such key: none"
        )


async def test_conditions_see_what_earlier_webhooks_have_made(api: Any, webhook: Any, webhooks: Any) -> None:
    webhook.answers["/"] = webhooks.patch({"op": "add", "path": "/data/added", "value": "1"})
    webhook.answers["/second"] = webhooks.patch({"op": "add", "path": "/data/second", "value": "1"})
    condition = [{"name": "c", "expression": "has(object.data.added)"}]
    second = hook(webhook.url("/second"), name="two.example.com", matchConditions=condition)
    await configure(api, "mutating", hook(webhook.url()), second)
    assert (await api.create(MAPS, config_map(x="1")))["data"] == {"x": "1", "added": "1", "second": "1"}


async def test_stored_conditions_are_not_judged_again(api: Any, webhook: Any) -> None:
    """An object that holds what would not be let in today can still be changed elsewhere."""
    made = await configure(api, "validating", hook(webhook.url(), rule("secrets")))
    row = api.server.table.by_path("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations")
    made["webhooks"][0]["matchConditions"] = [{"name": "c", "expression": "nonsense("}]
    await api.server.objects.update(row, made, int(made["metadata"]["resourceVersion"]))
    answer = await api.patch(path_of("validating", "c"), {"metadata": {"labels": {"a": "b"}}})
    assert answer.status == 200, answer.message
    conditions = [{"name": "c", "expression": "nonsense(1"}]
    webhooks_now = [{**made["webhooks"][0], "matchConditions": conditions}]
    assert (await api.patch(path_of("validating", "c"), {"webhooks": webhooks_now})).status == 422
