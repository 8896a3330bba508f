"""The status of a pod, as cases."""

import pytest
from pods import NOW, ago, container, ended, have, pod, running, sandbox

from tiphys.kubelet.admission import Rejection
from tiphys.kubelet.lifecycle import PodState, Waiting
from tiphys.kubelet.status.pod import StatusInputs, make_status


def status(the_pod, runtime, state=None, *, stopped=False, host_ips=("192.0.2.1",)):
    return make_status(the_pod, runtime, StatusInputs(state or PodState(), host_ips, NOW, stopped=stopped))


def condition(made, kind):
    return next(item for item in made["conditions"] if item["type"] == kind)


ALL = PodState(started=frozenset(["c0", "a0", "b0", "side0"]), ready=frozenset(["c0", "a0", "b0", "side0"]))
SIDECAR = container("side", restartPolicy="Always")


@pytest.mark.parametrize(
    ("the_pod", "runtime", "state", "phase"),
    [
        pytest.param(pod(), have(sandboxes=[]), PodState(), "Pending", id="nothing yet"),
        pytest.param(pod(), have(), PodState(), "Pending", id="sandbox only"),
        pytest.param(pod(), have(running()), ALL, "Running", id="runs"),
        pytest.param(pod(), have(ended(code=1)), PodState(), "Running", id="between restarts"),
        pytest.param(
            pod(),
            have(ended(code=1)),
            PodState(waiting={"c": Waiting("CrashLoopBackOff", "x")}),
            "Running",
            id="backing off",
        ),
        pytest.param(pod(restartPolicy="Never"), have(ended()), PodState(), "Succeeded", id="succeeded"),
        pytest.param(pod(restartPolicy="Never"), have(ended(code=2)), PodState(), "Failed", id="failed"),
        pytest.param(
            pod(restartPolicy="OnFailure"), have(ended(code=2)), PodState(), "Running", id="will restart"
        ),
        pytest.param(pod(restartPolicy="OnFailure"), have(ended()), PodState(), "Succeeded", id="done"),
        pytest.param(
            pod(container("a"), container("b"), restartPolicy="Never"),
            have(running("b"), ended("a", code=1)),
            ALL,
            "Running",
            id="one of two still runs",
        ),
        pytest.param(
            pod(init=[container("i")]), have(running("i")), PodState(), "Pending", id="initializing"
        ),
        pytest.param(
            pod(init=[container("i")], restartPolicy="Never"),
            have(ended("i", code=1)),
            PodState(),
            "Failed",
            id="init failed",
        ),
        pytest.param(
            pod(init=[container("i")]), have(ended("i", code=1)), PodState(), "Pending", id="init tries again"
        ),
        pytest.param(
            pod(init=[container("i", restartPolicy="OnFailure")], restartPolicy="Never"),
            have(ended("i", code=1)),
            PodState(),
            "Pending",
            id="init tries again by a policy of its own",
        ),
        pytest.param(
            pod(init=[SIDECAR]), have(running("side")), PodState(), "Pending", id="sidecar starting"
        ),
        pytest.param(
            pod(init=[SIDECAR], restartPolicy="Never"),
            have(ended(), running("side")),
            ALL,
            "Running",
            id="sidecar still runs",
        ),
        pytest.param(
            pod(init=[SIDECAR], restartPolicy="Never"),
            have(ended(), ended("side", code=137)),
            PodState(),
            "Succeeded",
            id="a sidecar's exit does not count",
        ),
        pytest.param(
            pod(),
            have(),
            PodState(waiting={"c": Waiting("ErrImagePull", "x")}),
            "Pending",
            id="cannot pull",
        ),
        pytest.param(
            pod(status={"phase": "Failed"}), have(sandboxes=[]), PodState(), "Failed", id="ended pods stay so"
        ),
        pytest.param(
            pod(), have(sandboxes=[]), PodState(rejection=Rejection("OutOfcpu", "m")), "Failed", id="rejected"
        ),
    ],
)
def test_phase(the_pod, runtime, state, phase):
    assert status(the_pod, runtime, state)["phase"] == phase


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (137, "Failed")])
def test_deleted_pod_ends(code, phase):
    made = status(pod(), have(ended(code=code)), PodState(deleted=True), stopped=True)
    assert made["phase"] == phase
    assert made["containerStatuses"][0]["state"]["terminated"]["exitCode"] == code


def test_running_pod_in_full():
    made = status(pod(meta={"generation": 3}), have(running()), ALL)
    assert made["podIP"] == "10.0.0.5"
    assert made["podIPs"] == [{"ip": "10.0.0.5"}]
    assert made["hostIP"] == "192.0.2.1"
    assert made["hostIPs"] == [{"ip": "192.0.2.1"}]
    assert made["startTime"] == "2026-01-01T12:00:00Z"
    assert made["qosClass"] == "BestEffort"
    assert made["observedGeneration"] == 3
    assert [(item["type"], item["status"]) for item in made["conditions"]] == [
        ("PodReadyToStartContainers", "True"),
        ("Initialized", "True"),
        ("Ready", "True"),
        ("ContainersReady", "True"),
        ("PodScheduled", "True"),
    ]
    assert made["containerStatuses"] == [
        {
            "name": "c",
            "state": {"running": {"startedAt": "2026-01-01T11:59:10Z"}},
            "lastState": {},
            "ready": True,
            "restartCount": 0,
            "image": "img",
            "imageID": "sha256:1",
            "containerID": "containerd://c0",
            "started": True,
            "resources": {},
        }
    ]


@pytest.mark.parametrize(
    ("runtime", "state", "expected", "last"),
    [
        pytest.param(have(), PodState(), {"waiting": {"reason": "ContainerCreating"}}, {}, id="creating"),
        pytest.param(
            have(),
            PodState(waiting={"c": Waiting("ImagePullBackOff", "m")}),
            {"waiting": {"reason": "ImagePullBackOff", "message": "m"}},
            {},
            id="image",
        ),
        pytest.param(
            have(ended(code=2, reason="OOMKilled", message="bye")),
            PodState(),
            {
                "terminated": {
                    "exitCode": 2,
                    "reason": "OOMKilled",
                    "message": "bye",
                    "startedAt": "2026-01-01T11:59:50Z",
                    "finishedAt": "2026-01-01T11:59:55Z",
                    "containerID": "containerd://c0",
                }
            },
            {},
            id="ended",
        ),
    ],
)
def test_container_states(runtime, state, expected, last):
    made = status(pod(), runtime, state)["containerStatuses"][0]
    assert (made["state"], made["lastState"]) == (expected, last)
    assert made["ready"] is False


def test_last_state_and_restarts():
    made = status(pod(), have(running(attempt=2), ended(attempt=1, code=1)), PodState())["containerStatuses"][
        0
    ]
    assert made["restartCount"] == 2
    assert made["lastState"]["terminated"]["exitCode"] == 1
    state = PodState(waiting={"c": Waiting("CrashLoopBackOff", "m")})
    made = status(pod(), have(ended(attempt=2, code=3)), state)["containerStatuses"][0]
    assert made["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "m"}}
    assert made["lastState"]["terminated"]["exitCode"] == 3


def test_waits_for_init_containers():
    made = status(pod(init=[container("i")]), have(running("i")))
    assert made["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    found = condition(made, "Initialized")
    assert (found["status"], found["reason"]) == ("False", "ContainersNotInitialized")
    assert found["message"] == "containers with incomplete status: [i]"


def test_lost_container_is_said_to_be():
    old = {
        "phase": "Running",
        "containerStatuses": [{"name": "c", "state": {"running": {}}, "restartCount": 1}],
    }
    made = status(pod(status=old), have(sandboxes=[]), stopped=True)["containerStatuses"][0]
    assert made["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert made["restartCount"] == 1


@pytest.mark.parametrize(
    ("the_pod", "runtime", "state", "reason", "message"),
    [
        (pod(), have(), PodState(), "ContainersNotReady", "containers with unready status: [c]"),
        (pod(restartPolicy="Never"), have(ended()), PodState(), "PodCompleted", None),
        (pod(restartPolicy="Never"), have(ended(code=1)), PodState(), "PodFailed", None),
        (
            pod(readinessGates=[{"conditionType": "x/y"}]),
            have(running()),
            ALL,
            "ReadinessGatesNotReady",
            'corresponding condition of pod readiness gate "x/y" does not exist.',
        ),
        (
            pod(
                readinessGates=[{"conditionType": "x/y"}],
                status={"conditions": [{"type": "x/y", "status": "False"}]},
            ),
            have(running()),
            ALL,
            "ReadinessGatesNotReady",
            'the status of pod readiness gate "x/y" is not "True", but False',
        ),
    ],
    ids=["unready", "completed", "failed", "gate missing", "gate closed"],
)
def test_not_ready(the_pod, runtime, state, reason, message):
    found = condition(status(the_pod, runtime, state), "Ready")
    assert (found["status"], found.get("reason"), found.get("message")) == ("False", reason, message)


def test_conditions_of_others_and_times_are_kept():
    old = {
        "conditions": [
            {"type": "x/y", "status": "True"},
            {"type": "Ready", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z"},
            {"type": "ContainersReady", "status": "False", "lastTransitionTime": "2025-01-01T00:00:00Z"},
        ]
    }
    made = status(pod(status=old), have(running()), ALL)
    assert condition(made, "x/y") == {"type": "x/y", "status": "True"}
    assert condition(made, "Ready")["lastTransitionTime"] == "2025-01-01T00:00:00Z"
    assert condition(made, "ContainersReady")["lastTransitionTime"] == "2026-01-01T12:00:00Z"


def test_addresses():
    on_host = status(pod(hostNetwork=True), have(running()), ALL)
    assert on_host["podIP"] == "192.0.2.1"
    gone = status(pod(status={"podIPs": [{"ip": "10.9.9.9"}]}), have(sandboxes=[sandbox(ready=False)]))
    assert gone["podIP"] == "10.9.9.9"


def test_rejection_is_told():
    state = PodState(rejection=Rejection("Evicted", "why"))
    made = status(pod(), have(sandboxes=[]), state, stopped=True)
    assert (made["phase"], made["reason"], made["message"]) == ("Failed", "Evicted", "why")


def test_statuses_are_sorted_and_start_time_stays():
    made = status(
        pod(container("b"), container("a"), status={"startTime": "2025-01-01T00:00:00Z"}),
        have(running("a", since=1), running("b")),
        ALL,
    )
    assert [item["name"] for item in made["containerStatuses"]] == ["a", "b"]
    assert made["startTime"] == "2025-01-01T00:00:00Z"
    assert ago(0) == NOW


def test_what_others_say_of_a_pod_stays():
    said = {
        "resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "p-gpu"}],
        "extendedResourceClaimStatus": {"resourceClaimName": "p-extended-resources-1", "requestMappings": []},
    }
    the_pod = {**pod(), "status": said}
    made = status(the_pod, have(running()), ALL)
    assert {key: made[key] for key in said} == said


def test_what_the_whole_pod_has():
    resources = {"requests": {"cpu": "100m"}}
    usual = status(pod(container(resources=resources)), have(running()))
    assert (usual["allocatedResources"], "resources" in usual) == ({"cpu": "100m"}, False)
    assert "allocatedResources" not in status(pod(), have(running()))
    asked = pod(container(resources=resources), resources={"requests": {"cpu": "2"}, "limits": {"cpu": "2"}})
    for applied, shown in (("2000m", "2"), ("1", "1")):
        amounts = {"requests": {"cpu": applied}, "limits": {"cpu": applied}}
        made = status(asked, have(running()), PodState(pod_applied=amounts))
        assert made["allocatedResources"] == {"cpu": "2"}
        assert made["resources"] == {"requests": {"cpu": shown}, "limits": {"cpu": shown}}
    off = make_status(asked, have(running()), StatusInputs(PodState(), (), NOW, whole_pods=False))
    assert not {"resources", "allocatedResources"} & set(off)
