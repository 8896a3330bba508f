"""Which of several pods goes first."""

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.controllers.removal import rank_for_deletion

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds_ago):
    return (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(name, phase="Running", ready_s=None, node="n", age_s=100, restarts=0, cost=None):
    conditions = []
    if ready_s is not None:
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": at(ready_s)}]
    metadata = {"name": name, "uid": name, "creationTimestamp": at(age_s)}
    if cost is not None:
        metadata["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": cost}
    status = {"phase": phase, "conditions": conditions, "containerStatuses": [{"restartCount": restarts}]}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": status}


def names(pods):
    return [item["metadata"]["name"] for item in pods]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(pod("x", node=""), pod("y", "Pending"), id="unassigned before assigned"),
        pytest.param(pod("x", "Pending"), pod("y", "Unknown"), id="pending before unknown"),
        pytest.param(pod("x", "Unknown"), pod("y", "Running"), id="unknown before running"),
        pytest.param(pod("x"), pod("y", ready_s=5), id="unready before ready"),
        pytest.param(pod("x", cost="-5"), pod("y"), id="cheaper before dearer"),
        pytest.param(pod("x", ready_s=5), pod("y", ready_s=50), id="just ready before long ready"),
        pytest.param(pod("x", restarts=3), pod("y"), id="restarted before steady"),
        pytest.param(pod("x", age_s=5), pod("y", age_s=50), id="young before old"),
    ],
)
def test_ranking(first, second):
    for pods in ([first, second], [second, first]):
        assert [item["metadata"]["name"] for item in rank_for_deletion(pods, [])] == ["x", "y"]


def test_the_crowded_node_is_thinned_first():
    pods = [pod("a", ready_s=5, node="lonely"), pod("b", ready_s=5, node="full")]
    crowd = [*pods, pod("c", ready_s=5, node="full")]
    assert rank_for_deletion(pods, crowd)[0]["metadata"]["name"] == "b"


@pytest.mark.parametrize(
    ("first", "second", "order"),
    [
        pytest.param({"ready_s": 50}, {"ready_s": 60}, "xy", id="about as old: by uid"),
        pytest.param({"ready_s": 60}, {"ready_s": 50}, "xy", id="about as old, the other way: by uid still"),
        pytest.param({"ready_s": 600}, {"ready_s": 60}, "yx", id="much older stays"),
        pytest.param({"age_s": 100}, {"age_s": 110}, "xy", id="made at about the same time: by uid"),
        pytest.param({"age_s": 1000}, {"age_s": 110}, "yx", id="made long before: stays"),
        pytest.param({"ready_s": -1}, {"ready_s": 60}, "xy", id="ready in the future: newest of all"),
    ],
)
def test_ages_are_compared_by_magnitude(first, second, order):
    pods = [pod("x", **first), pod("y", **second)]
    for given in (pods, pods[::-1]):
        assert "".join(names(rank_for_deletion(given, now=NOW))) == order


def test_the_users_costs_may_not_count():
    pods = [pod("x", cost="5"), pod("y", cost="-5")]
    assert names(rank_for_deletion(pods)) == ["y", "x"]
    assert names(rank_for_deletion(pods, costs=False)) == ["x", "y"]
