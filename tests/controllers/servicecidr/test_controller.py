"""Ranges of cluster IPs in a running cluster: made, used, deleted."""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.meta import Object
from tiphys.client.kinds import SERVICE_CIDRS, SERVICES
from tiphys.controllers.servicecidr.plan import FINALIZER, READY
from tiphys.testing import Cluster


def ready(status: str) -> Any:
    def holds(obj: Object | None) -> bool:
        found = ((obj or {}).get("status") or {}).get("conditions") or []
        return [item["status"] for item in found] == [status]

    return holds


async def test_a_range_is_kept_while_it_is_used() -> None:
    async with Cluster(nodes=0, scheduler=False) as cluster:
        client = cluster.client
        default = await cluster.wait_for(
            SERVICE_CIDRS, "kubernetes", condition=lambda obj: bool(obj and obj["metadata"].get("finalizers"))
        )
        assert default["metadata"]["finalizers"] == [FINALIZER]
        await client.create(
            SERVICE_CIDRS,
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "ServiceCIDR",
                "metadata": {"name": "more"},
                "spec": {"cidrs": ["10.200.0.0/24"]},
            },
        )
        more = await cluster.wait_for(SERVICE_CIDRS, "more", condition=ready("True"))
        assert more["status"]["conditions"][0]["message"] == READY
        await client.create(
            SERVICES,
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "s", "namespace": "default"},
                "spec": {"clusterIP": "10.200.0.7", "ports": [{"port": 80}]},
            },
        )
        await client.delete(SERVICE_CIDRS, "more", "")
        blocked = await cluster.wait_for(SERVICE_CIDRS, "more", condition=ready("False"))
        assert blocked["status"]["conditions"][0]["reason"] == "Terminating"
        assert blocked["metadata"]["deletionTimestamp"]
