"""How many pods, which go first, what the status says."""

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.controllers.replicaset.plan import plan, plan_status, recheck_s

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
