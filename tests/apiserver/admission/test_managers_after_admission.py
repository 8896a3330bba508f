"""Webhooks that change who manages what: the rows of upstream's table, over a webhook at loopback."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.admission.hooked import MAPS, config_map, configure, hook, rule

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOST = (
    '299 - ".metadata.managedFields was in an invalid state after admission; this could be caused by an '
    "outdated mutating admission controller; please fix your requests: "
)


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


@pytest.fixture
def webhook(swept_webhook: Any) -> Any:
    """A webhook of the test's own."""
    return swept_webhook


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("apiVersion", "", "apiVersion must not be empty"),
        ("operation", "Frob", "operation must be `Apply` or `Update`"),
        ("fieldsType", "V2", r"invalid fieldsType \"V2\" in managed fields entry 0"),
        ("fieldsType", "", "missing fieldsType in managed fields entry 0"),
        ("fieldsV1", {"x": {}}, ""),
        ("manager", "", None),
    ],
)
@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
async def test_managers_that_nobody_can_read_are_taken_back(
    api: Any, webhook: Any, webhooks: Any, operation: str, field: str, value: Any, fault: str | None
) -> None:
    path = f"/metadata/managedFields/0/{field}"
    webhook.answers["/"] = webhooks.patch({"op": "replace", "path": path, "value": value})
    await configure(api, "mutating", hook(webhook.url(), rule("configmaps", "", operation)))
    answer = await api("POST", MAPS, config_map("m", a="1"))
    if operation == "UPDATE":
        answer = await api("PUT", f"{MAPS}/m", {**answer.json, "data": {"a": "2"}})
    assert answer.status in (200, 201)
    kept = answer.json["metadata"]["managedFields"]
    warning = answer.headers.get("warning", "")
    assert len(kept) == 1
    if fault is None:
        assert (kept[0].get("manager", ""), warning) == (value, "")
    else:
        assert (kept[0]["manager"], kept[0]["operation"], kept[0]["apiVersion"]) == ("test", "Update", "v1")
        assert kept[0]["fieldsV1"] == {"f:data": {".": {}, "f:a": {}}}
        assert warning.startswith(LOST + fault)
