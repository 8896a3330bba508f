"""Which running containers must change."""

from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
from pods import NOW, container, have, pod, running

from tiphys.kubelet.allocation.resize import changed_resources, plan_resizes
from tiphys.kubelet.lifecycle import RESIZE, PodState, plan
from tiphys.kubelet.runtime import CONTAINER_RESOURCES


def made_with(resources):
    one = running()
    return replace(
        one, annotations={**one.annotations, CONTAINER_RESOURCES: orjson.dumps(resources).decode()}
    )


@pytest.mark.parametrize(
    ("have_cpu", "want_cpu", "expected"),
    [
        ("1", "1", set()),
        ("1", "1000m", set()),
        ("1", "2", {"cpu"}),
        (None, "1", {"cpu"}),
        ("1", None, {"cpu"}),
    ],
)
def test_changed(have_cpu, want_cpu, expected):
    one, other = ({"requests": {"cpu": value} if value else {}} for value in (have_cpu, want_cpu))
    assert changed_resources(one, other) == expected


def test_in_place():
    want = {"requests": {"cpu": "200m"}, "limits": {"memory": "64Mi"}}
    the_pod = pod(container(resources=want))
    runtime = have(made_with({"requests": {"cpu": "100m"}}))
    (resize,) = plan(the_pod, runtime, NOW, PodState()).resizes
    assert (resize.container_id, resize.linux["memory_limit_in_bytes"]) == ("c0", 64 * 2**20)
    assert plan_resizes(the_pod, runtime, {"c0": want}) == []
    assert plan(the_pod, runtime, NOW, PodState(busy=frozenset(["c0"]))).resizes == ()


def test_by_restart():
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    the_pod = pod(container(resources={"requests": {"cpu": "2"}}, resizePolicy=policy))
    result = plan(the_pod, have(made_with({"requests": {"cpu": "1"}})), NOW, PodState())
    assert result.resizes == ()
    assert [item.message for item in result.kills] == ["Container c resize requires restart"]


@pytest.mark.parametrize("more", [{}, {"restartPolicy": "Always"}], ids=["init", "sidecar"])
def test_containers_before_the_others(more):
    """One that must end before the others begin is never ended for its size."""
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    first = container(resources={"requests": {"cpu": "2"}}, resizePolicy=policy, **more)
    result = plan(
        pod(container("main"), init=[first]), have(made_with({"requests": {"cpu": "1"}})), NOW, PodState()
    )
    assert ([item.name for item in result.resizes], [item.name for item in result.kills]) == (
        ([], ["c"]) if more else (["c"], [])
    )


def test_containers_of_unknown_make_are_left_alone():
    the_pod = pod(container(resources={"requests": {"cpu": "2"}}))
    assert plan(the_pod, have(running()), NOW, PodState()).resizes == ()


def whole(memory, *containers):
    return pod(*containers, resources={"limits": {"memory": memory}})


def test_the_pod_as_a_whole():
    the_pod = whole("64Mi", container(resources={"limits": {"memory": "32Mi"}}))
    runtime = have(made_with({"limits": {"memory": "32Mi"}}))
    for applied, due in (("128Mi", True), ("64Mi", False), ("65536Ki", False)):
        state = PodState(pod_applied={"limits": {"memory": applied}})
        assert plan(the_pod, runtime, NOW, state).resize_pod is due
        assert plan(the_pod, runtime, NOW, state).resizes == ()
    assert plan(the_pod, runtime, NOW, PodState()).resize_pod is False
    later = {RESIZE: NOW + timedelta(seconds=1)}
    state = PodState(pod_applied={"limits": {"memory": "128Mi"}}, retry_at=later)
    assert plan(the_pod, runtime, NOW, state).resize_pod is False


def test_containers_that_have_the_limits_of_the_pod():
    runtime = have(made_with({"inherited": {"memory": "128Mi"}}))
    (resize,) = plan(whole("64Mi", container()), runtime, NOW, PodState()).resizes
    assert resize.linux["memory_limit_in_bytes"] == 64 * 2**20
    assert plan_resizes(whole("64Mi", container()), runtime, {"c0": resize.resources}) == []
