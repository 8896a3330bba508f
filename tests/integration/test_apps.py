"""Workloads in a whole control plane: what the controllers make of each other's work."""

import pytest

from tiphys.apimachinery.errors import TooManyRequests
from tiphys.apimachinery.meta import get_condition
from tiphys.client.kinds import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    JOBS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
)
from tiphys.testing import Cluster, simulate

pytestmark = pytest.mark.slow
LABELS = {"app": "x"}


def template(image="i", **spec):
    return {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "c", "image": image}], **spec},
    }


def workload(kind, replicas=None, **spec):
    version = "v1" if kind == "ReplicationController" else "apps/v1"
    selector = LABELS if kind == "ReplicationController" else {"matchLabels": LABELS}
    body = {"selector": selector, "template": template(), **spec}
    if replicas is not None:
        body["replicas"] = replicas
    if kind == "StatefulSet":
        body.setdefault("serviceName", "x")
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "x", "namespace": "default", "labels": LABELS},
        "spec": body,
    }


def pod(name, labels=None):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels or LABELS},
        "spec": template()["spec"],
    }


def ready(count, field="readyReplicas"):
    return lambda item: bool(item) and (item.get("status") or {}).get(field, 0) == count


def settled(count):
    """Every replica is of the newest template and ready."""

    def holds(item):
        status = item.get("status") or {}
        return status.get("observedGeneration") == item["metadata"]["generation"] and all(
            status.get(name, 0) == count for name in ("replicas", "updatedReplicas", "readyReplicas")
        )

    return holds


async def pods_of(cluster):
    found = await cluster.client.list(PODS, "default", label_selector="app=x")
    return [item for item in found["items"] if not item["metadata"].get("deletionTimestamp")]


async def break_pod(cluster, name, *, phase="Running", ready="False"):
    """Say of a pod what its kubelet would: it is no longer ready, or it ended."""
    condition = {"type": "Ready", "status": ready}
    patch = {"status": {"phase": phase, "conditions": [condition]}}
    await cluster.client.patch(PODS, name, "default", patch, type="strategic", subresource="status")


async def settled_set(cluster, name, wanted):
    """Wait until a set is asked for so many pods and has them; return it."""
    return await cluster.wait_for(
        REPLICA_SETS,
        name,
        "default",
        lambda item: (
            bool(item) and item["spec"]["replicas"] == (item.get("status") or {}).get("replicas", 0) == wanted
        ),
    )


def test_a_rollover_goes_straight_to_the_newest_template():
    """A set taken over, a template whose pods are never long enough there, and another that ends both.

    At no time are there more pods than one beyond what is asked for, or fewer of them available.
    """
    roll = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    stuck = template("nonexistent", schedulingGates=[{"name": "boats.example/hold"}])

    async def revision(cluster, number, holds=bool):
        def reached(item):
            marks = item["metadata"].get("annotations") or {}
            return marks.get("deployment.kubernetes.io/revision") == number and holds(item)

        return await cluster.wait_for(DEPLOYMENTS, "x", "default", reached)

    async def story(simulation):
        async with Cluster(nodes=2, clock=simulation.clock) as cluster:
            client = cluster.client
            taken = workload("ReplicaSet", 1)
            taken["metadata"]["name"] = "test-rollover-controller"
            await client.create(REPLICA_SETS, taken)
            await cluster.wait_for(REPLICA_SETS, "test-rollover-controller", "default", ready(1))
            deployment = workload("Deployment", 1, strategy=roll, minReadySeconds=10, template=stuck)
            await client.create(DEPLOYMENTS, deployment)
            started = await revision(cluster, "1", ready(1, "updatedReplicas"))
            await settled_set(cluster, "test-rollover-controller", 1)
            (second,) = [
                item["metadata"]["name"]
                for item in (await client.list(REPLICA_SETS, "default"))["items"]
                if item["metadata"]["name"] != "test-rollover-controller"
            ]
            await settled_set(cluster, second, 1)
            begun = started["metadata"]["resourceVersion"]
            await client.patch(
                DEPLOYMENTS,
                "x",
                "default",
                {"spec": {"template": {"spec": template("k")["spec"] | {"schedulingGates": None}}}},
            )
            await revision(cluster, "2", settled(1))
            await cluster.wait_for(DEPLOYMENTS, "x", "default", ready(1, "availableReplicas"), timeout_s=60)
            async with client.watch(DEPLOYMENTS, "default", resource_version=begun) as events:
                async for event in events:
                    status = event.object["status"]
                    assert status["replicas"] <= 2
                    assert status["availableReplicas"] >= 1
                    if settled(1)(event.object):
                        break
            for name in ("test-rollover-controller", second):
                await settled_set(cluster, name, 0)

    simulate(story, seed=1)


async def test_annotations_count_but_the_revision_does_not():
    async with Cluster(nodes=2) as cluster:
        client = cluster.client
        await client.create(DEPLOYMENTS, workload("Deployment", 1))
        made = await cluster.wait_for(DEPLOYMENTS, "x", "default", settled(1))
        assert made["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
        assert made["metadata"]["generation"] == 1
        noted = await client.patch(DEPLOYMENTS, "x", "default", {"metadata": {"annotations": {"a": "b"}}})
        assert noted["metadata"]["generation"] == 2
        await cluster.wait_for(DEPLOYMENTS, "x", "default", settled(1))


async def test_old_sets_go_beyond_the_history_limit():
    async with Cluster(nodes=1) as cluster:
        await cluster.client.create(DEPLOYMENTS, workload("Deployment", 1, revisionHistoryLimit=0))
        await cluster.wait_for(DEPLOYMENTS, "x", "default", settled(1))
        first = (await cluster.client.list(REPLICA_SETS, "default"))["items"][0]["metadata"]["name"]
        await cluster.client.patch(DEPLOYMENTS, "x", "default", {"spec": {"template": template("j")}})
        await cluster.wait_for(REPLICA_SETS, first, "default", lambda item: item is None)


async def test_a_scaled_rollout_keeps_its_proportions():
    roll = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    async with Cluster(nodes=2) as cluster:
        await cluster.client.create(DEPLOYMENTS, workload("Deployment", 10, strategy=roll))
        await cluster.wait_for(DEPLOYMENTS, "x", "default", settled(10))
        # Nothing of the new template is ever scheduled: the rollout stands half way.
        stuck = {"spec": {"template": template("j", nodeSelector={"no": "where"})}}
        await cluster.client.patch(DEPLOYMENTS, "x", "default", stuck)
        await cluster.wait_for(DEPLOYMENTS, "x", "default", ready(5, "updatedReplicas"))
        await cluster.wait_for(DEPLOYMENTS, "x", "default", ready(8))
        await cluster.client.patch(DEPLOYMENTS, "x", "default", {"spec": {"replicas": 30}})
        await cluster.wait_for(DEPLOYMENTS, "x", "default", ready(33, "replicas"))
        sets = (await cluster.client.list(REPLICA_SETS, "default"))["items"]
        assert sorted(item["spec"]["replicas"] for item in sets) == [13, 20]


async def test_scaling_a_stateful_set_halts_at_an_unhealthy_pod():
    async with Cluster(nodes=1) as cluster:
        client = cluster.client
        await client.create(STATEFUL_SETS, workload("StatefulSet", 1))
        await cluster.wait_for(STATEFUL_SETS, "x", "default", ready(1))
        await break_pod(cluster, "x-0")
        await cluster.wait_for(STATEFUL_SETS, "x", "default", ready(0))
        await client.patch(STATEFUL_SETS, "x", "default", {"spec": {"replicas": 3}})
        await cluster.wait_for(
            STATEFUL_SETS, "x", "default", lambda item: item["status"].get("observedGeneration") == 2
        )
        assert [item["metadata"]["name"] for item in await pods_of(cluster)] == ["x-0"]
        await break_pod(cluster, "x-0", ready="True")
        await cluster.wait_for(STATEFUL_SETS, "x", "default", ready(3))
        for name in ("x-0", "x-1", "x-2"):
            await break_pod(cluster, name)
        await cluster.wait_for(STATEFUL_SETS, "x", "default", ready(0))
        await client.patch(STATEFUL_SETS, "x", "default", {"spec": {"replicas": 0}})
        await cluster.wait_for(
            STATEFUL_SETS, "x", "default", lambda item: item["status"].get("observedGeneration") == 3
        )
        assert len(await pods_of(cluster)) == 3
        for name in ("x-0", "x-1", "x-2"):
            await break_pod(cluster, name, ready="True")
        await cluster.wait_for(STATEFUL_SETS, "x", "default", ready(0, "replicas"))


async def test_a_parallel_stateful_set_bursts_past_unhealthy_pods():
    async with Cluster(nodes=1) as cluster:
        await cluster.client.create(STATEFUL_SETS, workload("StatefulSet", 1, podManagementPolicy="Parallel"))
        await cluster.wait_for(STATEFUL_SETS, "x", "default", ready(1))
        await break_pod(cluster, "x-0")
        await cluster.client.patch(STATEFUL_SETS, "x", "default", {"spec": {"replicas": 3}})
        await cluster.wait_for(STATEFUL_SETS, "x", "default", ready(3, "replicas"))
        await cluster.client.patch(STATEFUL_SETS, "x", "default", {"spec": {"replicas": 0}})
        await cluster.wait_for(STATEFUL_SETS, "x", "default", ready(0, "replicas"))


async def test_an_evicted_stateful_pod_is_made_again():
    async with Cluster(nodes=1) as cluster:
        await cluster.client.create(STATEFUL_SETS, workload("StatefulSet", 1))
        await cluster.wait_for(STATEFUL_SETS, "x", "default", ready(1))
        old = await cluster.client.get(PODS, "x-0", "default")
        await break_pod(cluster, "x-0", phase="Failed")
        await cluster.wait_for(
            PODS,
            "x-0",
            "default",
            lambda item: bool(item) and item["metadata"]["uid"] != old["metadata"]["uid"],
        )
        await cluster.wait_for(STATEFUL_SETS, "x", "default", ready(1))


async def test_canary_phased_and_rolled_back_stateful_updates():
    async with Cluster(nodes=1) as cluster:
        client = cluster.client

        def partition(number):
            return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}}

        async def revisions(new):
            """Pods of the new image wear the update's revision, the others the current one."""
            status = (await client.get(STATEFUL_SETS, "x", "default"))["status"]
            for pod in await pods_of(cluster):
                is_new = pod["spec"]["containers"][0]["image"] == new
                worn = status["updateRevision"] if is_new else status["currentRevision"]
                assert pod["metadata"]["labels"]["controller-revision-hash"] == worn
            return status["currentRevision"], status["updateRevision"]

        async def images(*expected):
            for number, image in enumerate(expected):

                def runs(item, image=image):
                    return bool(item) and item["spec"]["containers"][0]["image"] == image

                await cluster.wait_for(PODS, f"x-{number}", "default", runs)
            await cluster.wait_for(STATEFUL_SETS, "x", "default", ready(3))

        await client.create(STATEFUL_SETS, workload("StatefulSet", 3, **partition(3)))
        await cluster.wait_for(STATEFUL_SETS, "x", "default", ready(3))
        await client.patch(STATEFUL_SETS, "x", "default", {"spec": {"template": template("j")}})
        await images("i", "i", "i")
        first, second = await revisions("j")
        assert first != second
        for number, expected in [(2, "iij"), (1, "ijj"), (0, "jjj")]:
            await client.patch(STATEFUL_SETS, "x", "default", {"spec": partition(number)})
            await images(*expected)
            await revisions("j")
        await cluster.wait_for(
            STATEFUL_SETS, "x", "default", lambda item: item["status"]["currentRevision"] == second
        )
        await client.patch(STATEFUL_SETS, "x", "default", {"spec": {"template": template("i")}})
        await images("i", "i", "i")
        await cluster.wait_for(
            STATEFUL_SETS,
            "x",
            "default",
            lambda item: item["status"]["currentRevision"] == item["status"]["updateRevision"] == first,
        )


async def test_daemons_roll_come_back_and_leave_revisions():
    async with Cluster(nodes=2) as cluster:
        client = cluster.client

        def updated(item):
            status = item["status"]
            fresh = status.get("observedGeneration") == item["metadata"]["generation"]
            return fresh and status.get("updatedNumberScheduled") == status.get("numberReady") == 2

        await client.create(DAEMON_SETS, workload("DaemonSet"))
        await cluster.wait_for(DAEMON_SETS, "x", "default", ready(2, "numberReady"))
        failed = (await pods_of(cluster))[0]["metadata"]["name"]
        await break_pod(cluster, failed, phase="Failed")
        await cluster.wait_for(PODS, failed, "default", lambda item: item is None)
        await cluster.wait_for(DAEMON_SETS, "x", "default", updated)
        await client.patch(DAEMON_SETS, "x", "default", {"spec": {"template": template("j")}})
        await cluster.wait_for(DAEMON_SETS, "x", "default", updated)
        revisions = (await client.list(CONTROLLER_REVISIONS, "default"))["items"]
        assert sorted(item["revision"] for item in revisions) == [1, 2]
        await client.delete_collection(DAEMON_SETS, "default", label_selector="app=x")
        await cluster.wait_for(DAEMON_SETS, "x", "default", lambda item: item is None)


async def test_a_rollback_restarts_only_what_changed():
    async with Cluster(nodes=3) as cluster:
        client = cluster.client
        await client.create(DAEMON_SETS, workload("DaemonSet"))
        await cluster.wait_for(DAEMON_SETS, "x", "default", ready(3, "numberReady"))
        # The first new pod never starts, which holds the rest of the rollout.
        stuck = template("j")
        stuck["spec"]["nodeSelector"] = None
        stuck["spec"]["schedulingGates"] = [{"name": "boats.example/hold"}]
        await client.patch(DAEMON_SETS, "x", "default", {"spec": {"template": stuck}})
        await cluster.wait_for(DAEMON_SETS, "x", "default", ready(1, "updatedNumberScheduled"))
        before = {item["metadata"]["uid"] for item in await pods_of(cluster)}
        original = template()
        original["spec"]["schedulingGates"] = None
        await client.patch(DAEMON_SETS, "x", "default", {"spec": {"template": original}})
        await cluster.wait_for(
            DAEMON_SETS,
            "x",
            "default",
            lambda item: item["status"].get("updatedNumberScheduled") == item["status"]["numberReady"] == 3,
        )
        after = {item["metadata"]["uid"] for item in await pods_of(cluster)}
        assert len(before & after) == 2


async def test_an_eviction_is_blocked_until_the_budget_allows_it():
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "b", "namespace": "default", "labels": LABELS},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": LABELS}},
    }
    async with Cluster(nodes=1) as cluster:
        client = cluster.client
        await client.create(REPLICA_SETS, workload("ReplicaSet", 2))
        await cluster.wait_for(REPLICA_SETS, "x", "default", ready(2))
        await client.create(POD_DISRUPTION_BUDGETS, budget)
        await cluster.wait_for(POD_DISRUPTION_BUDGETS, "b", "default", ready(2, "currentHealthy"))
        name = (await pods_of(cluster))[0]["metadata"]["name"]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        with pytest.raises(TooManyRequests):
            await client.post(PODS, name, "default", "eviction", eviction)
        await client.patch(POD_DISRUPTION_BUDGETS, "b", "default", {"spec": {"minAvailable": 1}})
        await cluster.wait_for(POD_DISRUPTION_BUDGETS, "b", "default", ready(1, "disruptionsAllowed"))
        await client.post(PODS, name, "default", "eviction", eviction)
        await cluster.wait_for(PODS, name, "default", lambda item: item is None)
        await client.delete_collection(POD_DISRUPTION_BUDGETS, "default", label_selector="app=x")
        await cluster.wait_for(POD_DISRUPTION_BUDGETS, "b", "default", lambda item: item is None)


def job(**spec):
    ends = template(restartPolicy="Never")
    ends["metadata"] = {"annotations": {"tiphys.dev/exit-code": str(spec.pop("code", 0))}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {"template": ends, **spec},
    }


def condition(type_):
    return lambda item: bool(item) and bool(get_condition(item, type_))


async def test_an_indexed_job_completes():
    async with Cluster(nodes=2) as cluster:
        await cluster.client.create(JOBS, job(completions=4, parallelism=2, completionMode="Indexed"))
        done = await cluster.wait_for(JOBS, "x", "default", condition("Complete"))
        assert (done["status"]["succeeded"], done["status"]["completedIndexes"]) == (4, "0-3")
        found = await cluster.client.list(PODS, "default", label_selector="job-name=x")
        assert sorted(item["spec"]["hostname"] for item in found["items"]) == [f"x-{i}" for i in range(4)]
        await cluster.client.delete(JOBS, "x", "default", propagation="Foreground")
        await cluster.wait_for(JOBS, "x", "default", lambda item: item is None)
        assert not (await cluster.client.list(PODS, "default", label_selector="job-name=x"))["items"]


async def test_a_job_fails_early_by_its_policy():
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    async with Cluster(nodes=1) as cluster:
        await cluster.client.create(JOBS, job(code=42, podFailurePolicy={"rules": [rule]}))
        failed = await cluster.wait_for(JOBS, "x", "default", condition("Failed"))
        assert get_condition(failed, "Failed")["reason"] == "PodFailurePolicy"
        assert "failed with exit code 42 matching FailJob rule at index 0" in str(failed["status"])


def test_evicted_pods_of_a_job_are_no_failures():
    """The rule that ignores disruptions sees them; each is run again, after a while as any that ended."""
    ignored = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    body = job(completions=3, parallelism=3, backoffLimit=0, podFailurePolicy={"rules": [ignored]})
    body["spec"]["template"]["metadata"] = {}

    async def story(simulation):
        async with Cluster(nodes=1, clock=simulation.clock) as cluster:
            await cluster.client.create(JOBS, body)
            await cluster.wait_for(JOBS, "x", "default", ready(3, "ready"))
            first = (await cluster.client.list(PODS, "default", label_selector="job-name=x"))["items"]
            for one in first:
                name = one["metadata"]["name"]
                eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
                await cluster.client.post(PODS, name, "default", "eviction", eviction)
                await cluster.wait_for(PODS, name, "default", lambda item: item is None)
            after = await cluster.wait_for(JOBS, "x", "default", ready(3, "ready"), timeout_s=120)
            assert (after["status"].get("failed", 0), after["status"].get("conditions")) == (0, None)

    simulate(story, seed=1)


async def test_an_autoscaler_keeps_its_bounds_and_says_what_it_misses():
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 5},
    }
    async with Cluster(nodes=1) as cluster:
        await cluster.client.create(DEPLOYMENTS, workload("Deployment", 1))
        await cluster.client.create(HORIZONTAL_POD_AUTOSCALERS, scaler)
        await cluster.wait_for(DEPLOYMENTS, "x", "default", ready(3))
        told = await cluster.wait_for(HORIZONTAL_POD_AUTOSCALERS, "x", "default", ready(3, "desiredReplicas"))
        assert get_condition(told, "AbleToScale")["reason"] == "SucceededRescale"


async def test_claims_of_scaled_away_pods_go_if_the_policy_says_so():
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "v"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/tmp/v"},
        },
    }
    async with Cluster(nodes=1) as cluster:
        await cluster.client.create(PERSISTENT_VOLUMES, volume)
        await cluster.client.create(
            STATEFUL_SETS,
            workload(
                "StatefulSet", 1, volumeClaimTemplates=[claim], persistentVolumeClaimRetentionPolicy=policy
            ),
        )
        await cluster.wait_for(STATEFUL_SETS, "x", "default", ready(1))
        await cluster.client.patch(STATEFUL_SETS, "x", "default", {"spec": {"replicas": 0}})
        await cluster.wait_for(PERSISTENT_VOLUME_CLAIMS, "data-x-0", "default", lambda item: item is None)
        await cluster.wait_for(
            PERSISTENT_VOLUMES, "v", "", lambda item: item["status"]["phase"] == "Released"
        )
