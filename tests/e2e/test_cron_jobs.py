"""CronJobs by the clock on the wall: one of each way to treat a Job that is still running."""

from __future__ import annotations

import pytest
from cluster import RunningCluster, eventually
from manifests import Object, container, pod

pytestmark = pytest.mark.e2e
POLICIES = {"concurrent": "Allow", "forbid": "Forbid", "replace": "Replace", "suspended": "Allow"}
MINUTES_S = 150
"""Long enough for two beginnings of a minute."""


def _cron_job(name: str) -> Object:
    template = pod("j", container(), restartPolicy="OnFailure", terminationGracePeriodSeconds=0)["spec"]
    job = {"spec": {"parallelism": 1, "completions": 1, "template": {"spec": template}}}
    return {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
        "spec": {
            "schedule": "*/1 * * * ?", "concurrencyPolicy": POLICIES[name], "suspend": name == "suspended",
            "jobTemplate": job,
        },
    }  # fmt: skip


def _active(it: RunningCluster, name: str) -> list[str]:
    status = it.json("get", f"cronjob/{name}").get("status", {})
    return sorted(one["name"] for one in status.get("active", ()))


def test_what_becomes_of_a_job_that_runs_on(newest: RunningCluster) -> None:
    it = newest
    it.apply(*(_cron_job(name) for name in POLICIES))
    first = {name: eventually(lambda name=name: _active(it, name), 90) for name in ("forbid", "replace")}  # type: ignore[misc]
    assert [len(names) for names in first.values()] == [1, 1]
    eventually(lambda: len(_active(it, "concurrent")) >= 2, MINUTES_S)
    eventually(lambda: _active(it, "replace") not in ([], first["replace"]), 20)
    assert len(_active(it, "replace")) == 1
    assert it.try_kubectl("get", f"job/{first['replace'][0]}").code != 0
    assert _active(it, "forbid") == first["forbid"]
    assert _active(it, "suspended") == []
    owned: dict[str, list[str]] = {}
    for job in it.json("get", "jobs")["items"]:
        owned.setdefault(job["metadata"]["ownerReferences"][0]["name"], []).append(job["metadata"]["name"])
        assert job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"].endswith("Z")
    assert {name: len(jobs) for name, jobs in owned.items() if name != "concurrent"} == {
        "forbid": 1,
        "replace": 1,
    }
    it.kubectl("delete", "cronjob", *POLICIES)
    eventually(lambda: it.json("get", "jobs")["items"] == [], 30)
