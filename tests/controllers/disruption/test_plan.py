"""How many may go."""

from datetime import UTC, datetime

import pytest

from tiphys.controllers.disruption.plan import plan

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
