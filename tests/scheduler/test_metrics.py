"""What a scheduler counts: tries, who waits where, why."""

import contextlib
from collections.abc import Callable

import pytest
from scheduler_builders import columns, node

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import TiphysError
from tiphys.client import metrics
from tiphys.client.fake_api import FakeApi
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import PODS
from tiphys.client.rest import Client
from tiphys.scheduler.binder import Assumed, Binder, NotBound
from tiphys.scheduler.hints import Change, Hints
from tiphys.scheduler.intake import Intake
from tiphys.scheduler.metrics import (
    ERROR,
    SCHEDULED,
    SchedulerMetrics,
    Times,
    handled,
    making_claim,
    preempting,
    timed_hint,
)
from tiphys.scheduler.plugins.volumes import VolumeChoice
from tiphys.scheduler.podinfo import PodInfo, pod_info
from tiphys.scheduler.profile import default_profile
from tiphys.scheduler.queue import Queued, SchedulingQueue
from tiphys.scheduler.reporter import scheduler_of
from tiphys.scheduler.volumes import Volumes
from tiphys.testing import Cluster


def values() -> dict[str, float]:
    lines = [
        line
        for line in metrics.render("kube-scheduler").decode().splitlines()
        if line.startswith("scheduler_")
    ]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def pod(name: str, **spec: object) -> dict[str, object]:
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return {"metadata": meta, "spec": {"containers": [{"name": "c", "image": "img"}], **spec}}


def test_the_places_of_a_queue_and_how_pods_came_there() -> None:
    queue = SchedulingQueue()
    for name in ("a", "b", "c"):
        queue.add(pod_info(pod(name)), 0.0)
    assert queue.waiting() == {"active": 3, "backoff": 0, "unschedulable": 0, "gated": 0}
    for plugins in ({"NodeResourcesFit"}, {"TaintToleration"}):
        queued = queue.pop(0.0)
        assert queued is not None
        queue.park(queued, frozenset(plugins), 0.0)
    assert queue.waiting() == {"active": 1, "backoff": 0, "unschedulable": 2, "gated": 0}
    queue.move("pod-removed", 0.0)
    assert queue.waiting() == {"active": 1, "backoff": 1, "unschedulable": 1, "gated": 0}
    queue.flush(1000.0)
    assert queue.waiting() == {"active": 2, "backoff": 1, "unschedulable": 0, "gated": 0}
    queue.remove("uid-c")
    assert queue.waiting()["active"] == 1
    assert queue.incoming == {
        ("active", "UnscheduledPodAdd"): 3, ("unschedulable", "ScheduleAttemptFailure"): 2,
        ("backoff", "AssignedPodDelete"): 1, ("active", "UnschedulableTimeout"): 1,
    }  # fmt: skip


def test_who_is_gated_and_who_failed_by_which_plugin() -> None:
    queue = SchedulingQueue()
    queue.gate("uid-a")
    queue.gate("uid-b")
    assert queue.waiting() == {"active": 0, "backoff": 0, "unschedulable": 0, "gated": 2}
    queue.add(pod_info(pod("a", schedulerName="one-of-a-kind")), 0.0)
    queue.remove("uid-b")
    assert queue.waiting() == {"active": 1, "backoff": 0, "unschedulable": 0, "gated": 0}
    queued = queue.pop(0.0)
    assert queued is not None
    assert not queue.failed()
    queue.park(queued, frozenset({"NodeResourcesFit", "NodePorts"}), 0.0)
    assert queue.failed() == [queued]
    counts = SchedulerMetrics(queue, columns(node("n")))
    counts.columns.add_pod(pod_info(pod("c")), "n")
    now = values()
    for plugin in ("NodeResourcesFit", "NodePorts"):
        assert now[f'scheduler_unschedulable_pods{{plugin="{plugin}",profile="one-of-a-kind"}}'] == 1
    assert now['scheduler_cache_size{type="nodes"}'] >= 1
    assert now['scheduler_cache_size{type="assumed_pods"}'] >= 1
    queue.gate("uid-a")
    assert not queue.failed()


def test_tries_are_counted_by_how_they_ended() -> None:
    counts = SchedulerMetrics(SchedulingQueue())
    before = values()
    counts.tried(SCHEDULED, "mine", 0.003)
    counts.tried(ERROR, "mine", 0.5)
    counts.placed(3, 0.5)
    counts.placed(20, 700.0)
    counts.decided(0.0015)
    counts.preempted(0)
    counts.preempted(5)
    now = values()

    def added(name: str) -> float:
        return round(now[name] - before.get(name, 0.0), 6)

    assert added('scheduler_schedule_attempts_total{profile="mine",result="scheduled"}') == 1
    assert added('scheduler_schedule_attempts_total{profile="mine",result="error"}') == 1
    name = "scheduler_scheduling_attempt_duration_seconds_bucket"
    assert added(f'{name}{{profile="mine",result="scheduled",le="0.002"}}') == 0
    assert added(f'{name}{{profile="mine",result="scheduled",le="0.004"}}') == 1
    assert added('scheduler_pod_scheduling_attempts_bucket{le="2"}') == 0
    assert added('scheduler_pod_scheduling_attempts_bucket{le="4"}') == 1
    assert added('scheduler_pod_scheduling_attempts_bucket{le="+Inf"}') == 2
    sli = "scheduler_pod_scheduling_sli_duration_seconds"
    assert added(f'{sli}_bucket{{attempts="3",le="0.32"}}') == 0
    assert added(f'{sli}_bucket{{attempts="3",le="0.64"}}') == 1
    assert added(f'{sli}_sum{{attempts="15+"}}') == 700
    assert added("scheduler_scheduling_algorithm_duration_seconds_count") == 1
    assert added("scheduler_preemption_attempts_total") == 2
    assert added("scheduler_preemption_victims_sum") == 5


async def test_a_cluster_counts_its_pods() -> None:
    before = values()
    async with Cluster(nodes=1) as cluster:
        await cluster.client.create(PODS, pod("placed"))
        await cluster.client.create(PODS, pod("stuck", nodeSelector={"no": "where"}))
        await cluster.wait_for(
            PODS, "placed", "default", lambda one: bool(one and one["spec"].get("nodeName"))
        )
        await cluster.wait_for(
            PODS, "stuck", "default", lambda one: bool(one and (one.get("status") or {}).get("conditions"))
        )
        now = values()
        followed = {"name": "kube-scheduler", "group": "", "version": "v1", "resource": "pods"}
        assert metrics.REGISTRY.sample_value("informer_processing_latency_seconds_count", followed)
        assert now['scheduler_pending_pods{queue="unschedulable"}'] >= 1
        for result in ("scheduled", "unschedulable"):
            name = f'scheduler_schedule_attempts_total{{profile="default-scheduler",result="{result}"}}'
            assert now[name] > before.get(name, 0.0)


def test_parts_of_a_decision_are_timed_as_it_goes_on() -> None:
    clock = FakeClock()
    times = Times("timed", clock).begin()
    for plugin in ("A", "B"):
        clock.advance(0.001)
        times.plugin("Filter", plugin)
    times.point("Filter", good=True)
    clock.advance(0.01)
    times.plugin("Score", "A")
    times.point("Score", good=True)
    times.took("Bind", "Error", 0.05)
    found = values()
    point = "scheduler_framework_extension_point_duration_seconds"
    rows = (("Filter", "Success", 0.002), ("Score", "Success", 0.01), ("Bind", "Error", 0.05))
    for name, status, seconds in rows:
        labels = f'{{extension_point="{name}",profile="timed",status="{status}"}}'
        assert round(found[f"{point}_sum{labels}"], 6) == seconds
        assert found[f"{point}_count{labels}"] == 1
    labels = '{extension_point="Filter",profile="timed",status="Success",le="0.0032"}'
    assert found[f"{point}_bucket{labels}"] == 1
    labels = '{extension_point="Filter",plugin="B",status="Success"}'
    assert found[f"scheduler_plugin_execution_duration_seconds_sum{labels}"] >= 0.001


def test_turns_of_plugins_that_had_something_to_do_are_counted() -> None:
    times = Times("turns", FakeClock())
    for plugins in (("A",), ("A", "C"), ("A",)):
        times.begin()
        times.point("Filter", good=True, plugins=plugins)
        times.point("Score", good=False, plugins=("A",))
        times.point("Reserve", good=True)
    found = {name for name in values() if "plugin_evaluation" in name and 'profile="turns"' in name}
    name = "scheduler_plugin_evaluation_total"
    rows = (("Filter", "A"), ("Score", "A"), ("Filter", "C"))
    labels = [f'{{extension_point="{point}",plugin="{plugin}",profile="turns"}}' for point, plugin in rows]
    assert found == {f"{name}{one}" for one in labels}
    assert [values()[f"{name}{one}"] for one in labels] == [3, 3, 1]
    times.point("Filter", good=True, plugins=("A",))  # after somebody has looked
    assert values()[f"{name}{labels[0]}"] == 4


async def test_bindings_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that fail are over too."""
    name = 'scheduler_goroutines{operation="binding"}'
    before, seen, write = values().get(name, 0), list[float](), Binder.bind

    async def bind(self: Binder, assumed: Assumed, prepared: Callable[[], None]) -> None:
        seen.append(values()[name])
        if len(seen) == 1:
            raise NotBound("not now")
        await write(self, assumed, prepared)

    monkeypatch.setattr(Binder, "bind", bind)
    async with Cluster(nodes=1) as cluster:
        await cluster.client.create(PODS, pod("a"))
        await cluster.wait_for(PODS, "a", "default", lambda one: bool(one and one["spec"].get("nodeName")))
    assert seen == [before + 1, before + 1]
    assert values()[name] == before


def test_figures_that_are_held_are_looked_at_in_time() -> None:
    """So many that nobody scrapes are never held; none is lost."""
    times = Times("held", FakeClock())
    for _ in range(3 * 256):
        times.begin().point("Filter", good=True)
    held = times._points["Filter", "Success"]
    assert len(held._held) <= 256
    labels = '{extension_point="Filter",profile="held",status="Success"}'
    assert values()[f"scheduler_framework_extension_point_duration_seconds_count{labels}"] == 3 * 256
    assert held._held == []


def test_events_and_hints_are_timed() -> None:
    """An event that helps a plugin's pod, and one that does not."""
    clock = FakeClock()

    def asked(_plugin: str, info: PodInfo) -> bool:
        clock.advance(0.001)
        return info.uid == "uid-a"

    hint = timed_hint(asked, "OneEvent", clock)
    assert [hint("P", pod_info(pod(name))) for name in ("a", "b", "b")] == [True, False, False]
    handled("OneEvent", 0.5)
    found, name = values(), "scheduler_queueing_hint_execution_duration_seconds"
    for said, count in (("Queue", 1), ("QueueSkip", 2)):
        labels = f'{{event="OneEvent",hint="{said}",plugin="P"}}'
        assert found[f"{name}_count{labels}"] == count
        assert round(found[f"{name}_sum{labels}"], 6) == count / 1000
    assert found['scheduler_event_handling_duration_seconds_sum{event="OneEvent"}'] == 0.5


async def test_an_intake_times_what_it_tells_the_queue() -> None:
    nodes, queue, clock = columns(node("n")), SchedulingQueue(), FakeClock()
    profiles = {"default-scheduler": default_profile()}
    hints = Hints(profiles, scheduler_of, nodes)
    intake = Intake(nodes, queue, hints, profiles, clock)
    queue.add(pod_info(pod("a")), 0.0)
    queued = queue.pop(0.0)
    assert queued is not None
    queue.park(queued, frozenset({"NodeResourcesFit"}), 0.0)
    event = "scheduler_event_handling_duration_seconds_count"
    hinted = "scheduler_queueing_hint_execution_duration_seconds_count"
    labels = '{event="AssignedPodDelete",hint="%s",plugin="NodeResourcesFit"}'
    before = values()
    nodes.add_pod(pod_info(pod("b")), "n")
    intake.moved(Change("pod-removed", before=pod_info(pod("b"))))
    intake.moved(Change("pod-removed"))  # of which nobody knows what it was
    now = values()
    changed = {name: value - before.get(name, 0) for name, value in now.items()}
    assert changed[f'{event}{{event="AssignedPodDelete"}}'] == 2
    assert sum(changed.get(f"{hinted}{labels % said}", 0) for said in ("Queue", "QueueSkip")) == 1


@pytest.mark.parametrize(("again", "flushed"), [("flush", True), ("event", False), ("both", False)])
def test_pods_that_found_a_place_after_waiting_long(again: str, *, flushed: bool) -> None:
    queue = SchedulingQueue()
    queue.add(pod_info(pod("a")), 0.0)

    def park(now_s: float) -> Queued:
        queued = queue.pop(now_s)
        assert queued is not None
        queue.park(queued, frozenset({"NodeResourcesFit"}), now_s)
        return queued

    queued = park(0.0)
    if again != "event":
        queue.flush(1000.0)
    if again == "both":
        park(1000.0)
    if again != "flush":
        queue.move("pod-removed", 2000.0)
    assert queue.pop(3000.0) is queued
    assert queued.flushed == flushed
    name = "scheduler_pod_scheduled_after_flush_total"
    before = values()[name]
    SchedulerMetrics(queue).placed(2, 1.0, flushed=queued.flushed)
    assert values()[name] - before == flushed


@pytest.mark.parametrize(("good", "result"), [(True, "success"), (False, "error")])
def test_removals_of_others_are_counted(result: str, *, good: bool) -> None:
    clock = FakeClock()
    name = "scheduler_preemption_goroutines"
    before = values()
    with preempting(clock) as outcome:
        clock.advance(0.5)
        outcome.good = good
    now = values()
    for part, more in (("execution_total", 1), ("duration_seconds_count", 1), ("duration_seconds_sum", 0.5)):
        key = f'{name}_{part}{{result="{result}"}}'
        assert now[key] - before.get(key, 0) == more


@pytest.mark.parametrize(("good", "status"), [(True, "success"), (False, "failure")])
def test_claims_that_are_made_are_counted(status: str, *, good: bool) -> None:
    key = f'scheduler_resourceclaim_creates_total{{status="{status}"}}'
    before = values().get(key, 0)
    with contextlib.suppress(ValueError), making_claim():
        if not good:
            raise ValueError
    assert values()[key] == before + 1


def test_a_binding_is_timed_in_its_parts() -> None:
    clock = FakeClock()
    times = Times("binds", clock)
    bound, lost = times.binding(), times.binding()
    clock.advance(3.0)
    bound.prepared()
    lost.end("Error")
    clock.advance(0.5)
    bound.end("Success")
    clock.advance(0.25)
    bound.end("Success")
    lost.end("Success")
    found = values()
    name = "scheduler_framework_extension_point_duration_seconds"
    for point, status, seconds in (
        ("PreBind", "Success", 3),
        ("PreBind", "Error", 3),
        ("Bind", "Success", 0.5),
        ("PostBind", "Success", 0.25),
        ("Unreserve", "Success", 0.75),
    ):
        labels = f'{{extension_point="{point}",profile="binds",status="{status}"}}'
        assert (found[f"{name}_sum{labels}"], found[f"{name}_count{labels}"]) == (seconds, 1)


def test_points_of_one_plugin_are_its_times_too() -> None:
    clock = FakeClock()
    times = Times("alone", clock).begin()
    times.took("PostFilter", "Unschedulable", 7.0, "Alone")
    binding = times.binding()
    binding.prepared()
    clock.advance(0.5)
    binding.end("Error")
    found, name = values(), "scheduler_plugin_execution_duration_seconds_sum"
    assert found[f'{name}{{extension_point="PostFilter",plugin="Alone",status="Unschedulable"}}'] == 7.0
    assert found[f'{name}{{extension_point="Bind",plugin="DefaultBinder",status="Error"}}'] >= 0.5


def test_waits_of_others_are_nobodys_time() -> None:
    clock = FakeClock()
    times = Times("waits", clock).begin()
    clock.advance(1.0)
    times.point("PreFilter", good=False, bad="UnschedulableAndUnresolvable")
    clock.advance(5.0)
    times.again()
    clock.advance(0.5)
    times.point("Filter", good=True)
    found, name = values(), "scheduler_framework_extension_point_duration_seconds_sum"
    rows = (("PreFilter", "UnschedulableAndUnresolvable", 1), ("Filter", "Success", 0.5))
    for point, status, seconds in rows:
        assert found[f'{name}{{extension_point="{point}",profile="waits",status="{status}"}}'] == seconds


def test_plugins_are_timed_in_one_of_ten_decisions() -> None:
    times = Times("sampled", FakeClock())
    labels = '{extension_point="Filter",plugin="Z",status="Success"}'
    name = f"scheduler_plugin_execution_duration_seconds_count{labels}"
    for _ in range(21):
        if times.begin().sampled:
            times.plugin("Filter", "Z")
        times.point("Filter", good=False)
    found = values()
    assert found[name] == 3
    labels = '{extension_point="Filter",profile="sampled",status="Unschedulable"}'
    assert found[f"scheduler_framework_extension_point_duration_seconds_count{labels}"] == 21


async def test_a_scheduler_times_its_extension_points() -> None:
    before = values()
    async with Cluster(nodes=2) as cluster:
        await cluster.client.create(PODS, pod("fits"))
        await cluster.client.create(PODS, pod("never", nodeSelector={"no": "where"}))
        await cluster.wait_for(PODS, "fits", "default", lambda one: bool(one and one["spec"].get("nodeName")))
        await cluster.wait_for(
            PODS, "never", "default", lambda one: bool(one and (one.get("status") or {}).get("conditions"))
        )
        for point, status in (
            ("Filter", "Success"), ("Filter", "Unschedulable"), ("PostFilter", "Unschedulable"),
            ("Reserve", "Success"), ("PreBind", "Success"), ("PreFilter", "Success"), ("Permit", "Success"),
            ("Bind", "Success"), ("PostBind", "Success"), ("PreScore", "Success"), ("Score", "Success"),
        ):  # fmt: skip
            assert _timed(point, status), (point, status)
    for point, plugin in (
        ("PreFilter", "DynamicResources"), ("Filter", "NodeAffinity"), ("Score", "ImageLocality"),
        ("Reserve", "VolumeBinding"), ("Reserve", "DynamicResources"), ("Bind", "DefaultBinder"),
    ):  # fmt: skip
        labels = f'{{extension_point="{point}",plugin="{plugin}",status="Success"}}'
        name = f"scheduler_plugin_execution_duration_seconds_count{labels}"
        assert values().get(name, 0) > before.get(name, 0), (point, plugin)


def _timed(point: str, status: str) -> bool:
    labels = f'{{extension_point="{point}",profile="default-scheduler",status="{status}"}}'
    return values().get(f"scheduler_framework_extension_point_duration_seconds_count{labels}", 0) > 0


async def test_volumes_that_cannot_be_bound_are_counted() -> None:
    name = 'scheduler_volume_scheduling_stage_error_total{operation="bind"}'
    before = values().get(name, 0)
    queue = SchedulingQueue()
    queue.add(pod_info(pod("a")), 0.0)
    queued = queue.pop(0.0)
    assert queued is not None
    client = Client(InProcessTransport(FakeApi().handler))
    binder = Binder(client, Volumes())
    for choice in (VolumeChoice(bind=(("default/gone", "v"),)), VolumeChoice()):
        with contextlib.suppress(TiphysError):
            await binder.bind(Assumed(queued, "n", choice))
    await client.close()
    assert values()[name] == before + 1
