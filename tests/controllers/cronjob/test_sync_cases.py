"""A CronJob of every hour, looked at: does a Job start, which is stopped, how many then run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.controllers.cronjob.test_plan import cron, job

from tiphys.apimachinery.clock import rfc3339
from tiphys.controllers.cronjob import schedule
from tiphys.controllers.cronjob.plan import SCHEDULED_AT, plan

HOUR = datetime(2026, 5, 19, 10, tzinfo=UTC)
BEFORE, AFTER = HOUR - timedelta(minutes=1), HOUR + timedelta(minutes=1)
WEEK_AFTER = AFTER + timedelta(days=7)
PRIOR_BEFORE, PRIOR_AFTER = BEFORE - timedelta(hours=1), AFTER - timedelta(hours=1)
POLICIES = ("Allow", "Forbid", "Replace")
SHORT, MEDIUM, LONG = 10, 2 * 60 * 60, 1_000_000


def look(policy, deadline, before, now, *, suspend=False):
    """``before``: nothing, ``done`` or ``active``, of the hour before."""
    made = cron(policy=policy, schedule="0 * * * *", suspend=suspend)
    if deadline is not None:
        made["spec"]["startingDeadlineSeconds"] = deadline
    made["metadata"]["creationTimestamp"] = rfc3339(PRIOR_BEFORE if before else BEFORE)
    jobs = []
    if before:
        jobs = [job("old", "Complete" if before == "done" else "")]
        made["status"]["lastScheduleTime"] = rfc3339(PRIOR_AFTER)
    if before == "active":
        made["status"]["active"] = [{"name": "old", "uid": "uid-old"}]
    return plan(made, jobs, now)


# Policy, deadline, what ran before, when it is looked at; starts, stops, runs on, is warned.
CASES = {
    "never ran, not time": ("*", None, "", BEFORE, "   "),
    "never ran, time": ("*", None, "", AFTER, "+  "),
    "never ran, past the deadline": ("*", SHORT, "", AFTER + timedelta(minutes=SHORT + 1), "   "),
    "never ran, within the deadline": ("*", LONG, "", AFTER, "+  "),
    "ran, not time": ("*", None, "done", BEFORE, "   "),
    "ran, time": ("*", None, "done", AFTER, "+  "),
    "ran, past the deadline": ("*", SHORT, "done", AFTER, "   "),
    "ran, within the deadline": ("*", LONG, "done", AFTER, "+  "),
    "runs, not time": ("*", None, "active", BEFORE, "  1"),
    "runs, time, Allow": ("Allow", None, "active", AFTER, "+ 1"),
    "runs, time, Forbid": ("Forbid", None, "active", AFTER, "  1"),
    "runs, time, Replace": ("Replace", None, "active", AFTER, "+- "),
    "runs, past the deadline": ("*", SHORT, "active", AFTER, "  1"),
    "runs, within the deadline": ("Allow", LONG, "active", AFTER, "+ 1"),
    "long overdue, long deadline": ("*", LONG, "done", WEEK_AFTER, "+  !"),
    "long overdue, no deadline": ("*", None, "done", WEEK_AFTER, "+  !"),
    "long overdue, medium deadline": ("*", MEDIUM, "done", WEEK_AFTER, "+  "),
    "long overdue, short deadline": ("*", SHORT, "done", HOUR + timedelta(days=7, seconds=5), "+  "),
}


@pytest.mark.parametrize(
    ("name", "policy"),
    [(name, policy) for name, (only, *_) in CASES.items() for policy in POLICIES if only in ("*", policy)],
)
def test_what_a_look_does(name, policy):
    _, deadline, before, now, expected = CASES[name]
    found = look(policy, deadline, before, now)
    running = len(found.status.get("active") or ())
    said = f"{'+' if found.create else ' '}{'-' if found.delete else ' '}{running or ' '}"
    warned = "!" if any(kind == "Warning" for kind, *_ in found.events) else ""
    assert said + warned == expected
    suspended = look(policy, deadline, before, now, suspend=True)
    assert (suspended.create, suspended.delete, suspended.recheck_s) == (None, [], None)


def test_what_is_long_overdue_starts_once_for_its_last_time():
    found = look("Allow", None, "done", WEEK_AFTER)
    assert found.create is not None
    assert found.create["metadata"]["annotations"][SCHEDULED_AT] == rfc3339(HOUR + timedelta(days=7))


@pytest.mark.parametrize(
    ("text", "years", "last"),
    [
        ("0 0 * * 0", 3, datetime(2026, 5, 17, tzinfo=UTC)),
        ("30 6-16/4 * * 1-5", 1, datetime(2026, 5, 19, 6, 30, tzinfo=UTC)),
        ("0 0 1 * *", 12, datetime(2026, 5, 1, tzinfo=UTC)),
        ("* * 1 1 *", 1, datetime(2026, 1, 1, 23, 59, tzinfo=UTC)),
        ("*/5 * * * *", 1, datetime(2026, 5, 19, 10, tzinfo=UTC)),
    ],
)
def test_the_last_time_of_a_schedule_however_rare(text, years, last):
    known = schedule.parse(text).next(HOUR - timedelta(days=365 * years))
    assert schedule.parse(text).last(known, HOUR) == last
    made = cron(schedule=text)
    made["metadata"]["creationTimestamp"] = rfc3339(known - timedelta(minutes=1))
    found = plan(made, [], HOUR)
    assert found.status["lastScheduleTime"] == rfc3339(last)
    assert ("TooManyMissedTimes" in [reason for _, reason, _ in found.events]) is True


def test_of_finished_jobs_the_oldest_go_and_those_that_never_began_are_the_youngest():
    done = [job(name, "Complete") for name in ("a", "b", "c")]
    done[1]["status"]["startTime"] = "2026-01-01T00:00:00Z"
    done[2]["status"]["startTime"] = "2025-01-01T00:00:00Z"
    planned = plan(cron(suspend=True, successfulJobsHistoryLimit=1), done, HOUR)
    assert [one["metadata"]["name"] for one in planned.delete] == ["c", "b"]
