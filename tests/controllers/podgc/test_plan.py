"""Which pods are swept up."""

import pytest

from tiphys.controllers.podgc.plan import plan


def pod(name, node="n1", phase="Running", deleting=False):
    metadata = {"name": name, "creationTimestamp": f"2026-01-01T00:00:0{len(name)}Z"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("pods", "threshold", "orphaned", "deleted", "why"),
    [
        pytest.param([pod("a")], 1, [], [], None, id="all is well"),
        pytest.param([pod("a", "gone")], 1, ["a"], [], "orphaned", id="its node is gone"),
        pytest.param(
            [pod("a", "out", deleting=True), pod("b", "out")],
            1,
            ["a"],
            [],
            "out-of-service",
            id="out of service",
        ),
        pytest.param(
            [pod("a", "", deleting=True)], 1, [], ["a"], "unscheduled", id="never scheduled, leaving"
        ),
        pytest.param(
            [pod("aa", phase="Failed"), pod("a", phase="Succeeded")],
            1,
            [],
            ["a"],
            "terminated",
            id="the oldest",
        ),
        pytest.param(
            [pod("aa", phase="Failed"), pod("a", phase="Failed")], 0, [], [], None, id="no threshold"
        ),
    ],
)
def test_plan(pods, threshold, orphaned, deleted, why):
    planned = plan(pods, {"n1", "out"}, {"out"}, threshold)
    names = [[item["metadata"]["name"] for item, _ in group] for group in (planned.orphaned, planned.delete)]
    assert names == [orphaned, deleted]
    assert {reason for _, reason in (*planned.orphaned, *planned.delete)} == ({why} if why else set())
