"""Jobs whose pods fail in every way, and StatefulSets whose pods are not well, on real containers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cluster import RunningCluster, eventually
from manifests import Object, container, pod, service

pytestmark = pytest.mark.e2e
ODD_FAIL = "exit $((JOB_COMPLETION_INDEX % 2))"
INDEXED = {"completionMode": "Indexed"}
POLICY = {"reason": "SuccessPolicy"}


def _job(
    name: str, script: str, *, restart: str = "Never", pod_spec: Object | None = None, **spec: Any
) -> Object:
    template = pod("j", container(script), restartPolicy=restart, **(pod_spec or {}))["spec"]
    template["terminationGracePeriodSeconds"] = 1
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"parallelism": 2, "completions": 4, "template": {"spec": template}, **spec},
    }  # fmt: skip


def _exit_code_rule(action: str, *codes: int) -> Object:
    rule = {"action": action, "onExitCodes": {"operator": "In", "values": list(codes)}}
    return {"podFailurePolicy": {"rules": [rule]}}


def _success(**rule: Any) -> Object:
    return {**INDEXED, "completions": 5, "successPolicy": {"rules": [rule]}}


DONE = {"active": 0, "ready": 0, "terminating": 0}
JOBS: dict[str, tuple[Object, str, Object, Object]] = {
    # name: job, type of its last condition, what that says, what its status says
    "indexed": (_job("indexed", "true", **INDEXED), "Complete", {"reason": "CompletionsReached"},
                {"succeeded": 4, "completedIndexes": "0-3", **DONE}),
    "restarted-in-place": (
        _job("restarted-in-place", "test -e /work/once || { touch /work/once; exit 1; }", restart="OnFailure",
             pod_spec={"volumes": [{"name": "work", "emptyDir": {}}]}),
        "Complete", {"reason": "CompletionsReached"}, {"succeeded": 4, "failed": 0, **DONE}),
    "fail-job": (_job("fail-job", "exit 1", **_exit_code_rule("FailJob", 1)), "Failed",
                 {"reason": "PodFailurePolicy"}, DONE),
    "limit-per-index": (
        _job("limit-per-index", ODD_FAIL, backoffLimitPerIndex=1, **INDEXED), "Failed",
        {"reason": "FailedIndexes"},
        {"failedIndexes": "1,3", "completedIndexes": "0,2", "failed": 4, "succeeded": 2, **DONE}),
    "max-failed-indexes": (
        _job("max-failed-indexes", ODD_FAIL, backoffLimitPerIndex=1, maxFailedIndexes=0, **INDEXED), "Failed",
        {"reason": "MaxFailedIndexesExceeded"}, {"failedIndexes": "1", **DONE}),
    "fail-index": (
        _job("fail-index", "test $JOB_COMPLETION_INDEX != 1 || exit 42", backoffLimitPerIndex=1,
             completions=2, **INDEXED, **_exit_code_rule("FailIndex", 42)),
        "Failed", {"reason": "FailedIndexes"},
        {"failedIndexes": "1", "completedIndexes": "0", "failed": 1, "succeeded": 1, **DONE}),
    "all-succeeded": (_job("all-succeeded", "true", **_success(succeededCount=2) | {"completions": 2}),
                      "Complete", POLICY, {"succeeded": 2, "failed": 0, **DONE}),
    "succeeded-indexes": (_job("succeeded-indexes", ODD_FAIL, **_success(succeededIndexes="0")), "Complete",
                          POLICY, {"completedIndexes": "0", **DONE}),
    "succeeded-count": (
        _job("succeeded-count", ODD_FAIL, **_success(succeededCount=1), backoffLimit=2147483647), "Complete",
        POLICY, {"completedIndexes": "0", **DONE}),
}  # fmt: skip
INTERIM = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}


def test_how_jobs_end(newest: RunningCluster) -> None:
    """All at once; each says first that it will end so, and then that it has."""
    it = newest
    for job, *_ in JOBS.values():
        for one in job["spec"]["template"]["spec"].get("volumes", ()):
            mounts = [{"name": one["name"], "mountPath": "/work"}]
            job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = mounts
    it.apply(*(job for job, *_ in JOBS.values()))
    wrong = {}
    for name, (_, last, says, counts) in JOBS.items():

        def ended(name: str = name) -> Object | None:
            found: Object = it.json("get", f"job/{name}")
            types = [one["type"] for one in found.get("status", {}).get("conditions", ())]
            return found if {"Complete", "Failed"} & set(types) else None

        status = eventually(ended, 90)["status"]
        conditions = {one["type"]: one for one in status["conditions"]}
        seen = {key: status.get(key, 0) for key in counts}
        told = {key: conditions.get(last, {}).get(key) for key in says}
        if (list(conditions), told, seen) != ([INTERIM[last], last], says, counts):
            wrong[name] = status
    assert wrong == {}
    index = "batch.kubernetes.io/job-completion-index"
    pods = it.json("get", "pods", "-l", "job-name=indexed")["items"]
    hostnames = {one["metadata"]["annotations"][index]: one["spec"]["hostname"] for one in pods}
    assert hostnames == {str(number): f"indexed-{number}" for number in range(4)}


def test_evicted_pods_of_a_job_are_no_failures(newest: RunningCluster, tmp_path: Path) -> None:
    """Each index runs until it is evicted, and ends at once when it is run again."""
    it = newest
    script = (
        "test -e /work/$JOB_COMPLETION_INDEX && exit 0; touch /work/$JOB_COMPLETION_INDEX; sleep 1000 & wait"
    )
    ignored = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    volume = {"name": "work", "hostPath": {"path": str(tmp_path)}}
    job = _job(
        "evicted", script, parallelism=3, completions=3, backoffLimit=0, **INDEXED,
        podFailurePolicy={"rules": [ignored]}, pod_spec={"nodeName": "node-1", "volumes": [volume]},
    )  # fmt: skip
    mounts = [{"name": "work", "mountPath": "/work"}]
    job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = mounts
    it.apply(job)
    it.wait("job/evicted", "jsonpath={.status.ready}=3", 60)
    first = it.json("get", "pods", "-l", "job-name=evicted")["items"]
    for one in first:
        name = one["metadata"]["name"]
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        path = f"/api/v1/namespaces/{it.namespace}/pods/{name}/eviction"
        it.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
    eventually(lambda: "Complete" in it.path("job/evicted", ".status.conditions[*].type"), 60)
    status = it.json("get", "job/evicted")["status"]
    assert (status["succeeded"], status.get("failed", 0)) == (3, 0)
    assert status["conditions"][-1]["reason"] == "CompletionsReached"


def _stateful(replicas: int, policy: str = "OrderedReady", **spec: Any) -> Object:
    serving = {
        "name": "web", "image": "tiphys.test/web:1",
        "readinessProbe": {
            "httpGet": {"path": "/index.html", "port": 80}, "periodSeconds": 1, "failureThreshold": 1,
        },
    }  # fmt: skip
    template = pod("ss", serving)["spec"] | {"terminationGracePeriodSeconds": 1, **spec}
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "ss"},
        "spec": {
            "serviceName": "ss", "replicas": replicas, "podManagementPolicy": policy,
            "selector": {"matchLabels": {"app": "ss"}},
            "template": {"metadata": {"labels": {"app": "ss"}}, "spec": template},
        },
    }  # fmt: skip


class Stateful:
    """A StatefulSet whose pods are made unwell and well again by hand."""

    def __init__(self, it: RunningCluster, policy: str) -> None:
        self.it = it
        it.apply(service("ss", clusterIP="None"), _stateful(1, policy))
        self.ready(1)

    def ready(self, count: int) -> None:
        self.it.wait("statefulset/ss", f"jsonpath={{.status.readyReplicas}}={count}", 60)

    def names(self) -> list[str]:
        items = self.it.json("get", "pods", "-l", "app=ss")["items"]
        return sorted(one["metadata"]["name"] for one in items if "deletionTimestamp" not in one["metadata"])

    def scale(self, count: int) -> None:
        self.it.kubectl("scale", "statefulset/ss", f"--replicas={count}")
        generation = self.it.path("statefulset/ss", ".metadata.generation")
        self.it.wait("statefulset/ss", f"jsonpath={{.status.observedGeneration}}={generation}")

    def unwell(self) -> None:
        for name in self.names():
            self.it.sh(name, "mv /tmp/index.html /tmp/away")
        eventually(lambda: self.it.json("get", "statefulset/ss")["status"].get("readyReplicas", 0) == 0, 30)

    def well(self) -> None:
        for name in self.names():
            # Those that came later are well, and have nothing to put back.
            self.it.sh(name, "test ! -e /tmp/away || mv /tmp/away /tmp/index.html")


def test_ordered_sets_halt_at_an_unwell_pod(newest: RunningCluster) -> None:
    """Up and down, and each time in order."""
    it = newest
    with it.background("get", "pods", "-l", "app=ss", "--watch", "--output-watch-events") as watching:
        ordered = Stateful(it, "OrderedReady")
        ordered.unwell()
        ordered.scale(3)
        assert ordered.names() == ["ss-0"]
        ordered.well()
        ordered.ready(3)
        ordered.unwell()
        ordered.scale(0)
        assert ordered.names() == ["ss-0", "ss-1", "ss-2"]
        ordered.well()
        lines = watching.until("DELETED    ss-0", 60).splitlines()
    events = [tuple(line.split()[:2]) for line in lines]
    came = [name for kind, name in events if kind == "ADDED"]
    went = [name for kind, name in events if kind == "DELETED"]
    assert (came, went) == (["ss-0", "ss-1", "ss-2"], ["ss-2", "ss-1", "ss-0"])


def test_parallel_sets_do_not(newest: RunningCluster) -> None:
    parallel = Stateful(newest, "Parallel")
    parallel.unwell()
    parallel.scale(3)
    eventually(lambda: parallel.names() == ["ss-0", "ss-1", "ss-2"], 30)
    parallel.well()
    parallel.ready(3)
    parallel.unwell()
    parallel.scale(0)
    eventually(lambda: parallel.names() == [], 30)


def test_a_pod_that_its_node_refuses_is_made_again(newest: RunningCluster) -> None:
    """Its port is taken there: it fails and is deleted until the port is free."""
    it = newest
    taken = {"name": "conflict", "hostPort": 21017, "containerPort": 21017}
    it.apply(pod("test-pod", container(ports=[taken]), nodeName="node-1", terminationGracePeriodSeconds=0))
    it.ready("test-pod")
    body = _stateful(1, nodeName="node-1")
    body["spec"]["template"]["spec"]["containers"][0]["ports"] = [taken]
    it.apply(service("ss", clusterIP="None"), body)
    seen: set[str] = set()

    def uids() -> bool:
        found = it.try_kubectl("get", "pod/ss-0", "-o", "jsonpath={.metadata.uid}")
        seen.update({found.out} if found.code == 0 else ())
        return len(seen) > 1

    eventually(uids, 60)
    it.kubectl("delete", "pod/test-pod", "--now")
    eventually(
        lambda: it.try_kubectl("get", "pod/ss-0", "-o", "jsonpath={.status.phase}").out == "Running", 60
    )
