"""The EndpointSlice that each node's DNS keeps."""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import GVR
from tiphys.client.kinds import ENDPOINT_SLICES, NODES
from tiphys.dns.publish import endpoint_slice, publish


class Api:
    """Objects by kind and name, and the calls that changed them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[GVR, str], dict[str, Any]] = {}
        self.writes: list[str] = []

    async def get(self, gvr: GVR, name: str, namespace: str = "") -> dict[str, Any]:
        if (gvr, name) not in self.objects:
            raise NotFound.of("", gvr.resource, name)
        return self.objects[gvr, name]

    async def create(self, gvr: GVR, obj: dict[str, Any]) -> None:
        self.writes.append("create")
        obj["metadata"]["resourceVersion"] = "1"
        self.objects[gvr, obj["metadata"]["name"]] = obj

    async def update(self, gvr: GVR, obj: dict[str, Any]) -> None:
        assert obj["metadata"]["resourceVersion"]
        self.writes.append("update")
        self.objects[gvr, obj["metadata"]["name"]] = obj


async def test_created_once_and_owned_by_its_node_as_soon_as_there_is_one() -> None:
    api: Any = Api()
    await publish(api, "n1", "172.29.0.2", 53)
    await publish(api, "n1", "172.29.0.2", 53)
    assert api.writes == ["create"]
    api.objects[NODES, "n1"] = {"metadata": {"name": "n1", "uid": "u-1"}}
    await publish(api, "n1", "172.29.0.2", 53)
    await publish(api, "n1", "172.29.0.2", 53)
    assert api.writes == ["create", "update"]
    kept = api.objects[ENDPOINT_SLICES, "kube-dns-n1"]
    assert kept["metadata"]["ownerReferences"][0]["uid"] == "u-1"


def test_slice_is_for_both_protocols_and_near_clients() -> None:
    made = endpoint_slice("n1", "172.29.0.2", 53, None)
    assert [port["protocol"] for port in made["ports"]] == ["UDP", "TCP"]
    assert made["endpoints"][0]["hints"] == {"forNodes": [{"name": "n1"}]}
