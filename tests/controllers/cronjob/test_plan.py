"""What a look at a CronJob says of jobs that ran before it."""

from datetime import UTC, datetime

import pytest

from tiphys.controllers.cronjob.plan import SCHEDULED_AT, plan

NOW = datetime(2026, 1, 1, 0, 10, 30, tzinfo=UTC)


def cron(*active, policy="Allow", **spec):
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c", "namespace": "d", "uid": "u", "creationTimestamp": "2026-01-01T00:09:30Z"},
        "spec": {
            "schedule": "* * * * *",
            "concurrencyPolicy": policy,
            "jobTemplate": {"spec": {}},
            **spec,
        },
        "status": {"active": [{"name": name, "uid": f"uid-{name}"} for name in active]},
    }


def job(name, ended=""):
    conditions = (
        [{"type": ended, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}] if ended else []
    )
    meta = {"name": name, "namespace": "d", "uid": f"uid-{name}", "resourceVersion": "1"}
    return {"metadata": meta, "status": {"conditions": conditions}}


def said(planned):
    return [(reason, text) for _, reason, text in planned.events]


def test_ends_of_jobs_are_told_once():
    jobs = [job("a", "Complete"), job("b", "Failed"), job("c")]
    planned = plan(cron("a", "b", "c", "lost", suspend=True), jobs, NOW)
    assert said(planned) == [
        ("SawCompletedJob", "Saw completed job: a, condition: Complete"),
        ("SawCompletedJob", "Saw completed job: b, condition: Failed"),
        ("MissingJob", "Active job went missing: lost"),
    ]
    assert [one["name"] for one in planned.status["active"]] == ["c"]
    after = {**cron(suspend=True), "status": planned.status}
    assert said(plan(after, jobs, NOW)) == []


def test_a_replaced_job_is_not_missed():
    planned = plan(cron("c", policy="Replace"), [job("c")], NOW)
    assert planned.create is not None
    assert [one["metadata"]["name"] for one in planned.delete] == ["c"]
    assert "active" not in planned.status


@pytest.mark.parametrize(("policy", "starts"), [("Forbid", True), ("Replace", True), ("Allow", True)])
def test_a_job_that_somebody_made_by_hand_is_told_and_left_alone(policy, starts):
    planned = plan(cron(policy=policy), [job("by-hand")], NOW)
    told = "Saw a job that the controller did not create or forgot: by-hand"
    assert ("UnexpectedJob", told) in said(planned)
    assert planned.delete == []
    assert (planned.create is not None) is starts
    assert "active" not in planned.status


def test_a_job_of_the_schedule_counts_even_if_it_was_not_noted():
    made = job("c-1")
    made["metadata"]["annotations"] = {SCHEDULED_AT: "2026-01-01T00:09:00Z"}
    planned = plan(cron(policy="Forbid"), [made], NOW)
    assert [one["name"] for one in planned.status["active"]] == ["c-1"]
    assert planned.create is None


@pytest.mark.parametrize(
    ("zone", "said_at"),
    [
        (None, "2026-01-01T00:10:00Z"),
        ("Asia/Kolkata", "2026-01-01T05:40:00+05:30"),
        ("UTC", "2026-01-01T00:10:00Z"),
    ],
)
def test_a_job_says_when_it_was_due_by_the_clocks_of_its_zone(zone, said_at):
    planned = plan(cron(timeZone=zone), [], NOW)
    assert planned.create["metadata"]["annotations"] == {SCHEDULED_AT: said_at}
    assert planned.status["lastScheduleTime"] == "2026-01-01T00:10:00Z"


@pytest.mark.parametrize(
    ("spec", "reason", "start"),
    [
        ({"timeZone": "Mars/Sea"}, "UnknownTimeZone", 'invalid timeZone: "Mars/Sea": unknown time zone'),
        ({"schedule": "x"}, "UnparseableSchedule", 'unparseable schedule: "x" : expected exactly 5 fields'),
        (
            {"schedule": "0 0 31 2 *"}, "InvalidSchedule",
            "invalid schedule: 0 0 31 2 * : time difference between two schedules is less than 1 second",
        ),
    ],
)  # fmt: skip
def test_schedules_that_cannot_be_kept_are_told(spec, reason, start):
    planned = plan(cron(**spec), [], NOW)
    ((told, text),) = said(planned)
    assert told == reason
    assert text.startswith(start)
    assert planned.create is None


@pytest.mark.parametrize(
    ("schedule", "since", "due", "many"),
    [
        ("@every 7m", "2026-01-01T00:00:00Z", "2026-01-01T00:07:00Z", False),
        ("@every 7m", "2025-12-25T00:02:00Z", "2026-01-01T00:09:00Z", True),
        ("* * * * *", "2025-12-25T00:00:00Z", "2026-01-01T00:10:00Z", True),
        ("0 3 * * *", "2020-01-01T00:00:00Z", "2025-12-31T03:00:00Z", True),
    ],
)
def test_only_the_last_of_the_times_that_were_missed_is_made_up_for(schedule, since, due, many):
    """What strikes at a distance keeps its beat, however long nobody looked."""
    planned = plan({**cron(schedule=schedule), "status": {"lastScheduleTime": since}}, [], NOW)
    assert planned.status["lastScheduleTime"] == due
    assert [reason for reason, _ in said(planned)] == (["TooManyMissedTimes"] if many else [])
