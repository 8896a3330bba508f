"""Every decision about a pod, as cases: what is there, what is to be done."""

from dataclasses import replace

import pytest
from pods import NOW, ago, container, ended, have, pod, running, sandbox

from tiphys.kubelet.admission import Rejection
from tiphys.kubelet.lifecycle import START, Kill, PodState, Start, Termination, Unhealthy, Waiting, plan
from tiphys.kubelet.restarts import BackoffEntry

SIDECAR = container("side", restartPolicy="Always")


def starts(result):
    return [(item.name, item.attempt) for item in result.starts]


def kills(result):
    return [(item.name, item.grace_s) for item in result.kills]


@pytest.mark.parametrize(
    ("the_pod", "runtime", "attempt"),
    [
        pytest.param(pod(), have(sandboxes=[]), 0, id="new pod"),
        pytest.param(pod(), have(ended(), sandboxes=[sandbox(ready=False)]), 1, id="sandbox died, restart"),
        pytest.param(
            pod(restartPolicy="OnFailure"),
            have(ended(code=1), sandboxes=[sandbox(ready=False)]),
            1,
            id="sandbox died, failed container starts again",
        ),
    ],
)
def test_makes_a_sandbox(the_pod, runtime, attempt):
    result = plan(the_pod, runtime, NOW, PodState())
    assert (result.new_sandbox, result.sandbox_attempt) == (True, attempt)
    assert not result.starts


@pytest.mark.parametrize(
    ("policy", "code"), [("Never", 0), ("Never", 1), ("OnFailure", 0)], ids=["never ok", "never bad", "done"]
)
def test_no_sandbox_for_what_has_ended(policy, code):
    runtime = have(ended(code=code), sandboxes=[sandbox(ready=False)])
    result = plan(pod(restartPolicy=policy), runtime, NOW, PodState())
    assert not result.new_sandbox
    assert result.stop
    assert result.stopped


@pytest.mark.parametrize(
    ("the_pod", "runtime", "state", "expected"),
    [
        pytest.param(pod(), have(), PodState(), [("c", 0)], id="first start"),
        pytest.param(pod(), have(running()), PodState(), [], id="runs already"),
        pytest.param(pod(), have(ended()), PodState(), [("c", 1)], id="always restarts"),
        pytest.param(
            pod(restartPolicy="OnFailure"), have(ended(code=3)), PodState(), [("c", 1)], id="on failure"
        ),
        pytest.param(
            pod(container("a"), container("b")),
            have(running("a")),
            PodState(),
            [("b", 0)],
            id="the missing one",
        ),
        pytest.param(pod(), have(), PodState(busy=frozenset([START])), [], id="starting already"),
        pytest.param(
            pod(container(restartPolicy="Never"), container("d")),
            have(running("d"), ended(code=1)),
            PodState(),
            [],
            id="container's own policy",
        ),
        pytest.param(
            pod(
                container(
                    restartPolicyRules=[
                        {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
                    ],
                    restartPolicy="Never",
                ),
                restartPolicy="Never",
            ),
            have(ended(code=42)),
            PodState(),
            [("c", 1)],
            id="restart rule",
        ),
        pytest.param(
            pod(ephemeralContainers=[container("debug")]),
            have(running()),
            PodState(),
            [("debug", 0)],
            id="ephemeral container",
        ),
        pytest.param(
            pod(ephemeralContainers=[container("debug")]),
            have(running(), ended("debug")),
            PodState(),
            [],
            id="ephemeral containers start once",
        ),
        pytest.param(
            pod(), have(), PodState(retry_at={"c": ago(-5)}), [], id="held back after a failed pull"
        ),
    ],
)
def test_starts(the_pod, runtime, state, expected):
    assert starts(plan(the_pod, runtime, NOW, state)) == expected


@pytest.mark.parametrize(
    ("runtime", "state", "expected"),
    [
        pytest.param(have(), PodState(), [("i1", 0)], id="first init container"),
        pytest.param(have(running("i1")), PodState(), [], id="it runs"),
        pytest.param(have(ended("i1")), PodState(), [("i2", 0)], id="then the second"),
        pytest.param(have(ended("i1", code=1)), PodState(), [("i1", 1)], id="it failed and runs again"),
        pytest.param(have(ended("i2"), ended("i1")), PodState(), [("c", 0)], id="then the container"),
        pytest.param(have(running("c")), PodState(), [], id="old init containers are forgotten"),
        pytest.param(
            have(ended("i1", sandbox_id="old")), PodState(), [("i1", 1)], id="a new sandbox begins anew"
        ),
    ],
)
def test_init_containers_run_in_order(runtime, state, expected):
    the_pod = pod(init=[container("i1"), container("i2")])
    assert starts(plan(the_pod, runtime, NOW, state)) == expected


def test_failed_init_container_ends_a_pod_that_never_restarts():
    result = plan(
        pod(init=[container("i")], restartPolicy="Never"), have(ended("i", code=1)), NOW, PodState()
    )
    assert result.stop
    assert result.stop_sandboxes == ("sb",)


@pytest.mark.parametrize(
    ("runtime", "state", "expected"),
    [
        pytest.param(have(), PodState(), [("side", 0)], id="sidecar first"),
        pytest.param(have(running("side")), PodState(), [], id="not started yet: the rest waits"),
        pytest.param(
            have(running("side")), PodState(started=frozenset(["side0"])), [("c", 0)], id="started: go on"
        ),
        pytest.param(
            have(running("c"), ended("side")), PodState(), [("side", 1)], id="a dead sidecar starts again"
        ),
        pytest.param(
            have(ended("c", code=1), running("side")),
            PodState(started=frozenset(["side0"])),
            [("c", 1)],
            id="the container restarts beside it",
        ),
    ],
)
def test_sidecars(runtime, state, expected):
    assert starts(plan(pod(init=[SIDECAR]), runtime, NOW, state)) == expected


def test_sidecars_end_after_the_containers():
    the_pod = pod(init=[SIDECAR, container("late", restartPolicy="Always")], restartPolicy="Never")
    state = PodState(started=frozenset(["side0", "late0"]))
    result = plan(the_pod, have(ended("c"), running("late"), running("side")), NOW, state)
    assert result.stop
    assert kills(result) == [("late", 30.0)]
    result = plan(the_pod, have(ended("c"), ended("late"), running("side")), NOW, state)
    assert kills(result) == [("side", 30.0)]


def test_backoff_grows_and_is_shown():
    the_pod = pod()
    first = plan(the_pod, have(ended(code=1, finished=0)), NOW, PodState())
    assert first.starts == (Start("c", 1, BackoffEntry(10, NOW)),)
    state = PodState(backoffs={"c": BackoffEntry(10, ago(3))})
    waiting = plan(the_pod, have(ended(code=1, attempt=1, finished=1)), NOW, state)
    assert not waiting.starts
    assert waiting.wake_after_s == pytest.approx(9)
    text = "back-off 10s restarting failed container=c pod=p_ns(uid-1)"
    assert waiting.waiting == {"c": Waiting("CrashLoopBackOff", text)}
    later = plan(the_pod, have(ended(code=1, attempt=1, finished=10)), NOW, state)
    assert later.starts == (Start("c", 2, BackoffEntry(20, NOW)),)


@pytest.mark.parametrize(
    ("state", "spec", "expected"),
    [
        pytest.param(
            PodState(unhealthy={"c0": Unhealthy("liveness")}),
            container(),
            [Kill("c0", "c", "Container c failed liveness probe, will be restarted", 30.0, renew=True)],
            id="liveness",
        ),
        pytest.param(
            PodState(unhealthy={"c0": Unhealthy("startup", 3)}),
            container(),
            [Kill("c0", "c", "Container c failed startup probe, will be restarted", 3.0, renew=True)],
            id="startup, its own grace",
        ),
        pytest.param(
            PodState(),
            container(image="new"),
            [Kill("c0", "c", "Container c definition changed, will be restarted", 30.0, renew=True)],
            id="new image",
        ),
        pytest.param(
            PodState(unhealthy={"c0": Unhealthy("liveness")}, busy=frozenset(["c0"])),
            container(),
            [],
            id="once",
        ),
        pytest.param(PodState(), container(), [], id="well"),
    ],
)
def test_kills_one_container(state, spec, expected):
    result = plan(pod(spec), have(running(spec=container())), NOW, state)
    assert list(result.kills) == expected
    assert not result.stop


DELETED = {"deletionTimestamp": "2026-01-01T12:00:10Z", "deletionGracePeriodSeconds": 10}


@pytest.mark.parametrize(
    ("runtime", "state", "expected_kills", "sandboxes", "stopped"),
    [
        pytest.param(have(running()), PodState(), [("c", 10.0)], (), False, id="containers first"),
        pytest.param(
            have(running()),
            PodState(termination=Termination(ago(4), 10)),
            [("c", 6.0)],
            (),
            False,
            id="grace runs",
        ),
        pytest.param(have(running()), PodState(busy=frozenset(["c0"])), [], (), False, id="under way"),
        pytest.param(have(ended()), PodState(), [], ("sb",), False, id="then the sandbox"),
        pytest.param(
            have(ended(), sandboxes=[sandbox(ready=False)]), PodState(), [], (), True, id="all stopped"
        ),
        pytest.param(have(sandboxes=[]), PodState(), [], (), True, id="never ran"),
        pytest.param(
            have(sandboxes=[]),
            PodState(busy=frozenset([START])),
            [],
            (),
            False,
            id="a start is being cancelled",
        ),
    ],
)
def test_deletion(runtime, state, expected_kills, sandboxes, stopped):
    state = replace(state, deleted=True)
    result = plan(pod(meta=DELETED), runtime, NOW, state)
    assert result.stop
    assert (kills(result), result.stop_sandboxes, result.stopped) == (expected_kills, sandboxes, stopped)
    assert not result.starts
    assert not result.new_sandbox


def test_all_are_killed_together_once_the_grace_is_over():
    the_pod = pod(init=[SIDECAR], meta=DELETED)
    state = PodState(deleted=True, termination=Termination(ago(11), 10))
    result = plan(the_pod, have(running(), running("side")), NOW, state)
    assert kills(result) == [("c", 0.0), ("side", 0.0)]


def test_active_deadline():
    status = {"startTime": "2026-01-01T11:59:00Z"}
    early = plan(pod(activeDeadlineSeconds=100, status=status), have(running()), NOW, PodState())
    assert (early.stop, early.wake_after_s) == (False, 40.0)
    late = plan(pod(activeDeadlineSeconds=50, status=status), have(running()), NOW, PodState())
    assert late.stop
    assert late.rejection == Rejection(
        "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
    )


@pytest.mark.parametrize(
    ("the_pod", "state"),
    [
        pytest.param(pod(), PodState(rejection=Rejection("OutOfcpu", "no")), id="rejected"),
        pytest.param(pod(status={"phase": "Failed"}), PodState(), id="failed before a restart"),
    ],
)
def test_ended_pods_are_not_started(the_pod, state):
    result = plan(the_pod, have(sandboxes=[]), NOW, state)
    assert result.stop
    assert result.stopped


def test_pod_ends_when_its_containers_have():
    the_pod = pod(container("a"), container("b"), restartPolicy="OnFailure")
    result = plan(the_pod, have(ended("a"), ended("b")), NOW, PodState())
    assert (result.stop, result.stop_sandboxes, result.stopped) == (True, ("sb",), False)


def test_old_dead_containers_are_removed():
    result = plan(
        pod(), have(running(attempt=3), ended(attempt=2), ended(attempt=1), ended()), NOW, PodState()
    )
    assert result.remove == ("c1", "c0")


def test_planning_twice_gives_the_same():
    the_pod, runtime = pod(init=[SIDECAR]), have(running("side"))
    assert plan(the_pod, runtime, NOW, PodState()) == plan(the_pod, runtime, NOW, PodState())
