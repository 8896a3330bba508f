"""Single steps of a Job, without any API: who is counted, who goes, what is told."""

from datetime import UTC, datetime

import pytest

from tiphys.controllers.job.backoff import Backoff
from tiphys.controllers.job.controller import build_pod
from tiphys.controllers.job.count import MOST_UNCOUNTED, TRACKING
from tiphys.controllers.job.plan import plan

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEGAN = "2026-01-01T11:00:00Z"


def job(parallelism=2, completions=2, name="x", status=None, **spec):
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "d", "uid": "j"},
        "spec": {
            "parallelism": parallelism,
            "completions": completions,
            "backoffLimit": 6,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}},
            **spec,
        },
        "status": {"startTime": BEGAN, **(status or {})},
    }


def pod(name, phase="Running", index=None, *, tracked=True, deleting=False, **status):
    meta = {"name": name, "namespace": "d", "uid": name, "creationTimestamp": BEGAN}
    if tracked:
        meta["finalizers"] = [TRACKING]
    if index is not None:
        meta["annotations"] = {"batch.kubernetes.io/job-completion-index": str(index)}
    if deleting:
        meta["deletionTimestamp"] = BEGAN
    return {"metadata": meta, "spec": {}, "status": {"phase": phase, **status}}


def names(pods):
    return sorted(item["metadata"]["name"] for item in pods)


def indexed(**spec):
    return job(completionMode="Indexed", **spec)


@pytest.mark.parametrize(
    ("spec", "pods", "gone"),
    [
        pytest.param(
            {}, [pod("a", index=0), pod("b", index=0), pod("c", index=1)], 1, id="index taken twice"
        ),
        pytest.param({}, [pod("a", index=0), pod("b", index=5)], ["b"], id="index beyond the end"),
        pytest.param({}, [pod("a", index=0), pod("b")], ["b"], id="no index"),
        pytest.param({"parallelism": 1}, [pod("a", index=0), pod("b", index=1)], 1, id="one too many"),
        pytest.param(
            {},
            [pod("a", "Pending", index=0), pod("b", index=0), pod("c", index=1)],
            ["a"],
            id="the lesser goes",
        ),
        pytest.param({}, [pod("a", index=0), pod("b", index=1)], [], id="all is well"),
        pytest.param({"suspend": True}, [pod("a", index=0), pod("b", index=1)], ["a", "b"], id="suspended"),
    ],
)
def test_pods_that_are_taken_away(spec, pods, gone):
    found = names(plan(indexed(**spec), pods, NOW).discard)
    assert len(found) == gone if isinstance(gone, int) else found == gone


def test_pods_that_started_least_go_first():
    pods = [
        pod("run"),
        pod("wait", "Pending"),
        pod("ready", conditions=[{"type": "Ready", "status": "True"}]),
    ]
    assert names(plan(job(1, 5), pods, NOW).discard) == ["run", "wait"]
    assert plan(job(0, 5), pods, NOW).status["ready"] == 0


def test_pods_that_are_to_go_are_neither_active_nor_ready():
    pods = [pod(name, conditions=[{"type": "Ready", "status": "True"}]) for name in "abc"]
    planned = plan(job(1, 5), pods, NOW)
    assert len(planned.discard) == 2
    assert (planned.status["active"], planned.status["ready"]) == (1, 1)


@pytest.mark.parametrize(
    ("completions", "done", "text", "count"),
    [
        pytest.param(4, "0,2", "0,2", 2, id="more than before"),
        pytest.param(2, "0,2", "0", 1, id="an index that is asked for no more is forgotten"),
        pytest.param(3, "2", "2", 1, id="as many as before"),
        pytest.param(1, "1-2", "", 0, id="none is left"),
    ],
)
def test_the_number_of_completions_may_change(completions, done, text, count):
    status = {"completedIndexes": done, "succeeded": 9}
    told = plan(indexed(completions=completions, parallelism=completions, status=status), [], NOW).status
    assert (told.get("completedIndexes", ""), told.get("succeeded", 0)) == (text, count)


@pytest.mark.parametrize(("index", "failed"), [(1, 1), (2, 0), (None, 0)])
def test_a_failure_counts_for_an_index_that_is_asked_for(index, failed):
    planned = plan(indexed(), [pod("a", "Failed", index)], NOW)
    assert len(planned.status["uncountedTerminatedPods"].get("failed", ())) == failed
    assert names(planned.release) == ["a"]


def test_none_to_do_is_done():
    planned = plan(indexed(completions=0, parallelism=0), [], NOW)
    assert [item["type"] for item in planned.status["conditions"]] == ["SuccessCriteriaMet", "Complete"]


@pytest.mark.parametrize(
    ("completions", "phase", "kind"), [(2000, "Succeeded", "succeeded"), (2000, "Failed", "failed")]
)
def test_the_ledger_stays_small(completions, phase, kind):
    pods = [pod(f"p{number}", phase) for number in range(MOST_UNCOUNTED + 7)]
    planned = plan(job(600, completions, backoffLimit=10_000), pods, NOW, Backoff())
    assert len(planned.status["uncountedTerminatedPods"][kind]) == MOST_UNCOUNTED
    assert len(planned.release) == MOST_UNCOUNTED, "the rest keep their finalizer until they are counted"


def test_what_has_no_room_in_the_ledger_still_counts():
    pods = [pod(f"p{number}", "Succeeded") for number in range(MOST_UNCOUNTED + 7)]
    planned = plan(job(600, len(pods)), pods, NOW)
    assert [item["type"] for item in planned.status["conditions"]] == ["SuccessCriteriaMet"]
    more = plan(job(600, len(pods) + 2), pods, NOW)
    assert len(more.create) == 2


def test_more_successes_than_were_asked_for_are_told():
    status = {"succeeded": 3, "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]}
    planned = plan(job(status=status), [], NOW)
    assert [event[:2] for event in planned.events] == [
        ("Warning", "TooManySucceededPods"),
        ("Normal", "Completed"),
    ]


EXIT_5 = {"state": {"terminated": {"exitCode": 5}}}


@pytest.mark.parametrize(
    ("rule", "status", "message"),
    [
        pytest.param(
            {"onExitCodes": {"operator": "In", "values": [5]}},
            {
                "initContainerStatuses": [{"name": "init", **EXIT_5}],
                "containerStatuses": [{"name": "main", **EXIT_5}],
            },
            "Container main for pod d/a failed with exit code 5 matching FailJob rule at index 0",
            id="containers before those that come first",
        ),
        pytest.param(
            {"onExitCodes": {"operator": "In", "values": [-1073741510]}},
            {"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": -1073741510}}}]},
            "Container c for pod d/a failed with exit code -1073741510 matching FailJob rule at index 0",
            id="a code below zero",
        ),
        pytest.param(
            {"onPodConditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]},
            {"conditions": [{"type": "A", "status": "False"}, {"type": "B", "status": "True"}]},
            "Pod d/a has condition B matching FailJob rule at index 0",
            id="the condition that it has",
        ),
    ],
)
def test_why_a_rule_fails_the_job(rule, status, message):
    made = job(podFailurePolicy={"rules": [{"action": "FailJob", **rule}]})
    (condition,) = plan(made, [pod("a", "Failed", **status)], NOW).status["conditions"]
    assert (condition["type"], condition["reason"]) == ("FailureTarget", "PodFailurePolicy")
    assert condition["message"] == message


def test_with_a_failure_policy_a_pod_on_its_way_out_is_not_replaced():
    made = job(1, 1, podFailurePolicy={"rules": [{"action": "Count"}]})
    planned = plan(made, [pod("a", deleting=True)], NOW)
    assert (planned.create, planned.release, planned.status["terminating"]) == ([], [], 1)


@pytest.mark.parametrize(
    ("name", "index", "prefix"),
    [
        pytest.param("short", 3, "short-3-", id="short"),
        pytest.param("n" * 60, 3, "n" * 55 + "-3-", id="cut before its index"),
        pytest.param("n" * 60, 12345, "n" * 51 + "-12345-", id="the longer the index"),
    ],
)
def test_an_index_is_never_cut_from_a_name(name, index, prefix):
    assert build_pod(indexed(name=name), index)["metadata"]["generateName"] == prefix
