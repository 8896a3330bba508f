"""What a scheduler counts: tries, who waits where, why."""

from scheduler_builders import columns, node

from tiphys.apimachinery.clock import FakeClock
from tiphys.client import metrics
from tiphys.client.kinds import PODS
from tiphys.scheduler.metrics import ERROR, SCHEDULED, SchedulerMetrics, Times
from tiphys.scheduler.podinfo import pod_info
from tiphys.scheduler.queue import SchedulingQueue
from tiphys.testing import Cluster


def values() -> dict[str, float]:
    lines = [line for line in metrics.render().decode().splitlines() if line.startswith("scheduler_")]
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
        times.begin().plugin("Filter", "Z")
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
