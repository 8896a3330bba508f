"""What a pod was promised, and when more is promised to it."""

import json

import pytest
from pods import container, pod

from tiphys.kubelet.admission import NodeCapacity
from tiphys.kubelet.allocation.plan import (
    Allocation,
    Pending,
    allocated,
    allocation_of,
    memory_faults,
    obstacle,
    resize_message,
    resize_order,
)

MIB = 2**20
NODE = NodeCapacity({"cpu": 4000, "memory": 4096 * MIB, "pods": 10})


def sized(cpu="1", memory="1Gi", name="c", meta=None, **spec):
    resources = {"requests": {"cpu": cpu, "memory": memory}}
    return pod(container(name, resources=resources), meta=meta, **spec)


def test_the_allocation_stands_in_for_what_is_asked():
    promised = allocation_of(sized("1"))
    view = allocated(sized("2"), promised)
    assert view["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize("cpu", ["1", "1000m"])
def test_another_spelling_asks_for_nothing(cpu):
    asked = sized(cpu)
    assert allocated(asked, allocation_of(sized("1"))) is asked


def test_sidecars_and_the_pod_as_a_whole_have_allocations():
    def made(cpu):
        wanted = {"limits": {"cpu": cpu}}
        helper = container("helper", restartPolicy="Always", resources=wanted)
        return pod(container(), init=[helper], resources=wanted)

    view = allocated(made("2"), allocation_of(made("1")))
    assert view["spec"]["initContainers"][0]["resources"] == {"limits": {"cpu": "1"}}
    assert view["spec"]["resources"] == {"limits": {"cpu": "1"}}


def test_containers_that_came_later_have_what_they_ask_for():
    asked = sized("2")
    assert allocated(asked, Allocation()) is asked


@pytest.mark.parametrize(
    ("asked", "others", "expected"),
    [
        pytest.param(sized("2"), [sized("2")], None, id="fits beside the other"),
        pytest.param(
            sized("3"),
            [sized("2")],
            (
                "Deferred",
                "Node didn't have enough resource: cpu, requested: 3000, used: 2000, capacity: 4000",
            ),
            id="the other is in the way",
        ),
        pytest.param(
            sized("5"),
            [],
            ("Infeasible", "Node didn't have enough capacity: cpu, requested: 5000, capacity: 4000"),
            id="never",
        ),
        pytest.param(
            sized("5", "5Gi"),
            [],
            (
                "Infeasible",
                "Node didn't have enough capacity: memory, requested: 5368709120, capacity: 4294967296",
            ),
            id="memory is told first",
        ),
        pytest.param(
            sized(meta={"annotations": {"kubernetes.io/config.source": "file"}}),
            [],
            ("Infeasible", "In-place resize of static-pods is not supported"),
            id="from a file",
        ),
        pytest.param(
            sized("3"),
            [{**sized("2"), "status": {"phase": "Succeeded"}}],
            None,
            id="the other has ended",
        ),
    ],
)
def test_obstacles(asked, others, expected):
    asked["metadata"]["generation"] = 7
    found = obstacle(asked, others, NODE)
    assert found == (Pending(*expected, 7) if expected else None)


def test_order_of_resizes():
    promised = allocation_of(sized("1"))

    def waiting(since):
        condition = {"type": "PodResizePending", "lastTransitionTime": since}
        return {**sized("2"), "status": {"conditions": [condition]}}

    guaranteed = {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "2", "memory": "1Gi"}}
    wanted = [
        sized("500m"),
        sized("2", priority=100),
        pod(container(resources=guaranteed)),
        waiting("2026-01-01T00:00:00Z"),
        waiting("2026-01-01T00:00:05Z"),
        sized("2"),
    ]
    for start in range(len(wanted)):
        turned = wanted[start:] + wanted[:start]
        assert sorted(turned, key=lambda item: resize_order(item, promised)) == wanted


def test_what_events_say():
    text = resize_message("Pod resize Deferred", sized("2"), 3, "no room")
    prefix, _, body = text.partition(": ")
    assert prefix == "Pod resize Deferred"
    assert json.loads(body) == {
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}],
        "generation": 3,
        "error": "no room",
    }


def limited(*limits):
    return pod(*(container(f"c{n}", resources={"limits": {"memory": text}}) for n, text in enumerate(limits)))


OLD = {"c0": {"limits": {"memory": "100Mi"}}, "c1": {"limits": {"memory": "100Mi"}}}


@pytest.mark.parametrize(
    ("asked", "usage", "pod_usage", "expected"),
    [
        pytest.param(limited("50Mi", "100Mi"), {"c0": 40 * MIB}, 90 * MIB, "", id="above what is used"),
        pytest.param(limited("100Mi", "200Mi"), {"c0": 400 * MIB}, 900 * MIB, "", id="nothing shrinks"),
        pytest.param(
            limited("50Mi", "100Mi"),
            {"c0": 60 * MIB},
            None,
            'attempting to set container "c0" memory limit (52428800) below current usage (62914560)',
            id="one container",
        ),
        pytest.param(
            limited("50Mi", "50Mi"),
            {"c0": 60 * MIB, "c1": 10},
            101 * MIB,
            "[attempting to set pod memory limit (104857600) below current usage (105906176), "
            'attempting to set container "c0" memory limit (52428800) below current usage (62914560)]',
            id="pod and container",
        ),
        pytest.param(limited("50Mi", "100Mi"), {}, None, "", id="usage not known"),
    ],
)
def test_memory_limits_do_not_fall_below_what_is_used(asked, usage, pod_usage, expected):
    found = memory_faults(asked, usage, OLD, pod_usage)
    assert found == (f"cannot decrease memory limits: {expected}" if expected else "")


def test_containers_that_are_started_anew_may_shrink_at_will():
    running = {"c1": OLD["c1"]}
    assert memory_faults(limited("50Mi", "100Mi"), {"c0": 60 * MIB}, running, 150 * MIB) == ""
