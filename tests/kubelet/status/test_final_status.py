"""What is said at last of a pod: of containers that left no trace, and of pods that were never taken in."""

import pytest
from pods import NOW, container, ended, have, pod, running

from tiphys.kubelet.admission import Rejection
from tiphys.kubelet.lifecycle import PodState
from tiphys.kubelet.status.pod import StatusInputs, make_status

DELETED = PodState(deleted=True)
LOST = {
    "exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None, "finishedAt": None,
    "message": "The container could not be located when the pod was terminated",
}  # fmt: skip


def status(the_pod, runtime, state=DELETED, *, stopped=True):
    return make_status(the_pod, runtime, StatusInputs(state, ("192.0.2.1",), NOW, stopped=stopped))


def told(made):
    """By container: its exit code, or the word for a state that is none."""
    items = [*made.get("initContainerStatuses", ()), *made.get("containerStatuses", ())]
    return {
        item["name"]: item["state"].get("terminated", {}).get("exitCode", next(iter(item["state"])))
        for item in items
    }


INIT = [container("i"), container("j")]
ENDS = {
    "deleted before anything ran": (pod(), have(sandboxes=[]), {"c": 137}),
    "one ran": (pod(container("a"), container("b")), have(ended("a")), {"a": 0, "b": 137}),
    "init containers were not tried": (pod(init=INIT), have(sandboxes=[]),
                                       {"i": 137, "j": "waiting", "c": "waiting"}),
    "an init container failed": (pod(init=INIT), have(ended("i", code=2)),
                                 {"i": 2, "j": "waiting", "c": "waiting"}),
    "the second init container was stopped": (pod(init=INIT), have(ended("i"), ended("j", code=143)),
                                              {"i": 0, "j": 143, "c": "waiting"}),
    "init containers got through": (pod(init=INIT), have(ended("i"), ended("j")), {"i": 0, "j": 0, "c": 137}),
    "a container ran, of the first init container nothing is left": (
        pod(init=INIT), have(ended("j"), ended("c", code=1)), {"i": 137, "j": 0, "c": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("the_pod", "runtime", "expected"), ENDS.values(), ids=ENDS)
def test_containers_without_a_trace(the_pod, runtime, expected):
    made = status(the_pod, runtime)
    assert told(made) == expected
    states = [item["state"].get("terminated", {}) for item in made["containerStatuses"]]
    assert all(state == LOST for state in states if state.get("exitCode") == 137)


def test_nothing_is_closed_while_a_container_still_ends():
    the_pod = pod(container("a"), container("b"))
    assert told(status(the_pod, have(running("a")))) == {"a": "running", "b": "waiting"}


def test_a_pod_that_was_not_taken_in():
    scheduled = {"type": "PodScheduled", "status": "True"}
    gate = {"type": "example.com/gate", "status": "True"}
    the_pod = pod(status={"phase": "Pending", "conditions": [scheduled, gate]}, meta={"generation": 2})
    why = Rejection("OutOfcpu", "Pod was rejected: too little", at_admission=True)
    made = status(the_pod, have(sandboxes=[]), PodState(rejection=why))
    assert made == {
        "phase": "Failed", "reason": "OutOfcpu", "message": "Pod was rejected: too little",
        "observedGeneration": 2, "startTime": "2026-01-01T12:00:00Z", "qosClass": "BestEffort",
        "conditions": [gate],
    }  # fmt: skip
    again = status({**the_pod, "status": made}, have(sandboxes=[]), PodState())
    assert again == made


def test_a_pod_that_is_given_up_later_shows_its_containers():
    why = Rejection("Evicted", "The node was low on resource: memory.", disruption=True)
    made = status(pod(), have(ended(code=137)), PodState(rejection=why))
    assert (made["phase"], told(made)) == ("Failed", {"c": 137})


@pytest.mark.parametrize("disruption", [True, False])
def test_why_a_pod_was_given_up_is_told_once_it_has_ended(disruption):
    """Until then it is Running, as its containers are, and nothing else."""
    why = Rejection("DeadlineExceeded", "too long", disruption=disruption)
    the_pod = pod()
    the_pod["status"] = {"phase": "Running"}
    going = status(the_pod, have(running()), PodState(rejection=why))
    assert (going["phase"], going.get("reason"), going.get("message")) == ("Running", None, None)
    assert "DisruptionTarget" not in {item["type"] for item in going["conditions"]}
    gone = status(the_pod, have(ended(code=137)), PodState(rejection=why))
    assert (gone["phase"], gone["reason"], gone["message"]) == ("Failed", "DeadlineExceeded", "too long")
    assert ("DisruptionTarget" in {item["type"] for item in gone["conditions"]}) is disruption
