"""What a pod takes of its node while it is resized."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.scheduler.podinfo import is_resized, occupied


def pod(
    asked: str, promised: str | None = None, actual: str | None = None, reason: str = ""
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "metadata": {"name": "p", "namespace": "d", "uid": "u"},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": asked}}}]},
        "status": {},
    }
    if actual is not None:
        status = {"name": "c", "resources": {"requests": {"cpu": actual}}}
        if promised is not None:
            status["allocatedResources"] = {"cpu": promised}
        made["status"]["containerStatuses"] = [status]
    if reason:
        made["status"]["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": reason}]
    return made


CASES = {
    "not started": (pod("1"), 1000),
    "as asked": (pod("1", "1", "1"), 1000),
    "another spelling": (pod("1", "1000m", "1000m"), 1000),
    "grows, not promised yet": (pod("2", "1", "1"), 2000),
    "grows, deferred": (pod("2", "1", "1", "Deferred"), 2000),
    "grows, never possible": (pod("64", "1", "1", "Infeasible"), 1000),
    "shrinks, promised": (pod("1", "1", "2"), 2000),
    "shrinks, not promised yet": (pod("1", "2", "2"), 2000),
    "a node that says nothing of promises": (pod("1", None, "2"), 2000),
}


@pytest.mark.parametrize(("made", "milli"), CASES.values(), ids=CASES.keys())
def test_occupied(made: dict[str, Any], milli: int) -> None:
    assert occupied(made)["cpu"] == milli


def test_sidecars_count_as_they_are() -> None:
    made = pod("1", "1", "1")
    made["spec"]["initContainers"] = [
        {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}
    ]
    made["status"]["initContainerStatuses"] = [
        {"name": "s", "allocatedResources": {"cpu": "1"}, "resources": {"requests": {"cpu": "3"}}}
    ]
    assert occupied(made)["cpu"] == 4000


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (pod("1"), pod("1", "1", "1"), False),
        (pod("1", "1", "1"), pod("2", "1", "1"), True),
        (pod("1", "1", "2"), pod("1", "1", "1"), True),
        (pod("9", "1", "1"), pod("9", "1", "1", "Infeasible"), True),
    ],
    ids=["it starts", "asks for more", "has shrunk", "is told it never can"],
)
def test_when_it_is_counted_anew(old: dict[str, Any], new: dict[str, Any], expected: bool) -> None:
    assert is_resized(old, new) is expected


def whole(asked: str, promised: str, actual: str, reason: str = "") -> dict[str, Any]:
    made = pod("100m", "100m", "100m", reason)
    made["spec"] |= {"resources": {"requests": {"cpu": asked}}, "overhead": {"cpu": "10m"}}
    made["status"] |= {
        "allocatedResources": {"cpu": promised, "memory": "1Gi"},
        "resources": {"requests": {"cpu": actual}},
    }
    return made


@pytest.mark.parametrize(
    ("made", "milli"),
    [
        (whole("1", "1", "1"), 1010),
        (whole("2", "1", "1"), 2010),
        (whole("64", "1", "1", "Infeasible"), 1010),
        (whole("1", "1", "2"), 2010),
        (whole("1", "2", "2"), 2010),
    ],
)
def test_a_pod_as_a_whole(made: dict[str, Any], milli: int) -> None:
    assert occupied(made) == {"cpu": milli}


def test_a_pod_as_a_whole_is_counted_anew() -> None:
    assert is_resized(whole("1", "1", "1"), whole("2", "1", "1"))
    assert is_resized(whole("1", "1", "2"), whole("1", "1", "1"))
    assert not is_resized(pod("1"), whole("1", "1", "1") | {"spec": pod("1")["spec"]})
