"""How authorization ended and how long filters took, as metrics tell it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from tiphys.apiserver.audit.assembly import AuditOptions
from tiphys.apiserver.audit.sinks import LogOptions
from tiphys.apiserver.authn.attempts import Attempts
from tiphys.apiserver.authz.attributes import Decision
from tiphys.apiserver.observe.filter_times import FilterTimes


@pytest.mark.parametrize(
    ("decision", "result"),
    [
        (Decision(allowed=True, error="evaluated badly"), "allowed"),
        (Decision(denied=True), "denied"),
        (Decision(denied=True, error="broken"), "error"),
        (Decision(error="broken"), "error"),
        (Decision(), "no-opinion"),
        (None, "error"),
    ],
)
def test_results(decision: Decision | None, result: str) -> None:
    times = FilterTimes(Attempts())
    times.decided(decision, 0.5)
    found = {
        (sample.name, sample.labels["result"]): sample.value
        for family in times.collect()
        for sample in family.samples
        if sample.name.startswith("authorization_") and not sample.name.endswith("_bucket")
    }
    assert found == {
        ("authorization_attempts_total", result): 1,
        ("authorization_duration_seconds_count", result): 1,
        ("authorization_duration_seconds_sum", result): 0.5,
    }


NAME: Final = "apiserver_request_filter_duration_seconds_count"
ALL: Final = ("authentication", "audit", "impersonation", "priorityandfairness", "authorization")


async def passed(api: Any) -> dict[str, float]:
    """Return how many requests have passed each filter."""
    registry = api.server.backend.metrics._registry
    return {name: registry.sample_value(NAME, {"filter": name}) or 0.0 for name in ALL}


@pytest.mark.parametrize("audited", [False, True])
@pytest.mark.parametrize(
    ("asked", "status", "stopped_by"),
    [
        ({}, 200, ""),
        ({"impersonate_user": "someone", "impersonate_group": "system:masters"}, 200, ""),
        ({"user": "alice", "impersonate_user": "someone"}, 403, "impersonation"),
        ({"user": "nobody"}, 401, "audit"),
        ({"user": "alice"}, 403, "authorization"),
    ],
)
async def test_what_passes_each_filter(
    serving: Any, tmp_path: Path, asked: dict[str, str], status: int, stopped_by: str, *, audited: bool
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}")
    options = {"audit": AuditOptions(policy, LogOptions(str(tmp_path / "log")))} if audited else {}
    async with serving(**options) as api:
        wanted, going_on = {}, True
        for name in ALL:
            going_on = going_on and name != stopped_by
            wanted[name] = int(going_on)
        for _ in range(3):  # one that is not known yet, and two that are
            before = await passed(api)
            assert (await api("GET", "/api/v1/namespaces/default", **asked)).status == status
            after = await passed(api)
            assert {name: after[name] - before[name] for name in ALL} == wanted


def test_waits_are_those_for_a_turn() -> None:
    times = FilterTimes(Attempts(), queues=True)
    times.waited(0.5)
    times.entered += 1
    times.quick += 1
    filters = next(iter(times.collect()))
    found = {one.labels["le"]: one.value for one in filters.samples
             if one.labels["filter"] == "priorityandfairness" and "le" in one.labels}  # fmt: skip
    assert (found["0.0001"], found["0.3"], found["1"]) == (2, 2, 3)
    quick = FilterTimes(Attempts())
    assert "priorityandfairness" not in {one.labels["filter"] for one in next(iter(quick.collect())).samples}
