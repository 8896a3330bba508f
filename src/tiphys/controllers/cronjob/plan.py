"""One look at a CronJob: a Job to start, Jobs to stop or forget, and when to look again. Pure.

Source: batch/v1 CronJob.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tiphys.apimachinery.clock import parse_time, rfc3339
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, copy_object, owner_reference
from tiphys.controllers import podstate
from tiphys.controllers.cronjob import schedule
from tiphys.controllers.job.plan import finished

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_TOO_MANY = 100
_NEVER = "time difference between two schedules is less than 1 second"


@dataclass(slots=True)
class Plan:
    status: Object = field(default_factory=dict)
    create: Object | None = None
    delete: list[Object] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    recheck_s: float | None = None


def plan(cron: Object, jobs: Sequence[Object], now: datetime) -> Plan:
    """Plan; ``jobs`` are those that the CronJob owns."""
    result = Plan(status=_status(cron, jobs), events=_ended(cron, jobs))
    result.delete = _history(cron, jobs)
    spec = cron["spec"]
    if podstate.is_deleting(cron) or spec.get("suspend"):
        return result
    try:
        times = schedule.parse(spec["schedule"], spec.get("timeZone") or "")
    except ValueError as error:
        zone = "unknown time zone" in str(error)
        reason = "UnknownTimeZone" if zone else "UnparseableSchedule"
        start = (
            f'invalid timeZone: "{spec.get("timeZone")}"'
            if zone
            else f'unparseable schedule: "{spec["schedule"]}" '
        )
        result.events.append(("Warning", reason, f"{start}: {error}"))
        return result
    due, upcoming = _due(result, cron, times, now)
    result.recheck_s = (upcoming - now).total_seconds() + 0.1 if upcoming else None
    if due is not None:
        _start(result, cron, jobs, due)
    return result


def _due(
    result: Plan, cron: Object, times: schedule.Schedule | schedule.Every, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """Return the latest time that was missed since the last start, and the next to come."""
    last = (cron.get("status") or {}).get("lastScheduleTime") or cron["metadata"]["creationTimestamp"]
    since = parse_time(last)
    deadline_s = cron["spec"].get("startingDeadlineSeconds")
    if deadline_s is not None:
        since = max(since, now - timedelta(seconds=deadline_s))
    due, moment, missed = None, times.next(since), 0
    if moment is None:
        text = f"invalid schedule: {cron['spec']['schedule']} : {_NEVER}"
        result.events.append(("Warning", "InvalidSchedule", text))
    while moment is not None and moment <= now and missed <= _TOO_MANY:
        due, missed = moment, missed + 1
        moment = times.next(moment)
    if due is not None and missed > _TOO_MANY:
        message = (
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        )
        result.events.append(("Warning", "TooManyMissedTimes", message))
        due = times.last(due, now)
        moment = times.next(due)
    return due, moment


def _start(result: Plan, cron: Object, jobs: Sequence[Object], due: datetime) -> None:
    name = f"{cron['metadata']['name']}-{int(due.timestamp()) // 60}"
    if any(job["metadata"]["name"] == name for job in jobs):
        return
    running = {ref["uid"] for ref in result.status.get("active") or ()}
    active = [job for job in jobs if job["metadata"]["uid"] in running]
    policy = cron["spec"].get("concurrencyPolicy") or "Allow"
    if active and policy == "Forbid":
        message = "Not starting job because prior execution is running and concurrency policy is Forbid"
        result.events.append(("Normal", "JobAlreadyActive", message))
        return
    if policy == "Replace":
        result.delete += [job for job in active if job not in result.delete]
        result.status.pop("active", None)
    result.create = build_job(cron, due, name)
    result.status["lastScheduleTime"] = rfc3339(due)


def build_job(cron: Object, due: datetime, name: str) -> Object:
    """Build the Job of one scheduled time; its name makes a second start of the same time impossible."""
    template = copy_object(cron["spec"]["jobTemplate"])
    source = template.get("metadata") or {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": cron["metadata"]["namespace"],
            "labels": dict(source.get("labels") or {}),
            "annotations": {**(source.get("annotations") or {}), SCHEDULED_AT: _in_zone(due, cron)},
            "ownerReferences": [owner_reference(cron)],
        },
        "spec": template["spec"],
    }


def _in_zone(moment: datetime, cron: Object) -> str:
    """Say a time as the clocks of the CronJob's zone do."""
    zone = cron["spec"].get("timeZone")
    text = moment.astimezone(ZoneInfo(zone) if zone else UTC).isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _ended(cron: Object, jobs: Sequence[Object]) -> list[tuple[str, str, str]]:
    """Return what became of the jobs that ran at the last look."""
    found = [
        (
            "Warning",
            "UnexpectedJob",
            f"Saw a job that the controller did not create or forgot: {job['metadata']['name']}",
        )
        for job in jobs
        if finished((job.get("status") or {}).get("conditions")) is None and not _is_scheduled(cron, job)
    ]
    known = {job["metadata"]["uid"]: job for job in jobs}
    for ref in (cron.get("status") or {}).get("active") or ():
        job = known.get(ref.get("uid", ""))
        if job is None:
            found.append(("Normal", "MissingJob", f"Active job went missing: {ref.get('name', '')}"))
            continue
        end = finished((job.get("status") or {}).get("conditions"))
        if end is not None:
            text = f"Saw completed job: {ref['name']}, condition: {end['type']}"
            found.append(("Normal", "SawCompletedJob", text))
    return found


def _is_scheduled(cron: Object, job: Object) -> bool:
    """True for a job that was started for a time of the schedule, not by hand."""
    known = {ref.get("uid") for ref in (cron.get("status") or {}).get("active") or ()}
    meta = job["metadata"]
    return meta["uid"] in known or SCHEDULED_AT in (meta.get("annotations") or {})


def _status(cron: Object, jobs: Sequence[Object]) -> Object:
    before = cron.get("status") or {}
    status = {key: before[key] for key in ("lastScheduleTime", "lastSuccessfulTime") if before.get(key)}
    active, ends = [], []
    for job in jobs:
        found = finished((job.get("status") or {}).get("conditions"))
        meta = job["metadata"]
        if found is None and _is_scheduled(cron, job):
            reference = {"kind": "Job", "apiVersion": "batch/v1", "namespace": meta["namespace"]}
            shown = {"name": meta["name"], "uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
            active.append({**reference, **shown})
        elif found is not None and found["type"] == "Complete" and job["status"].get("completionTime"):
            ends.append(job["status"]["completionTime"])
    if active:
        # Which jobs run matters, not every version they go through.
        known = {item.get("uid"): item for item in before.get("active") or ()}
        status["active"] = [
            known.get(item["uid"], item) for item in sorted(active, key=lambda ref: ref["name"])
        ]
    if ends:
        status["lastSuccessfulTime"] = max([*ends, status.get("lastSuccessfulTime", "")])
    return status


def _began(job: Object) -> tuple[bool, str, str]:
    """What finished jobs are sorted by: one that never began counts as the youngest."""
    start = job["status"].get("startTime") or ""
    return not start, start, job["metadata"]["name"]


def _history(cron: Object, jobs: Sequence[Object]) -> list[Object]:
    """Return the finished jobs beyond the limits, oldest first."""
    result: list[Object] = []
    for type_, limit in (
        ("Complete", cron["spec"].get("successfulJobsHistoryLimit", 3)),
        ("Failed", cron["spec"].get("failedJobsHistoryLimit", 1)),
    ):
        done = [
            job
            for job in jobs
            if (finished((job.get("status") or {}).get("conditions")) or {}).get("type") == type_
        ]
        done.sort(key=_began)
        result += done[: max(len(done) - limit, 0)]
    return result
