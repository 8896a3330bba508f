"""Resource quotas with their admission and their controller, and who meets them."""

import pytest

from tiphys.apimachinery.errors import Forbidden
from tiphys.apimachinery.meta import get_condition
from tiphys.client.kinds import (
    CLUSTER_ROLES,
    CONFIG_MAPS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICES,
)
from tiphys.testing import Cluster

pytestmark = pytest.mark.slow


def quota(hard, name="q", **spec):
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"hard": hard, **spec},
    }


def pod(name, resources=None, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources or {}}], **spec},
    }


def replicas(kind, version, count):
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": count,
            "template": {"metadata": {"labels": {"app": "x"}}, "spec": pod("p")["spec"]},
            "selector": {"app": "x"} if version == "v1" else {"matchLabels": {"app": "x"}},
        },
    }


async def used(cluster, name="q", **amounts):
    """Wait until a quota says that so much is used."""
    wanted = {key.replace("__", "."): value for key, value in amounts.items()}

    def holds(item):
        said = ((item or {}).get("status") or {}).get("used") or {}
        return all(said.get(key) == value for key, value in wanted.items())

    return await cluster.wait_for(RESOURCE_QUOTAS, name, "default", holds)


async def test_status_is_promptly_calculated_and_follows_the_spec():
    async with Cluster() as cluster:
        await cluster.client.create(RESOURCE_QUOTAS, quota({"pods": "5", "services": "2"}))
        stored = await used(cluster, pods="0", services="1")  # the service kubernetes
        assert stored["status"]["hard"] == {"pods": "5", "services": "2"}
        await cluster.client.patch(RESOURCE_QUOTAS, "q", "default", {"spec": {"hard": {"pods": "9"}}})
        await cluster.wait_for(
            RESOURCE_QUOTAS, "q", "default", lambda item: item["status"]["hard"]["pods"] == "9"
        )


async def test_life_of_a_pod():
    async with Cluster() as cluster:
        await cluster.client.create(RESOURCE_QUOTAS, quota({"pods": "1", "cpu": "1", "memory": "500Mi"}))
        await used(cluster, pods="0", cpu="0", memory="0")
        small = {"requests": {"cpu": "500m", "memory": "252Mi"}}
        await cluster.client.create(PODS, pod("a", small))
        await used(cluster, pods="1", cpu="500m", memory="252Mi")
        with pytest.raises(Forbidden) as refused:
            await cluster.client.create(PODS, pod("b", {"requests": {"cpu": "100m", "memory": "1Mi"}}))
        assert "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1" in str(refused.value)
        await cluster.client.delete(PODS, "a", "default", grace_period_s=0)
        await used(cluster, pods="0", cpu="0", memory="0")


@pytest.mark.parametrize(
    ("resource", "gvr", "obj"),
    [
        ("configmaps", CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}),
        ("secrets", SECRETS, {"apiVersion": "v1", "kind": "Secret"}),
        ("services", SERVICES, {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}}),
        ("replicationcontrollers", REPLICATION_CONTROLLERS, replicas("ReplicationController", "v1", 0)),
        ("count/replicasets.apps", REPLICA_SETS, replicas("ReplicaSet", "apps/v1", 0)),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
async def test_life_of_an_object(resource, gvr, obj):
    async with Cluster(nodes=0) as cluster:
        before = len((await cluster.client.list(gvr, "default"))["items"])
        if gvr == CONFIG_MAPS:
            before = 0  # the published CA needs a CA: this cluster has none
        await cluster.client.create(RESOURCE_QUOTAS, quota({resource: "10"}))
        await used(cluster, **{resource: str(before)})
        await cluster.client.create(gvr, {**obj, "metadata": {"name": "web", "namespace": "default"}})
        await used(cluster, **{resource: str(before + 1)})
        await cluster.client.delete(gvr, "web", "default", propagation="Background")
        await used(cluster, **{resource: str(before)})


async def test_scopes():
    async with Cluster() as cluster:
        for name, scope in [("be", "BestEffort"), ("t", "Terminating"), ("nt", "NotTerminating")]:
            await cluster.client.create(RESOURCE_QUOTAS, quota({"pods": "5"}, name, scopes=[scope]))
            await used(cluster, name, pods="0")
        await cluster.client.create(PODS, pod("a"))
        await cluster.client.create(PODS, pod("b", {"requests": {"cpu": "1"}}, activeDeadlineSeconds=3600))
        await used(cluster, "be", pods="1")
        await used(cluster, "t", pods="1")
        await used(cluster, "nt", pods="1")


@pytest.mark.parametrize(
    ("gvr", "obj"),
    [
        (REPLICATION_CONTROLLERS, replicas("ReplicationController", "v1", 3)),
        (REPLICA_SETS, replicas("ReplicaSet", "apps/v1", 3)),
    ],
    ids=["replicationcontroller", "replicaset"],
)
async def test_controllers_say_that_the_quota_stops_them(gvr, obj):
    async with Cluster() as cluster:
        await cluster.client.create(RESOURCE_QUOTAS, quota({"pods": "2"}))
        await used(cluster, pods="0")
        await cluster.client.create(gvr, obj)

        def failing(item):
            return bool(get_condition(item, "ReplicaFailure")) if item else False

        stored = await cluster.wait_for(gvr, "web", "default", failing)
        condition = get_condition(stored, "ReplicaFailure")
        assert (condition["status"], condition["reason"]) == ("True", "FailedCreate")
        assert "exceeded quota: q" in condition["message"]
        await cluster.client.patch(gvr, "web", "default", {"spec": {"replicas": 2}})
        await cluster.wait_for(gvr, "web", "default", lambda item: not failing(item))


async def test_aggregated_roles_gather_rules():
    async with Cluster(nodes=0) as cluster:
        await cluster.wait_for(CLUSTER_ROLES, "view", "", lambda item: bool(item and item.get("rules")))
        rule = {"apiGroups": ["boats.example"], "resources": ["argo"], "verbs": ["get"]}
        labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
        await cluster.client.create(
            CLUSTER_ROLES,
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "boats", "labels": labels},
                "rules": [rule],
            },
        )
        for name in ("view", "edit", "admin"):
            await cluster.wait_for(CLUSTER_ROLES, name, "", lambda item: rule in (item.get("rules") or ()))
