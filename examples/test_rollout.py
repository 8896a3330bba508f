"""Your own test against Kubernetes: a cluster in this process, without root and without containers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tiphys.client.kinds import DEPLOYMENTS, REPLICA_SETS
from tiphys.testing import Cluster


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(nodes=2) as running:
        yield running


def ready(count: int, generation: int = 1) -> Any:
    def holds(obj: Any) -> bool:
        status = (obj or {}).get("status", {})
        return status.get("updatedReplicas") == status.get("readyReplicas") == status.get(
            "replicas"
        ) == count and (status.get("observedGeneration", 0) >= generation)

    return holds


async def test_a_new_image_rolls_out(cluster: Cluster) -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    await cluster.client.create(
        DEPLOYMENTS, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}
    )
    await cluster.wait_for(DEPLOYMENTS, "web", "default", ready(3))

    image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}}}
    await cluster.client.patch(DEPLOYMENTS, "web", "default", image, type="strategic")
    await cluster.wait_for(DEPLOYMENTS, "web", "default", ready(3, generation=2))
    sets = (await cluster.client.list(REPLICA_SETS, "default"))["items"]
    assert sorted(each["spec"]["replicas"] for each in sets) == [0, 3]
