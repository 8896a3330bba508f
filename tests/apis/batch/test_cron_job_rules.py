"""What may not be in CronJobs: every way in which a schedule or a time zone can be wrong."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any, SupportsIndex

import pytest

from tiphys.apis.batch import schedule_faults

Body = dict[str, Any]

POD = {"containers": [{"name": "c", "image": "nginx"}], "restartPolicy": "Never"}


def cron(schedule: str = "* * * * *", *, job: Body | None = None, name: str = "x", **spec: Any) -> Body:
    template = {"spec": {"template": {"spec": POD}, **(job or {})}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"schedule": schedule, "jobTemplate": template, **spec},
    }


GOOD = [
    "*/5 * * * *",
    "0 0 1,15 * ?",
    "10-50/10 0-23 * jan-MAR sun-fri",
    "5/15 * * * *",
    "1,,2 * * * *",
    "@hourly",
    "@every 1h30m",
    "@every 1.5s",
]
WRONG = {
    "* * * *": "expected exactly 5 fields, found 4: [* * * *]",
    "a * * * *": 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax',
    f"{'9' * 20} * * * *": f'failed to parse int from {"9" * 20}: strconv.Atoi: parsing "{"9" * 20}": value out of range',
    "60 * * * *": "end of range (60) above maximum (59): 60",
    "* 24 * * *": "end of range (24) above maximum (23): 24",
    "* * 0 * *": "beginning of range (0) below minimum (1): 0",
    "* * * 13 *": "end of range (13) above maximum (12): 13",
    "* * * * 7": "end of range (7) above maximum (6): 7",
    "5-3 * * * *": "beginning of range (5) beyond end of range (3): 5-3",
    "1-2-3 * * * *": "too many hyphens: 1-2-3",
    "1/2/3 * * * *": "too many slashes: 1/2/3",
    "*/0 * * * *": "step of range should be a positive number: */0",
    "*/-1 * * * *": "negative number (-1) not allowed: -1",
    "@never": "unrecognized descriptor: @never",
    "@every 5": 'failed to parse duration @every 5: time: missing unit in duration "5"',
    "@every 5d": 'failed to parse duration @every 5d: time: unknown unit "d" in duration "5d"',
    "@every x": 'failed to parse duration @every x: time: invalid duration "x"',
}


@pytest.mark.parametrize("schedule", GOOD)
def test_schedules(schedule: str, faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(cron(schedule)) == []


@pytest.mark.parametrize(("schedule", "text"), WRONG.items(), ids=WRONG)
def test_wrong_schedules(schedule: str, text: str, faults_of_new: Callable[[Body], list[str]]) -> None:
    shown = schedule.replace("\\", "\\\\")
    assert faults_of_new(cron(schedule)) == [f'spec.schedule: Invalid value: "{shown}": {text}']


UNKNOWN = "unknown time zone"
ZONES: dict[str, list[str]] = {
    "Europe/Berlin": [],
    "UTC": [],
    "": ["timeZone must be nil or non-empty string"],
    "Local": ["timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"],
    "Europe/Narnia": [f"{UNKNOWN} Europe/Narnia"],
    "../UTC": [f"{UNKNOWN} ../UTC"],
    "-x": [f"{UNKNOWN} -x"],
    "Europe//Berlin": [f"{UNKNOWN} Europe//Berlin"],
}


@pytest.mark.parametrize(("zone", "texts"), ZONES.items(), ids=ZONES)
def test_time_zones(zone: str, texts: list[str], faults_of_new: Callable[[Body], list[str]]) -> None:
    expected = [f'spec.timeZone: Invalid value: "{zone}": {text}' for text in texts]
    assert faults_of_new(cron(timeZone=zone)) == expected


INSIDE = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
NEW: dict[str, tuple[Body, list[str]]] = {
    "zone in the schedule": (
        cron("CRON_TZ=Nowhere * * * * *"),
        [
            'spec.schedule: Invalid value: "CRON_TZ=Nowhere * * * * *": provided bad location Nowhere: unknown time zone Nowhere',
            f'spec.schedule: Invalid value: "CRON_TZ=Nowhere * * * * *": {INSIDE}',
        ],
    ),
    "all at once": (
        cron("", startingDeadlineSeconds=-1, successfulJobsHistoryLimit=-1, failedJobsHistoryLimit=-1),
        [
            "spec.schedule: Required value",
            "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.successfulJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
            "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
        ],
    ),
    "selector of its jobs": (
        cron(job={"selector": {"matchLabels": {"a": "b"}}, "manualSelector": True}),
        [
            'spec.jobTemplate.spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: `selector` will be auto-generated',
            'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"',
        ],
    ),
    "jobs": (
        cron(job={"backoffLimit": -1}),
        ["spec.jobTemplate.spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"],
    ),
    "name": (
        cron(name="x" * 53),
        [f'metadata.name: Invalid value: "{"x" * 53}": must be no more than 52 characters'],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), NEW.values(), ids=NEW)
def test_new(obj: Body, expected: list[str], faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(obj) == expected


ZONED = "TZ=UTC * * * * *"
CHANGED: dict[str, tuple[Body, Body, list[str]]] = {
    "long name of old": (cron(name="x" * 53), cron(name="x" * 53), []),
    "zone that was there": (cron(ZONED), cron("TZ=UTC 1 * * * *"), []),
    "zone put in": (cron(), cron(ZONED), [f'spec.schedule: Invalid value: "{ZONED}": {INSIDE}']),
    "two zones": (
        cron(ZONED),
        cron(ZONED, timeZone="UTC"),
        [
            f'spec.schedule: Invalid value: "{ZONED}": cannot use both timeZone field and TZ or CRON_TZ in schedule'
        ],
    ),
    "unknown zone of old": (cron(timeZone="X"), cron(timeZone="X"), []),
    "unknown zone": (
        cron(timeZone="X"),
        cron(timeZone="Y"),
        ['spec.timeZone: Invalid value: "Y": unknown time zone Y'],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), CHANGED.values(), ids=CHANGED)
def test_changed(
    old: Body, new: Body, expected: list[str], faults_of_change: Callable[[Body, Body], list[str]]
) -> None:
    assert faults_of_change(old, new) == expected


def test_zone_in_the_schedule_that_stays_is_warned_of(
    warnings_of: Callable[[Body], list[str]], warnings_of_change: Callable[[Body, Body], list[str]]
) -> None:
    assert warnings_of_change(cron(ZONED), cron(ZONED)) == [
        "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
        "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
    ]
    assert warnings_of_change(cron(ZONED), cron()) == []
    assert warnings_of(cron(ZONED)) == []


class Copied(str):
    """A text that counts the characters that are copied out of it."""

    __slots__ = ()
    characters = 0

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        part = Copied(super().__getitem__(key))
        Copied.characters += len(part)
        return part


def test_durations_are_read_without_copying_what_follows() -> None:
    text = Copied("1s" * 500)
    schedule_faults._check_duration(text)
    assert Copied.characters <= len(text)
