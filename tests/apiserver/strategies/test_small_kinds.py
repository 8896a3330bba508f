"""What Namespaces, CronJobs and the small core kinds keep, reset and warn of: upstream's tables."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

Body = dict[str, Any]
CORE, NAMESPACES = "/api/v1/namespaces/default", "/api/v1/namespaces"
CRONS = "/apis/batch/v1/namespaces/default/cronjobs"


async def test_what_ends_a_namespace_is_written_through_finalize_only(api: Any) -> None:
    body = {
        "metadata": {"name": "foo"},
        "spec": {"finalizers": ["a.b/c"]},
        "status": {"phase": "Terminating"},
    }
    made = await api.create(NAMESPACES, body)
    assert (made["spec"], made["status"]) == ({"finalizers": ["a.b/c", "kubernetes"]}, {"phase": "Active"})
    made["metadata"].pop("resourceVersion")
    other = {**made, "spec": {"finalizers": ["d.e/f"]}, "status": {"phase": "Terminating"}}
    for path in ("foo", "foo/status"):
        answer = await api("PUT", f"{NAMESPACES}/{path}", other)
        # Only what is going may say so.
        assert answer.status == (422 if "status" in path else 200)
        assert (await api.get(f"{NAMESPACES}/foo"))["spec"] == made["spec"]
    after = await api.put(f"{NAMESPACES}/foo/finalize", other)
    assert (after["spec"], after["status"]) == (other["spec"], {"phase": "Active"})


TEMPLATE = {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "abc", "image": "image"}]}}
INDEXED = {"completionMode": "Indexed", "completions": 10, "parallelism": 10}
SPEC: Body = {
    "schedule": "5 5 * * ?", "timeZone": "Asia/Shanghai",
    "jobTemplate": {"spec": {"template": TEMPLATE, **INDEXED}},
}  # fmt: skip


async def test_cron_jobs_count_their_specs(api: Any) -> None:
    body = {"metadata": {"name": "c", "generation": 999}, "spec": SPEC, "status": {"active": [{"name": "j"}]}}
    made = await api.create(CRONS, body)
    assert (made["status"], made["metadata"]["generation"]) == ({}, 1)
    made["metadata"].pop("resourceVersion")
    labelled = await api.put(f"{CRONS}/c", {**made, "metadata": {"name": "c", "labels": {"a": "true"}}})
    assert labelled["metadata"]["generation"] == 1
    told = {"lastScheduleTime": "2026-01-01T00:00:00Z"}
    changed = {**made, "spec": {**made["spec"], "schedule": "5 5 5 * ?"}, "status": told}
    after = await api.put(f"{CRONS}/c/status", changed)
    assert (after["spec"], after["status"], after["metadata"]["generation"]) == (made["spec"], told, 1)
    after = await api.put(f"{CRONS}/c", {**changed, "status": {}})
    assert (after["spec"]["schedule"], after["status"]) == ("5 5 5 * ?", told)
    assert after["metadata"]["generation"] == 2


ZONE = (
    "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
    "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
)
SECRET = 'spec.jobTemplate.spec.template.spec.imagePullSecrets[0].name: invalid empty name \\"\\"'
UNNAMED = {"imagePullSecrets": [{"name": ""}]}
WARNED: dict[str, tuple[Body, list[str]]] = {
    "nothing": ({}, []),
    "a template": (
        {"jobTemplate": {"spec": {"template": {"spec": {**TEMPLATE["spec"], **UNNAMED}}}}}, [SECRET],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "texts"), WARNED.values(), ids=WARNED)
async def test_of_what_in_a_cron_job_one_is_told(api: Any, told: Any, change: Body, texts: list[str]) -> None:
    body = {"metadata": {"name": "my.cronjob"}, "spec": SPEC}
    answer = await api("POST", CRONS, body)
    assert [text.split(":")[0] for text in told(answer)] == ["metadata.name"]
    answer = await api("PUT", f"{CRONS}/my.cronjob", {**body, "spec": SPEC | change})
    assert (answer.status, told(answer)) == (200, texts)


async def test_a_schedule_with_a_zone_of_old(api: Any, told: Any, left_behind: Any) -> None:
    made = await api.create(CRONS, {"metadata": {"name": "c"}, "spec": {**SPEC, "timeZone": None}})
    made["spec"]["schedule"] = "CRON_TZ=UTC 5 5 * * ?"
    made["metadata"]["namespace"] = "default"
    old = await left_behind(CRONS, made)
    answer = await api("PUT", f"{CRONS}/c", {**old, "metadata": {"name": "c", "labels": {"a": "b"}}})
    assert (answer.status, told(answer)) == (200, [ZONE])


FIXED: dict[str, tuple[Body, Body, str]] = {
    "configmaps": ({"data": {"a": "b"}}, {"data": {"a": "c"}}, "data"),
    "secrets": ({"data": {"a": "Yg=="}}, {"data": {"a": "Yw=="}}, "data"),
}


@pytest.mark.parametrize(("plural", "row"), FIXED.items(), ids=FIXED)
async def test_what_is_immutable_stays_so(api: Any, plural: str, row: tuple[Body, Body, str]) -> None:
    path, (body, change, field) = f"{CORE}/{plural}", row
    await api.create(path, {"metadata": {"name": "x"}, **body})
    assert (await api.patch(f"{path}/x", change)).status == 200
    assert (await api.patch(f"{path}/x", {**body, "immutable": True})).json["immutable"] is True
    kind = {"configmaps": "ConfigMap", "secrets": "Secret"}[plural]
    text = "Forbidden: field is immutable when `immutable` is set"
    for changed, fault in ((change, f"{field}: {text}"), ({"immutable": False}, f"immutable: {text}")):
        answer = await api.patch(f"{path}/x", changed)
        assert (answer.status, answer.message) == (422, f'{kind} "x" is invalid: {fault}')
    assert (await api.patch(f"{path}/x", {"metadata": {"labels": {"a": "b"}}})).status == 200


async def test_the_type_of_a_secret_stays(api: Any) -> None:
    path = f"{CORE}/secrets"
    await api.create(path, {"metadata": {"name": "x"}, "type": "a.b/c"})
    for kind in ({"type": "a.b/d"}, {}):
        answer = await api("PUT", f"{path}/x", {"metadata": {"name": "x"}, **kind})
        fault = f'type: Invalid value: "{kind.get("type", "Opaque")}": field is immutable'
        assert (answer.status, answer.message) == (422, f'Secret "x" is invalid: {fault}')
    same = await api.put(f"{path}/x", {"metadata": {"name": "x"}, "type": "a.b/c", "data": {"a": "Yg=="}})
    assert same["data"] == {"a": "Yg=="}


async def test_a_quota_counts_through_its_status_only(api: Any) -> None:
    path = f"{CORE}/resourcequotas"
    hard = {"pods": "10", "cpu": "2"}
    used = {"hard": hard, "used": {"pods": "1", "cpu": "1"}}
    made = await api.create(path, {"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": used})
    assert made["status"] == {}
    made["metadata"].pop("resourceVersion")
    other = {**made, "spec": {"hard": {"pods": "11"}}}
    after = await api.put(f"{path}/q/status", {**other, "status": used})
    assert (after["spec"], after["status"]) == ({"hard": hard}, used)
    after = await api.put(f"{path}/q", {**other, "status": {}})
    assert (after["spec"], after["status"]) == (other["spec"], used)
    assert "generation" not in after["metadata"]


async def test_the_scopes_of_a_quota_stay(api: Any) -> None:
    path = f"{CORE}/resourcequotas"
    spec = {"hard": {"pods": "1"}, "scopes": ["BestEffort"]}
    made = await api.create(path, {"metadata": {"name": "q"}, "spec": spec})
    answer = await api("PUT", f"{path}/q", {**made, "spec": {"hard": {"pods": "1"}}})
    assert (answer.status, answer.message) == (
        422, 'ResourceQuota "q" is invalid: spec.scopes: Invalid value: null: field is immutable'
    )  # fmt: skip
