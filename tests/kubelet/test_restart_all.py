"""A container's end that has the whole pod start anew."""

from dataclasses import replace

import pytest
from fake_node import Node
from pods import NOW, ago, container, ended, have, pod, running, sandbox

from tiphys.kubelet.lifecycle import Kill, PodState, Start, plan
from tiphys.kubelet.restarts import BackoffEntry, restart_epoch, should_restart
from tiphys.kubelet.status.pod import StatusInputs, make_status

RULE = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
TRIGGER = {"restartPolicy": "Never", "restartPolicyRules": [RULE]}


def the_pod(**spec):
    main = [container("web"), container("watch", **TRIGGER)]
    return pod(*main, init=[container("setup")], restartPolicy="Never", **spec)


def made(item, seconds):
    return replace(item, created_at=ago(seconds))


SETUP = made(ended("setup", finished=70), 80)
WEB = made(running("web", since=60), 60)
WATCH = made(ended("watch", code=42, finished=5), 60)


def test_when_it_was():
    assert restart_epoch(the_pod(), have(WEB, WATCH, SETUP)) == ago(5)
    assert restart_epoch(the_pod(), have(WEB, made(ended("watch", code=1), 60))) is None
    assert restart_epoch(pod(container("watch")), have(WATCH)) is None


def test_what_runs_ends_at_once():
    result = plan(the_pod(), have(WEB, WATCH, SETUP), NOW, PodState())
    assert result.kills == (Kill("web0", "web", "Stopping container web", 0.0, hook=False),)
    assert result.starts == ()


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        pytest.param(
            [ended("web", code=137, finished=1), WATCH, SETUP], [Start("setup", 1)], id="init first"
        ),
        pytest.param(
            [made(running("setup", attempt=1), 3), ended("web", finished=4), WATCH, SETUP],
            [],
            id="and to its end",
        ),
        pytest.param(
            [
                made(ended("setup", attempt=1, finished=1), 3),
                made(ended("web", finished=4), 60),
                WATCH,
                SETUP,
            ],
            [Start("web", 1), Start("watch", 1, BackoffEntry(10.0, NOW))],
            id="then the others",
        ),
        pytest.param(
            [
                made(running("watch", attempt=1), 2),
                made(ended("setup", attempt=1, finished=3), 4),
                made(ended("web", finished=4), 60),
                WATCH,
                SETUP,
            ],
            [Start("web", 1)],
            id="though the one that asked for it runs again",
        ),
        pytest.param(
            [
                made(running("watch", attempt=1), 2),
                made(ended("web", attempt=1, finished=1), 2),
                made(ended("setup", attempt=1, finished=3), 4),
                WATCH,
                SETUP,
            ],
            [],
            id="once",
        ),
    ],
)
def test_all_starts_anew(containers, expected):
    result = plan(the_pod(), have(*containers), NOW, PodState())
    assert (list(result.starts), result.kills, result.stop) == (expected, (), False)


def test_a_start_that_was_under_way_belongs_to_the_past():
    """Made when the other had ended already, but for the life that it ended."""
    started = running("web", since=3)

    def of(life):
        return replace(started, annotations={**started.annotations, "tiphys.io/life": life})

    first = plan(the_pod(), have(sandboxes=[sandbox()]), NOW, PodState()).life
    result = plan(the_pod(), have(of(first), WATCH, SETUP), NOW, PodState())
    assert [item.container_id for item in result.kills] == ["web0"]
    second = plan(the_pod(), have(WATCH, SETUP), NOW, PodState()).life
    assert second != first
    assert plan(the_pod(), have(of(second), WATCH, SETUP), NOW, PodState()).kills == ()
    assert plan(pod(), have(), NOW, PodState()).life == ""


def test_the_one_that_asked_for_it_backs_off():
    state = PodState(backoffs={"watch": BackoffEntry(10.0, ago(20))})
    web = made(ended("web", finished=4), 60)
    setup = made(ended("setup", attempt=1, finished=1), 3)
    result = plan(the_pod(), have(setup, web, WATCH, SETUP), NOW, state)
    assert [item.name for item in result.starts] == ["web"]
    assert result.waiting["watch"].reason == "CrashLoopBackOff"


def test_what_tells_of_it_is_kept():
    again = [made(ended("watch", code=1, attempt=n, finished=4 - n), 5 - n) for n in (3, 2, 1)]
    result = plan(the_pod(), have(made(running("web", attempt=1), 2), *again, WATCH), NOW, PodState())
    assert result.remove == ("watch1",)


def test_an_init_container_asks_for_it():
    asks = pod(container("web"), init=[container("a"), container("b", **TRIGGER)], restartPolicy="Never")
    done = made(ended("a", finished=20), 30)
    failed = made(ended("b", code=42, finished=5), 15)
    assert list(plan(asks, have(failed, done), NOW, PodState()).starts) == [Start("a", 1)]


def test_rules_come_before_the_policy():
    assert should_restart(pod(), container(**TRIGGER), ended(code=42))
    assert not should_restart(pod(), container(**TRIGGER), ended(code=43))


def condition(status):
    found = next((c for c in status["conditions"] if c["type"] == "AllContainersRestarting"), None)
    return found and (found["status"], found.get("reason"), found.get("message"))


BEGUN = ("True", "RestartAllContainersStarted", "container exited with restart policy rule")


@pytest.mark.parametrize(
    ("containers", "expected", "phase"),
    [
        pytest.param([WEB, made(running("watch"), 60), SETUP], ("False", None, None), "Running", id="before"),
        pytest.param([WEB, WATCH, SETUP], BEGUN, "Running", id="others still run"),
        pytest.param([made(ended("web", code=137), 60), WATCH, SETUP], BEGUN, "Running", id="all ended"),
        pytest.param(
            [made(running("setup", attempt=1), 3), made(ended("web", code=137), 60), WATCH, SETUP],
            ("False", None, None),
            "Running",
            id="started anew",
        ),
    ],
)
def test_what_the_status_says(containers, expected, phase):
    given = StatusInputs(PodState(), (), NOW)
    started = replace(given, state=PodState(started=frozenset(["web0"])))
    before = {"phase": "Running"}
    status = make_status({**the_pod(), "status": before}, have(*containers), started)
    assert (condition(status), status["phase"]) == (expected, phase)


def test_containers_of_the_past_wait():
    web = made(ended("web", code=137), 60)
    status = make_status(the_pod(), have(web, WATCH, SETUP), StatusInputs(PodState(), (), NOW))
    (setup,) = status["initContainerStatuses"]
    assert (setup["state"], setup["ready"]) == ({"waiting": {"reason": "PodInitializing"}}, False)
    assert setup["lastState"]["terminated"]["exitCode"] == 0


def test_other_pods_have_no_such_condition():
    status = make_status(pod(), have(running()), StatusInputs(PodState(), (), NOW))
    assert condition(status) is None


def test_a_sandbox_that_is_gone_is_made_anew():
    runtime = have(made(ended("web", code=137), 60), WATCH, SETUP, sandboxes=[sandbox(ready=False)])
    asks = {**the_pod(), "spec": {**the_pod()["spec"], "restartPolicy": "OnFailure"}}
    assert plan(asks, runtime, NOW, PodState()).new_sandbox


@pytest.mark.usefixtures("no_cgroups")
async def test_a_container_that_is_being_started_when_another_ends(tmp_path, monkeypatch):
    node = Node(tmp_path)
    create = node.runtime.create_container

    async def created(sandbox_id, config, sandbox_config):
        if config["metadata"]["name"] == "web" and len(node.runtime.names("start_container")) == 2:
            node.runtime.exit("watch", 42)
        return await create(sandbox_id, config, sandbox_config)

    monkeypatch.setattr(node.runtime, "create_container", created)
    node.runtime.exit_on_start["setup"] = 0
    watch = {"name": "watch", "image": "img:1", **TRIGGER}
    setup = [{"name": "setup", "image": "img:1"}]
    try:
        async with node.running():
            await node.create(
                containers=[watch, {"name": "web", "image": "img:1"}], initContainers=setup,
                restartPolicy="Never",
            )  # fmt: skip

            def restarts():
                status = node.status()
                listed = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
                return [one["restartCount"] for one in listed]

            await node.until(lambda: restarts() == [1, 1, 1] and node.ready())
    finally:
        await node.client.close()


@pytest.mark.usefixtures("no_cgroups")
async def test_a_whole_life(tmp_path):
    node = Node(tmp_path)
    web = {"name": "web", "image": "img:1", "lifecycle": {"preStop": {"exec": {"command": ["bye"]}}}}
    watch = {"name": "watch", "image": "img:1", **TRIGGER}
    try:
        async with node.running():
            await node.create(containers=[web, watch], restartPolicy="Never")
            await node.until(node.ready)
            before = node.status()["podIP"]
            node.runtime.exit("watch", 42)
            await node.until(
                lambda: (
                    [c["restartCount"] for c in node.status()["containerStatuses"]] == [1, 1] and node.ready()
                )
            )
            assert node.status()["podIP"] == before
            assert "bye" not in node.runtime.names("exec_sync")
            await node.until(lambda: condition(node.status()) == ("False", None, None))
    finally:
        await node.client.close()
