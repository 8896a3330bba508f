"""How many may go."""

from datetime import UTC, datetime

import pytest

from tiphys.controllers.disruption.plan import counts_pods, events, failed_status, overdue, plan

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def pod(name, ready="True"):
    return {
        "metadata": {"name": name},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    }


@pytest.mark.parametrize(
    ("spec", "ready", "unready", "expected", "healthy", "desired", "allowed"),
    [
        ({"minAvailable": 2}, 3, 0, 3, 3, 2, 1),
        ({"minAvailable": 2}, 2, 1, 3, 2, 2, 0),
        ({"minAvailable": "50%"}, 3, 0, 3, 3, 2, 1),
        ({"maxUnavailable": 1}, 3, 0, 3, 3, 2, 1),
        ({"maxUnavailable": 1}, 2, 1, 3, 2, 2, 0),
        ({"maxUnavailable": "100%"}, 3, 0, 3, 3, 0, 3),
        ({"minAvailable": 0}, 0, 0, 0, 0, 0, 0),
        ({}, 3, 0, 3, 3, 0, 0),
    ],
)
def test_counts(spec, ready, unready, expected, healthy, desired, allowed):
    pods = [pod(f"r{n}") for n in range(ready)] + [pod(f"u{n}", "False") for n in range(unready)]
    status = plan({"metadata": {}, "spec": spec}, pods, expected, NOW).status
    found = tuple(status[key] for key in ("currentHealthy", "desiredHealthy", "disruptionsAllowed"))
    assert found == (healthy, desired, allowed)


def test_a_granted_eviction_counts_until_it_happens_or_is_too_old():
    budget = {
        "metadata": {},
        "spec": {"minAvailable": 1},
        "status": {"disruptedPods": {"a": "2026-01-01T00:00:30Z"}},
    }
    planned = plan(budget, [pod("a"), pod("b")], 2, NOW)
    assert (planned.status["currentHealthy"], planned.recheck_s) == (1, 90)
    budget["status"]["disruptedPods"]["a"] = "2025-12-31T00:00:00Z"
    assert plan(budget, [pod("a"), pod("b")], 2, NOW).status["currentHealthy"] == 2


@pytest.mark.parametrize(
    ("granted", "expected"),
    [("2026-01-01T00:00:30Z", []), ("2025-12-31T23:59:00Z", []), ("2025-12-31T23:58:59Z", ["a"])],
    ids=["lately", "two minutes ago", "longer ago"],
)
def test_an_eviction_that_did_not_happen_is_told(granted, expected):
    budget = {"metadata": {}, "spec": {}, "status": {"disruptedPods": {"a": granted, "c": granted}}}
    leaving = {**pod("c"), "metadata": {"name": "c", "deletionTimestamp": granted}}
    assert [
        one["metadata"]["name"] for one in overdue(budget, [pod("a"), pod("b"), leaving], NOW)
    ] == expected


def test_what_people_are_told():
    selector = {
        "matchLabels": {"app": "x"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}],
    }
    budget = {"metadata": {}, "spec": {"maxUnavailable": 1, "selector": selector}}
    assert events(budget, [], 0) == [("Normal", "NoPods", "No matching pods found")]
    assert events(budget, [pod("a")], 0) == []
    ((type_, reason, text),) = events(budget, [pod("a")], 1)
    assert (type_, reason) == ("Warning", "UnmanagedPods")
    assert text == (
        "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map[string]string"
        "{app: x,},MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:tier,Operator:In,"
        "Values:[a b],},},}) were found to be unmanaged. As a result, the status of the PDB cannot be "
        "calculated correctly, which may result in undefined behavior. To account for these pods please set "
        '".spec.minAvailable" field of the PDB to an integer value.'
    )
    assert events({**budget, "spec": {"minAvailable": 1, "selector": {}}}, [pod("a")], 1) == []


@pytest.mark.parametrize(
    ("spec", "number"),
    [
        ({"minAvailable": 2}, True),
        ({"minAvailable": "50%"}, False),
        ({"maxUnavailable": 1}, False),
        ({"maxUnavailable": "10%"}, False),
        ({}, True),
    ],
)
def test_when_it_does_not_matter_what_controllers_want(spec, number):
    assert counts_pods({"spec": spec}) is number


def test_nothing_may_go_while_the_wish_is_unknown():
    budget = {
        "metadata": {"generation": 3},
        "spec": {"minAvailable": 0},
        "status": {"disruptionsAllowed": 2, "currentHealthy": 4},
    }
    status = failed_status(budget, "no idea", NOW)
    assert (status["disruptionsAllowed"], status["currentHealthy"]) == (0, 4)
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"], condition["message"]) == (
        "False",
        "SyncFailed",
        "no idea",
    )
    recovered = plan({**budget, "status": status}, [pod("a")], 1, NOW).status["conditions"]
    assert [(one["reason"], one["message"]) for one in recovered] == [("SufficientPods", "")]
