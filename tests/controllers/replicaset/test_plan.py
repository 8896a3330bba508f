"""How many pods, which go first, what the status says."""

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.controllers.replicaset.plan import plan, plan_status, rank_for_deletion, recheck_s

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds_ago):
    return (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def rs(replicas=3, **spec):
    return {
        "metadata": {"name": "rs", "namespace": "d", "uid": "u", "generation": 2},
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"a": "b"}}}, **spec},
    }


def pod(name, phase="Running", ready_s=None, node="n", age_s=100, restarts=0, cost=None, deleting=False):
    conditions = []
    if ready_s is not None:
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": at(ready_s)}]
    metadata = {"name": name, "labels": {"a": "b"}, "creationTimestamp": at(age_s)}
    if cost is not None:
        metadata["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": cost}
    if deleting:
        metadata["deletionTimestamp"] = at(1)
    status = {"phase": phase, "conditions": conditions, "containerStatuses": [{"restartCount": restarts}]}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": status}


@pytest.mark.parametrize(
    ("replicas", "pods", "create", "delete"),
    [
        pytest.param(3, [], 3, 0, id="all missing"),
        pytest.param(3, [pod("a")], 2, 0, id="some missing"),
        pytest.param(1, [pod("a"), pod("b"), pod("c")], 0, 2, id="too many"),
        pytest.param(1, [pod("a", "Failed")], 1, 0, id="a failed one does not count"),
        pytest.param(1, [pod("a", deleting=True)], 1, 0, id="one going away does not count"),
        pytest.param(1000, [], 500, 0, id="bounded burst"),
        pytest.param(None, [], 1, 0, id="one by default"),
    ],
)
def test_numbers(replicas, pods, create, delete):
    planned = plan(rs(replicas), pods)
    assert (planned.create, len(planned.delete)) == (create, delete)


def test_a_set_being_deleted_plans_nothing():
    owner = rs()
    owner["metadata"]["deletionTimestamp"] = at(0)
    assert plan(owner, []).create == 0


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


def test_status_counts():
    pods = [pod("a", ready_s=100), pod("b", ready_s=5), pod("c"), pod("d", deleting=True), pod("e", "Failed")]
    status = plan_status(rs(minReadySeconds=10), pods, NOW)
    assert status == {
        "replicas": 3,
        "fullyLabeledReplicas": 3,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "terminatingReplicas": 1,
        "observedGeneration": 2,
    }
    assert recheck_s(rs(minReadySeconds=10), pods, NOW) == 5.0


def test_a_failure_becomes_a_condition_and_goes_again():
    owner = rs()
    owner["status"] = plan_status(owner, [], NOW, "no quota")
    (condition,) = owner["status"]["conditions"]
    assert (condition["type"], condition["reason"], condition["message"]) == (
        "ReplicaFailure",
        "FailedCreate",
        "no quota",
    )
    assert "conditions" not in plan_status(owner, [], NOW)
