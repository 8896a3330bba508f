"""Bounds, pace and calm: what is done with a proposal, and what is said about it."""

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.controllers.podautoscaler.plan import Past, decide, tolerance_of
from tiphys.controllers.podautoscaler.replicas import Tolerance

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def scaler(least=1, most=100, **behavior):
    spec = {"minReplicas": least, "maxReplicas": most}
    return {"spec": spec | ({"behavior": behavior} if behavior else {})}


RULES = {"scaleUp": {}, "scaleDown": {}}


@pytest.mark.parametrize(
    ("case", "bounds", "replicas", "proposed", "expected"),
    [
        ("up", scaler(), 2, 4, (4, "DesiredWithinRange")),
        ("no faster than to four", scaler(), 1, 50, (4, "ScaleUpLimit")),
        ("or twice", scaler(), 10, 50, (20, "ScaleUpLimit")),
        ("with rules by four", scaler(**RULES), 2, 50, (6, "ScaleUpLimit")),
        ("with rules or twice", scaler(**RULES), 10, 50, (20, "ScaleUpLimit")),
        ("most", scaler(most=3), 2, 4, (3, "TooManyReplicas")),
        ("least", scaler(least=2), 5, 1, (2, "TooFewReplicas")),
        ("off", scaler(scaleUp={"selectPolicy": "Disabled"}), 2, 5, (2, "ScaleUpLimit")),
        ("same", scaler(), 3, 3, (3, "DesiredWithinRange")),
        ("nearest", scaler(scaleUp={"selectPolicy": "Min", "policies": [
            {"type": "Pods", "value": 1, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15}]}), 8, 20, (9, "ScaleUpLimit")),
        ("down by pods", scaler(scaleDown={"policies": [
            {"type": "Pods", "value": 2, "periodSeconds": 15}]}), 8, 1, (6, "ScaleDownLimit")),
    ],
)  # fmt: skip
def test_decide(case, bounds, replicas, proposed, expected):
    verdict = decide(bounds, replicas, proposed, Past(), NOW)
    assert (verdict.replicas, verdict.limited[1]) == expected, case
    assert verdict.limited[0] == ("False" if expected[1] == "DesiredWithinRange" else "True")


def test_it_shrinks_only_after_five_quiet_minutes():
    past = Past()
    first = decide(scaler(), 8, 8, past, NOW)
    assert (first.replicas, first.able[1]) == (8, "ReadyForNewScale")
    calm = decide(scaler(), 8, 2, past, NOW + timedelta(seconds=60))
    assert (calm.replicas, calm.able[1]) == (8, "ScaleDownStabilized")
    assert decide(scaler(), 8, 2, past, NOW + timedelta(seconds=301)).replicas == 2


@pytest.mark.parametrize(
    ("earlier", "replicas", "proposed", "expected"),
    [
        pytest.param(10, 4, 5, (8, "ScaleDownStabilized", "ScaleUpLimit"), id="more was wanted: it grows on"),
        pytest.param(6, 4, 2, (6, "ScaleDownStabilized", "DesiredWithinRange"), id="though less is now"),
        pytest.param(3, 4, 5, (5, "ReadyForNewScale", "DesiredWithinRange"), id="less was wanted"),
    ],
)
def test_without_rules_the_highest_recent_proposal_counts(earlier, replicas, proposed, expected):
    past = Past(proposals=[(NOW - timedelta(seconds=300), earlier)])
    found = decide(scaler(), replicas, proposed, past, NOW)
    assert (found.replicas, found.able[1], found.limited[1]) == expected
    with_rules = decide(scaler(scaleDown={}), replicas, proposed, Past(proposals=[(NOW, earlier)]), NOW)
    assert with_rules.replicas in (proposed, replicas)


def test_a_change_that_is_as_old_as_the_period_counts_no_more():
    rules = {"policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}]}
    past = Past(changes=[(NOW - timedelta(seconds=60), 2)])
    assert decide(scaler(scaleUp=rules), 4, 9, past, NOW).replicas == 7


def test_it_grows_when_told_to_wait_only_after_that():
    rules = scaler(scaleUp={"stabilizationWindowSeconds": 60})
    past = Past()
    decide(rules, 2, 2, past, NOW)
    calm = decide(rules, 2, 4, past, NOW + timedelta(seconds=30))
    assert (calm.replicas, calm.able[1]) == (2, "ScaleUpStabilized")
    assert decide(rules, 2, 4, past, NOW + timedelta(seconds=61)).replicas == 4


def test_what_was_changed_lately_counts_for_the_pace():
    rules = {"policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}]}
    past = Past(changes=[(NOW - timedelta(seconds=30), 2)])
    verdict = decide(scaler(scaleUp=rules), 4, 9, past, NOW)
    assert (verdict.replicas, verdict.limited[1]) == (5, "ScaleUpLimit")


@pytest.mark.parametrize(
    ("rules", "tolerance"),
    [({}, Tolerance(0.1, 0.1)), ({"scaleUp": {"tolerance": "0.05"}}, Tolerance(0.05, 0.1)),
     ({"scaleDown": {"tolerance": "500m"}}, Tolerance(0.1, 0.5))],
)  # fmt: skip
def test_tolerance(rules, tolerance):
    assert tolerance_of(scaler(**rules)) == tolerance


def test_the_tolerance_of_each_direction():
    odd = Tolerance(up=0.5, down=0.0)
    assert odd.covers(1.5)
    assert not odd.covers(1.51)
    assert not odd.covers(0.99)


@pytest.mark.parametrize(
    ("changes", "replicas", "expected"),
    [
        pytest.param([(30, 2), (20, -1)], 4, 6, id="what was taken away may come back"),
        pytest.param([(30, 9)], 10, 10, id="more than is allowed now: it does not shrink for it"),
        pytest.param([(90, 9)], 10, 13, id="too long ago"),
    ],
)
def test_the_pace_counts_changes_both_ways(changes, replicas, expected):
    rules = {"policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}]}
    past = Past(changes=[(NOW - timedelta(seconds=ago), by) for ago, by in changes])
    assert decide(scaler(most=50, scaleUp=rules), replicas, 40, past, NOW).replicas == expected


def test_the_slower_way_down_never_grows():
    rules = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}], "stabilizationWindowSeconds": 0}
    past = Past(changes=[(NOW - timedelta(seconds=10), -5)])
    assert decide(scaler(scaleDown=rules), 4, 1, past, NOW).replicas == 4


@pytest.mark.parametrize(("most", "why"), [(8, "TooManyReplicas"), (9, "ScaleUpLimit")])
def test_a_pace_that_leads_to_the_most_is_no_limit(most, why):
    verdict = decide(scaler(most=most, scaleUp=None), 4, 20, Past(), NOW)
    assert (verdict.replicas, verdict.limited[1]) == (8, why)
