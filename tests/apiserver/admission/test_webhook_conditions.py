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


CHECK = "authorizer.group('').resource('pods').namespace('default').check('create').allowed()"
TWICE, THRICE = " && ".join([CHECK] * 2), " && ".join([CHECK] * 3)
TOO_MUCH = "validation failed due to running out of cost budget, no further validation rules will be run"
COSTS: dict[str, tuple[list[str], str]] = {
    "what one may": ([TWICE], ""),
    "more than one may": (
        [THRICE],
        f"expression '{THRICE}' resulted in error: operation cancelled: actual cost limit exceeded",
    ),
    "more than one may, beside one that is false": ([THRICE, "false"], "false"),
    "more than all may": ([TWICE] * 8, TOO_MUCH),
    "more than all may, behind one that is false": (["false", *[TWICE] * 8], TOO_MUCH),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", COSTS)
async def test_what_conditions_may_cost(api: Any, webhook: Any, kind: str, case: str) -> None:
    expressions, fault = COSTS[case]
    conditions = [{"name": f"c{index}", "expression": one} for index, one in enumerate(expressions)]
    await configure(api, kind, hook(webhook.url(), matchConditions=conditions))
    answer = await api("POST", MAPS, config_map())
    assert bool(webhook.paths) is (fault == "")
    if fault in ("", "false"):
        assert answer.status == 201
        return
    assert (answer.status, answer.message) == (403, f'configmaps "m" is forbidden: {fault}')


NAME = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
GIVEN: dict[str, tuple[list[dict[str, str]], str]] = {
    "of the resource, the user and rights": (
        [
            {"name": "exclude-leases", "expression": "!(request.resource.resource == 'leases')"},
            {"name": "exclude-nodes", "expression": "!('system:nodes' in request.userInfo.groups)"},
            {"name": "a.b/c", "expression": f"!{CHECK}"},
        ],
        "",
    ),
    "64": ([{"name": f"c{n}", "expression": "true"} for n in range(64)], ""),
    "65": (
        [{"name": f"c{n}", "expression": "true"} for n in range(65)],
        ": Too many: 65: must have at most 64 items",
    ),
    "no expression": ([{"name": "a"}], "[0].expression: Required value"),
    "spaces": ([{"name": "a", "expression": " "}], "[0].expression: Required value"),
    "no name": ([{"expression": "true"}], "[0].name: Required value"),
    "twice": ([{"name": "a", "expression": "true"}] * 2, '[1].name: Duplicate value: "a"'),
    "no name at all": ([{"name": " a", "expression": "true"}], f'[0].name: Invalid value: " a": {NAME}'),
    "a number": (
        [{"name": "a", "expression": "1"}],
        '[0].expression: Invalid value: "1": must evaluate to bool but got int',
    ),
    "nothing that is known": (
        [{"name": "a", "expression": "none == null"}],
        '[0].expression: Invalid value: "none == null": compilation failed: ERROR: <input>:1:1: undeclared '
        "reference to 'none' (in container '')\n | none == null\n | ^",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", GIVEN)
async def test_which_conditions_are_valid(api: Any, webhook: Any, kind: str, case: str) -> None:
    conditions, fault = GIVEN[case]
    body = {"metadata": {"name": "c"}, "webhooks": [hook(webhook.url(), matchConditions=conditions)]}
    answer = await api("POST", f"{path_of(kind)}?dryRun=All", body)
    if not fault:
        assert answer.status == 201
        return
    told = answer.message.partition(" is invalid: webhooks[0].matchConditions")[2]
    assert (answer.status, told) == (422, fault)


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
