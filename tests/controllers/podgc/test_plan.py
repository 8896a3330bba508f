"""Which pods are swept up."""

from datetime import UTC, datetime

import pytest

from tiphys.controllers.podgc.plan import failed_status, is_out_of_service, plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(name, node="n1", phase="Running", deleting=False, reason=""):
    metadata = {"name": name, "creationTimestamp": f"2026-01-01T00:00:0{len(name)}Z"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status = {"phase": phase, **({"reason": reason} if reason else {})}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": status}


@pytest.mark.parametrize(
    ("pods", "threshold", "swept", "why"),
    [
        pytest.param([pod("a")], 1, [], None, id="all is well"),
        pytest.param([pod("a", "gone")], 1, ["a"], "orphaned", id="its node is gone"),
        pytest.param([pod("a", "gone", "Succeeded")], 5, ["a"], "orphaned", id="ended, its node is gone"),
        pytest.param(
            [pod("a", "out", deleting=True), pod("b", "out")], 1, ["a"], "out-of-service", id="out of service"
        ),
        pytest.param([pod("a", "", deleting=True)], 1, ["a"], "unscheduled", id="never scheduled, leaving"),
        pytest.param(
            [pod("a", "", "Failed", deleting=True)], 5, ["a"], "unscheduled", id="never scheduled, failed"
        ),
        pytest.param([pod("a", "")], 1, [], None, id="not scheduled yet"),
        pytest.param(
            [pod("aa", phase="Failed"), pod("a", phase="Succeeded")], 1, ["a"], "terminated", id="the oldest"
        ),
        pytest.param(
            [pod("aa", phase="Failed", reason="Evicted"), pod("a", phase="Failed")],
            1,
            ["aa"],
            "terminated",
            id="evicted ones before older ones",
        ),
        pytest.param(
            [pod("aa", "", "Failed"), pod("a", phase="Failed")],
            1,
            ["a"],
            "terminated",
            id="never scheduled count",
        ),
        pytest.param([pod("aa", phase="Failed"), pod("a", phase="Failed")], 0, [], None, id="no threshold"),
    ],
)
def test_plan(pods, threshold, swept, why):
    planned = plan(pods, {"n1", "out"}, {"out"}, threshold)
    assert [item["metadata"]["name"] for item, _ in planned.sweep] == swept
    assert {reason for _, reason in planned.sweep} == ({why} if why else set())


@pytest.mark.parametrize(
    ("taint", "ready", "out"),
    [
        ("node.kubernetes.io/out-of-service", "False", True),
        ("node.kubernetes.io/out-of-service", "Unknown", True),
        ("node.kubernetes.io/out-of-service", "True", False),
        ("another", "False", False),
    ],
)
def test_a_node_that_is_ready_is_in_service_whatever_is_said(taint, ready, out):
    node = {
        "spec": {"taints": [{"key": taint, "effect": "NoExecute"}]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }
    assert is_out_of_service(node) is out


@pytest.mark.parametrize(
    ("reason", "told"), [("orphaned", ["DeletionByPodGC"]), ("out-of-service", []), ("unscheduled", [])]
)
def test_only_a_pod_without_a_node_is_told_why(reason, told):
    status = failed_status(pod("a"), reason, NOW)
    assert status["phase"] == "Failed"
    assert [item["reason"] for item in status.get("conditions", ())] == told
