"""Pods without constraints of their own are spread as their Services and controllers let them be."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_builders import columns, node, pod

from tiphys.scheduler.arguments import Arguments
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.config import ProfileSettings
from tiphys.scheduler.framework import decide
from tiphys.scheduler.plugins.topology import SpreadDefaults
from tiphys.scheduler.podinfo import PodInfo, pod_info
from tiphys.scheduler.profile import default_profile, make_profile

ZONE = "topology.kubernetes.io/zone"


def service(name: str, selector: dict[str, str], namespace: str = "default") -> dict[str, Any]:
    return {
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": selector},
    }


def controller(kind: str, selector: Any, name: str = "web") -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": {"selector": selector}}


def owned(kind: str = "ReplicaSet", version: str = "apps/v1", name: str = "web", **rest: Any) -> PodInfo:
    made = pod(labels={"app": "web", "hash": "1"}, **rest)
    owner = {"apiVersion": version, "kind": kind, "name": name, "uid": f"{kind}/{name}", "controller": True}
    made["metadata"]["ownerReferences"] = [owner]
    return pod_info(made)


LABELS = {"app": "web"}


@pytest.mark.parametrize(
    ("services", "controllers", "info", "want"),
    [
        ([service("a", LABELS)], [], owned(), {"matchLabels": LABELS}),
        (
            [service("a", LABELS), service("b", {"hash": "1"})],
            [],
            owned(),
            {"matchLabels": {**LABELS, "hash": "1"}},
        ),
        ([service("a", {"app": "db"}), service("b", {})], [], owned(), {}),
        ([service("a", LABELS, "other")], [], owned(), {}),
        ([], [controller("ReplicaSet", {"matchLabels": LABELS})], owned(), {"matchLabels": LABELS}),
        (
            [service("a", {"hash": "1"})],
            [controller("StatefulSet", {"matchExpressions": [{"key": "app", "operator": "Exists"}]})],
            owned("StatefulSet"),
            {"matchLabels": {"hash": "1"}, "matchExpressions": [{"key": "app", "operator": "Exists"}]},
        ),
        (
            [],
            [controller("ReplicationController", LABELS)],
            owned("ReplicationController", "v1"),
            {"matchLabels": LABELS},
        ),
        ([], [controller("ReplicaSet", {"matchLabels": LABELS}, "other")], owned(), {}),
        ([], [controller("ReplicaSet", {"matchLabels": LABELS})], owned(version="example.com/v1"), {}),
        ([], [controller("ReplicaSet", {"matchLabels": LABELS})], pod_info(pod(labels=LABELS)), {}),
    ],
    ids=[
        "a service", "two services", "services of others", "another namespace", "a replica set",
        "a stateful set and a service", "a replication controller", "another replica set",
        "a kind of that name", "a pod that nobody owns",
    ],
)  # fmt: skip
def test_who_belongs_together(
    services: list[Any], controllers: list[Any], info: PodInfo, want: dict[str, Any]
) -> None:
    siblings = Columns().siblings
    for one in services:
        siblings.set_service(None, one)
    for one in controllers:
        siblings.set_controller(None, one)
    assert siblings.selector(info) == want
    for one in services:
        siblings.set_service(one, None)
    for one in controllers:
        siblings.set_controller(one, None)
    assert siblings.selector(info) == {}


def test_what_was_found_holds_until_a_selector_changes() -> None:
    siblings = Columns().siblings
    first = service("a", LABELS)
    siblings.set_service(None, first)
    found = siblings.selector(owned())
    siblings.set_service(first, {**first, "status": {"loadBalancer": {}}})
    assert siblings.selector(owned()) is found
    siblings.set_service(first, service("a", {"hash": "1"}))
    assert siblings.selector(owned()) == {"matchLabels": {"hash": "1"}}


def three_zones(*, cpu: str = "100") -> Columns:
    """Two nodes in the east, one in the west; the west's is the smallest, which other scores mind."""
    cluster = columns(
        node("e1", cpu=cpu, labels={ZONE: "east"}),
        node("e2", cpu=cpu, labels={ZONE: "east"}),
        node("w1", cpu="1", labels={ZONE: "west"}),
    )
    cluster.siblings.set_controller(None, controller("ReplicaSet", {"matchLabels": LABELS}))
    return cluster


def place(cluster: Columns, profile: Any, count: int) -> dict[str, int]:
    for turn in range(count):
        info = owned(cpu="100m")
        cluster.add_pod(info, decide(info, cluster, profile, turn=turn).node)
    return {name: len(cluster.pods[row]) for name, row in cluster.rows.items()}


def test_replicas_go_to_every_zone_and_node() -> None:
    found = place(three_zones(), default_profile(), 6)
    assert found["w1"] >= 2
    assert abs(found["e1"] - found["e2"]) <= 1


def test_without_defaults_they_go_where_there_is_most_room() -> None:
    settings = ProfileSettings(arguments=Arguments(spread_defaults=SpreadDefaults()))
    assert place(three_zones(), make_profile(settings), 6)["w1"] == 0


def test_a_node_without_a_zone_is_as_good_as_one_in_an_empty_zone() -> None:
    cluster = columns(node("a", labels={ZONE: "east"}), node("b"))
    cluster.siblings.set_service(None, service("web", LABELS))
    assert place(cluster, default_profile(), 4) == {"a": 1, "b": 3}


def test_defaults_may_be_strict() -> None:
    strict = {"topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1}
    profile = make_profile(ProfileSettings(arguments=Arguments(spread_defaults=SpreadDefaults((strict,)))))
    cluster = three_zones()
    assert place(cluster, profile, 4)["w1"] == 2
    alone = pod_info(pod(cpu="100m"))
    assert decide(alone, cluster, profile).node, "nobody's pod has no siblings to be counted"


def test_own_constraints_come_first() -> None:
    cluster = three_zones()
    own = {"topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1, "labelSelector": {}}
    decision = decide(owned(topologySpreadConstraints=[own]), cluster, default_profile())
    assert "didn't match pod topology spread constraints (missing required label)" in decision.message()
