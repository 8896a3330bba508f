"""Back-off and restart decisions."""

import pytest
from pods import NOW, ago, container, ended, pod, running

from tiphys.kubelet.restarts import (
    BackoffEntry,
    Pace,
    format_delay,
    next_backoff,
    should_restart,
    wait_left_s,
)


@pytest.mark.parametrize(
    ("entry", "ended_at", "delay"),
    [
        pytest.param(None, ago(0), 10, id="first"),
        pytest.param(BackoffEntry(10, ago(30)), ago(1), 20, id="doubles"),
        pytest.param(BackoffEntry(160, ago(30)), ago(1), 300, id="is capped"),
        pytest.param(BackoffEntry(300, ago(900)), ago(0), 10, id="forgotten after ten good minutes"),
    ],
)
def test_next_backoff(entry, ended_at, delay):
    assert next_backoff(entry, NOW, ended_at) == BackoffEntry(delay, NOW)


@pytest.mark.parametrize(("delay", "following"), [(None, 2), (2, 4), (40, 60), (60, 60)])
def test_a_pace_of_the_nodes_own(delay, following):
    entry = None if delay is None else BackoffEntry(delay, ago(30))
    assert next_backoff(entry, NOW, ago(1), Pace(2, 60)) == BackoffEntry(following, NOW)


@pytest.mark.parametrize(
    ("entry", "ended_at", "left"),
    [
        (None, ago(0), 0),
        (BackoffEntry(10, ago(20)), ago(4), 6),
        (BackoffEntry(10, ago(20)), ago(15), 0),
        (BackoffEntry(300, ago(900)), ago(0), 0),
    ],
)
def test_wait_left(entry, ended_at, left):
    assert wait_left_s(entry, ended_at, NOW) == left


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s")])
def test_format_delay(seconds, text):
    assert format_delay(seconds) == text


@pytest.mark.parametrize(
    ("policy", "what", "expected"),
    [
        ("Always", None, True),
        ("Never", None, True),
        ("Always", ended(), True),
        ("OnFailure", ended(), False),
        ("OnFailure", ended(code=1), True),
        ("Never", ended(code=1), False),
        ("Always", running(), False),
    ],
)
def test_should_restart(policy, what, expected):
    assert should_restart(pod(restartPolicy=policy), container(), what) is expected


def test_init_containers_restart_only_after_failures():
    assert should_restart(pod(), container(), ended(code=1), init=True)
    assert not should_restart(pod(), container(), ended(), init=True)
    assert should_restart(pod(), container(restartPolicy="Always"), ended(), init=True)


@pytest.mark.parametrize(
    ("operator", "code", "expected"), [("In", 5, True), ("In", 6, False), ("NotIn", 6, True)]
)
def test_rules_decide_before_the_policy(operator, code, expected):
    rule = {"action": "Restart", "exitCodes": {"operator": operator, "values": [5]}}
    spec = container(restartPolicy="Never", restartPolicyRules=[rule])
    assert should_restart(pod(), spec, ended(code=code)) is expected
