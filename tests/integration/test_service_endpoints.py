"""Endpoints and slices as upstream's tests follow them: of pods, of nothing, mirrored, made by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from typed import STRATEGIC, Object, Typed, eventually

NGINX = {"name": "container1", "image": "nginx:1"}


def _service(service: str, selector: Object | None = None, **port: Any) -> Object:
    body: Object = {"ports": [{"name": "example", "port": 80, "protocol": "TCP", **port}]}
    if selector is not None:
        body |= {"selector": selector, "publishNotReadyAddresses": True}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": service}, "spec": body}


def _pod(name: str, labels: Object, **ports: int) -> Object:
    named = [{"name": key.replace("_", "-"), "containerPort": port} for key, port in ports.items()]
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{**NGINX, "ports": named}]},
    }  # fmt: skip


class World:
    """The resources of one namespace."""

    def __init__(self, api: Any, namespace: str) -> None:
        self.services = Typed(api, "v1", "services", namespace)
        self.pods = Typed(api, "v1", "pods", namespace)
        self.endpoints = Typed(api, "v1", "endpoints", namespace)
        self.slices = Typed(api, "discovery.k8s.io/v1", "endpointslices", namespace)

    def slices_of(self, service: str) -> list[Object]:
        return list(self.slices.list(labelSelector=f"kubernetes.io/service-name={service}")["items"])

    def told(self, service: str) -> tuple[set[Any], set[Any]] | None:
        """What both say of a service: (address, port's name, port, pod)."""
        if self.endpoints.gone(service):
            return None
        old = {
            (address["ip"], port.get("name"), port["port"], address["targetRef"]["uid"])
            for subset in self.endpoints.get(service).get("subsets") or ()
            for address in (subset.get("addresses") or []) + (subset.get("notReadyAddresses") or [])
            for port in subset["ports"]
        }
        new = {
            (endpoint["addresses"][0], port.get("name"), port["port"], endpoint["targetRef"]["uid"])
            for one in self.slices_of(service)
            for endpoint in one.get("endpoints") or ()
            for port in one["ports"]
        }
        return old, new


def test_of_pods(api: Any, namespace: str) -> None:
    """A number, a name that is another number in each pod, no pod; slices come again after their deletion."""
    world = World(api, namespace)
    world.pods.create(_pod("pod1", {"pod1": "on", "shared12": "on"}, example_name=3000))
    world.pods.create(_pod("pod2", {"pod2": "on", "shared12": "on"}, example_name=3001, other_port=3002))
    world.services.create(_service("int-port", {"pod1": "on"}, targetPort=3000))
    world.services.create(_service("named-port", {"shared12": "on"}, name="http", targetPort="example-name"))
    world.services.create(_service("no-match", {"pod3": "on"}, targetPort=8080))
    pods = [world.pods.until(name, lambda pod: pod["status"].get("podIPs")) for name in ("pod1", "pod2")]
    (first, uid1), (second, uid2) = ((pod["status"]["podIP"], pod["metadata"]["uid"]) for pod in pods)
    number = {(first, "example", 3000, uid1)}
    named = {(first, "http", 3000, uid1), (second, "http", 3001, uid2)}
    for name, wanted in (("int-port", number), ("named-port", named)):
        eventually(lambda name=name, wanted=wanted: world.told(name) == (wanted, wanted))
    assert len(world.endpoints.get("named-port")["subsets"]) == len(world.slices_of("named-port")) == 2
    (empty,) = eventually(lambda: world.slices_of("no-match"))
    assert not empty.get("ports")
    assert not empty.get("endpoints")
    assert not world.endpoints.get("no-match").get("subsets")
    for one in world.slices_of("named-port"):
        world.slices.delete(one["metadata"]["name"])
    eventually(lambda: world.told("named-port") == (named, named))


def test_of_a_service_without_pods(api: Any, namespace: str) -> None:
    world = World(api, namespace)
    world.services.create(_service("example-empty-selector", {"does-not-match-anything": "yes"}))
    eventually(lambda: not world.endpoints.gone("example-empty-selector"))
    (found,) = eventually(lambda: world.slices_of("example-empty-selector"))
    labels = found["metadata"]["labels"]
    assert labels["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    assert not found.get("endpoints")
    world.services.delete("example-empty-selector")
    eventually(lambda: world.endpoints.gone("example-empty-selector"))
    eventually(lambda: not world.slices_of("example-empty-selector"))


def test_mirrored(api: Any, namespace: str) -> None:
    """The client writes what it had sent, without a version."""
    world = World(api, namespace)
    world.services.create(_service("example-custom-endpoints"))
    body: Object = {
        "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "example-custom-endpoints"},
        "subsets": [{"ports": [{"port": 80}], "addresses": [{"ip": "10.1.2.3"}]}],
    }  # fmt: skip
    world.endpoints.create(body)

    def mirrored() -> list[Any]:
        return [
            ([port["port"] for port in one["ports"]], [end["addresses"] for end in one["endpoints"]])
            for one in world.slices_of("example-custom-endpoints")
        ]

    assert eventually(mirrored) == [([80], [["10.1.2.3"]])]
    body["subsets"][0]["addresses"] = [{"ip": "10.2.3.4"}]
    world.endpoints.update(body)
    eventually(lambda: mirrored() == [([80], [["10.2.3.4"]])])
    world.endpoints.delete("example-custom-endpoints")
    eventually(lambda: not mirrored())


def test_of_the_server(api: Any) -> None:
    """As ``kubernetes.default`` has them: the same addresses and ports in both."""
    world = World(api, "default")
    subsets = world.endpoints.get("kubernetes")["subsets"]
    slices = [one for one in world.slices_of("kubernetes") if one["addressType"] == "IPv4"]
    assert {one["ip"] for subset in subsets for one in subset["addresses"]} == {
        address for one in slices for end in one["endpoints"] for address in end["addresses"]
    }
    assert {port["port"] for subset in subsets for port in subset["ports"]} == {
        port["port"] for one in slices for port in one["ports"]
    }


def test_by_hand(api: Any, namespace: str) -> None:
    """Made, listed everywhere, updated, read, patched with its kind's name, deleted together; all watched."""
    world = World(api, namespace)
    label = "test-endpoint-static=true"
    start = world.endpoints.list(labelSelector=label)["metadata"]["resourceVersion"]
    subset: Object = {
        "addresses": [{"ip": "10.0.0.24"}],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }
    meta = {"name": "testservice", "labels": {"test-endpoint-static": "true"}}
    body: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": [subset]}
    world.endpoints.create(body)
    with world.endpoints.watch(start, labelSelector=label, timeoutSeconds="60") as events:
        assert next(events)[0] == "ADDED"
        found = world.endpoints.within("").list(labelSelector=label)["items"]
        assert (namespace, "testservice") in [
            (one["metadata"]["namespace"], one["metadata"]["name"]) for one in found
        ]
        meta["labels"] = {**meta["labels"], "test-service": "updated"}
        world.endpoints.update(body)
        assert next(events)[0] == "MODIFIED"
        assert world.endpoints.get("testservice")["metadata"]["labels"]["test-service"] == "updated"
        patch = {
            "metadata": {"labels": {"test-service": "patched"}},
            "subsets": [{"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080}]}],
        }
        world.endpoints.patch("testservice", patch, STRATEGIC)
        assert next(events)[0] == "MODIFIED"
        (patched,) = world.endpoints.get("testservice")["subsets"]
        assert (patched["addresses"][0]["ip"], patched["ports"][0]["name"], patched["ports"][0]["port"]) == (
            "10.0.0.25", "http-test", 8080,
        )  # fmt: skip
        world.endpoints.delete_collection(labelSelector=label)
        assert next(events)[0] == "DELETED"
    assert world.endpoints.gone("testservice")
