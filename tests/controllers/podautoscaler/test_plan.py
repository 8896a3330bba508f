from datetime import UTC, datetime, timedelta

import pytest

from tiphys.controllers.podautoscaler.plan import NoMetrics, Past, decide, measure

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pods(count, ready=True, cpu="100m"):
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    asked = {"requests": {"cpu": cpu}} if cpu else {}
    return [
        {
            "metadata": {"name": f"p{number}"},
            "spec": {"containers": [{"name": "c", "resources": asked}]},
            "status": {"phase": "Running", "conditions": [condition]},
        }
        for number in range(count)
    ]


def metric(percent=None, value=None):
    target = {"type": "Utilization", "averageUtilization": percent}
    if value:
        target = {"type": "AverageValue", "averageValue": value}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


@pytest.mark.parametrize(
    ("case", "wish", "used", "expected"),
    [
        ("twice too much", metric(50), [100, 100], 4),
        ("half", metric(50), [25, 25], 1),
        ("near enough", metric(50), [53, 53], 2),
        ("by value", metric(value="20m"), [60, 60], 6),
        ("one unknown, growing", metric(50), [200], 4),
        ("one unknown, shrinking", metric(50), [10], 2),
    ],
)
def test_measure(case, wish, used, expected):
    usage = {f"p{number}": {"cpu": amount} for number, amount in enumerate(used)}
    assert measure(wish, pods(2), usage, 2).replicas == expected, case


def test_what_is_told():
    found = measure(metric(50), pods(1), {"p0": {"cpu": 80}}, 1).status
    assert found["resource"]["current"] == {"averageValue": "80m", "averageUtilization": 80}


@pytest.mark.parametrize(
    ("case", "running", "usage"),
    [
        ("no pods", [], {}),
        ("nothing measured", pods(1), {}),
        ("nobody ready", pods(1, ready=False), {"p0": {"cpu": 1}}),
        ("nothing asked for", pods(1, cpu=None), {"p0": {"cpu": 1}}),
    ],
)
def test_no_metrics(case, running, usage):
    with pytest.raises(NoMetrics):
        measure(metric(50), running, usage, 1)


def scaler(least=1, most=100, **behavior):
    return {"spec": {"minReplicas": least, "maxReplicas": most, "behavior": behavior}}


@pytest.mark.parametrize(
    ("case", "bounds", "replicas", "proposed", "expected"),
    [
        ("up", scaler(), 2, 5, (5, "")),
        ("no faster than four or twice", scaler(), 2, 50, (6, "ScaleUpLimit")),
        ("doubled", scaler(), 10, 50, (20, "ScaleUpLimit")),
        ("most", scaler(most=3), 2, 5, (3, "TooManyReplicas")),
        ("least", scaler(least=2), 5, 1, (2, "TooFewReplicas")),
        ("off", scaler(scaleUp={"selectPolicy": "Disabled"}), 2, 5, (2, "ScaleUpLimit")),
        ("same", scaler(), 3, 3, (3, "")),
    ],
)
def test_decide(case, bounds, replicas, proposed, expected):
    assert decide(bounds, replicas, proposed, Past(), NOW) == expected, case


def test_it_shrinks_only_after_five_quiet_minutes():
    past = Past()
    assert decide(scaler(), 8, 8, past, NOW) == (8, "")
    assert decide(scaler(), 8, 2, past, NOW + timedelta(seconds=60)) == (8, "")
    assert decide(scaler(), 8, 2, past, NOW + timedelta(seconds=301)) == (2, "")


def test_what_was_changed_lately_counts_for_the_pace():
    rules = {"policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}]}
    past = Past(changes=[(NOW - timedelta(seconds=30), 2)])
    assert decide(scaler(scaleUp=rules), 4, 9, past, NOW) == (5, "ScaleUpLimit")
