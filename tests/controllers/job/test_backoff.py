"""How long a Job waits after failures, and what it remembers of them."""

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.controllers.job.backoff import Backoff, advance, ended_at, left_s

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds_ago):
    return (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(ended_ago, **meta):
    state = {"terminated": {"finishedAt": at(ended_ago)}}
    return {
        "metadata": {"creationTimestamp": at(500), **meta},
        "status": {"containerStatuses": [{"state": state}]},
    }


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("before", "succeeded", "failed", "after"),
    [
        pytest.param(Backoff(), [], [], Backoff(), id="nothing"),
        pytest.param(Backoff(), [], [9], Backoff(1, ago(9)), id="one failure"),
        pytest.param(Backoff(), [], [9, 4], Backoff(2, ago(4)), id="two: the last counts"),
        pytest.param(Backoff(2, ago(60)), [], [5], Backoff(3, ago(5)), id="one more"),
        pytest.param(Backoff(2, ago(60)), [], [], Backoff(2, ago(60)), id="nothing new"),
        pytest.param(Backoff(2, ago(60)), [5], [], Backoff(), id="a success clears it"),
        pytest.param(Backoff(2, ago(60)), [5], [9], Backoff(), id="a failure before the success"),
        pytest.param(Backoff(2, ago(60)), [5], [9, 3], Backoff(1, ago(3)), id="a failure after it"),
    ],
)
def test_what_is_remembered(before, succeeded, failed, after):
    assert advance(before, [pod(one) for one in succeeded], [pod(one) for one in failed], NOW) == after


@pytest.mark.parametrize(
    ("record", "seconds"),
    [
        (Backoff(), 0),
        (Backoff(1, ago(0)), 10),
        (Backoff(1, ago(4)), 6),
        (Backoff(1, ago(11)), 0),
        (Backoff(2, ago(5)), 15),
        (Backoff(4, ago(0)), 80),
        (Backoff(7, ago(0)), 600),
        (Backoff(60, ago(0)), 600),
    ],
)
def test_how_long_to_wait(record, seconds):
    assert left_s(record, NOW) == seconds


RUNNING = {"state": {"running": {}}}
NOT_READY = [{"type": "Ready", "status": "False", "lastTransitionTime": at(7)}]


@pytest.mark.parametrize(
    ("meta", "status", "seconds_ago"),
    [
        pytest.param(
            {}, {"containerStatuses": [{"state": {"terminated": {"finishedAt": at(3)}}}]}, 3, id="end"
        ),
        pytest.param(
            {},
            {"containerStatuses": [{"state": {"terminated": {"finishedAt": at(n)}}} for n in (8, 3)]},
            3,
            id="the last of two",
        ),
        pytest.param(
            {},
            {"containerStatuses": [RUNNING], "conditions": NOT_READY},
            7,
            id="still running by its status: when it became unready",
        ),
        pytest.param(
            {"deletionTimestamp": at(-20), "deletionGracePeriodSeconds": 30}, {}, 10, id="when it was to go"
        ),
        pytest.param({"deletionTimestamp": at(4)}, {}, 4, id="to go at once"),
        pytest.param({}, {}, 500, id="nothing known: when it was made"),
    ],
)
def test_when_a_pod_ended(meta, status, seconds_ago):
    made = {"metadata": {"creationTimestamp": at(500), **meta}, "status": status}
    assert ended_at(made, NOW) == ago(seconds_ago)
