"""Keeps one EndpointSlice of Service kube-dns: the address at which this node's DNS answers.

Every node's DNS owns a slice of its own, so no common writer can fail; it goes with its Node.
"""

from __future__ import annotations

from tiphys.apimachinery.errors import AlreadyExists, NotFound
from tiphys.apimachinery.meta import Object
from tiphys.client.kinds import ENDPOINT_SLICES, NODES
from tiphys.client.rest import Client

NAMESPACE = "kube-system"
SERVICE = "kube-dns"
MANAGED_BY = "dns.tiphys"


def endpoint_slice(node_name: str, address: str, port: int, node: Object | None) -> Object:
    """Return the slice to have; its hint keeps queries on the node that asks, while it has an endpoint."""
    meta: Object = {
        "name": f"{SERVICE}-{node_name}",
        "namespace": NAMESPACE,
        "labels": {
            "kubernetes.io/service-name": SERVICE,
            "endpointslice.kubernetes.io/managed-by": MANAGED_BY,
        },
    }
    if node is not None:
        owner = {"apiVersion": "v1", "kind": "Node", "name": node_name, "uid": node["metadata"]["uid"]}
        meta["ownerReferences"] = [owner]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta,
        "addressType": "IPv6" if ":" in address else "IPv4",
        "endpoints": [
            {
                "addresses": [address],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": node_name,
                "hints": {"forNodes": [{"name": node_name}]},
            }
        ],
        "ports": [
            {"name": "dns", "port": port, "protocol": "UDP"},
            {"name": "dns-tcp", "port": port, "protocol": "TCP"},
        ],
    }


def _same(have: Object, want: Object) -> bool:
    if any(have.get(key) != want[key] for key in ("addressType", "endpoints", "ports")):
        return False
    owners = have["metadata"].get("ownerReferences") or []
    wanted = want["metadata"].get("ownerReferences") or []
    labels = have["metadata"].get("labels") or {}
    return [o["uid"] for o in owners] == [o["uid"] for o in wanted] and labels == want["metadata"]["labels"]


async def publish(client: Client, node_name: str, address: str, port: int) -> None:
    """Make the slice what it should be. Raises StatusError; running it again does no harm."""
    try:
        node: Object | None = await client.get(NODES, node_name)
    except NotFound:
        node = None
    want = endpoint_slice(node_name, address, port, node)
    try:
        have = await client.get(ENDPOINT_SLICES, want["metadata"]["name"], NAMESPACE)
    except NotFound:
        try:
            await client.create(ENDPOINT_SLICES, want)
        except AlreadyExists:
            pass
        return
    if not _same(have, want):
        want["metadata"]["resourceVersion"] = have["metadata"]["resourceVersion"]
        await client.update(ENDPOINT_SLICES, want)
