"""What becomes of pods whose owners go, as clients see it that name the owner's uid with each deletion."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import STRATEGIC, Object, Refused, Typed, eventually

SPEC = {"containers": [{"name": "nginx", "image": "nginx"}]}
REPLICAS = 10


class Garbage:
    """Owners and pods of one namespace."""

    def __init__(self, api: Any, namespace: str) -> None:
        self.pods = Typed(api, "v1", "pods", namespace)
        self.controllers = Typed(api, "v1", "replicationcontrollers", namespace)
        self.deployments = Typed(api, "apps/v1", "deployments", namespace)
        self.sets = Typed(api, "apps/v1", "replicasets", namespace)

    def controller(self, name: str, replicas: int) -> Object:
        labels = {"gctest": name}
        template = {"metadata": {"labels": labels}, "spec": SPEC}
        spec = {"replicas": replicas, "selector": labels, "template": template}
        made = self.controllers.create(
            {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name}, "spec": spec}
        )
        self.controllers.until(name, lambda found: found.get("status", {}).get("replicas", 0) == replicas)
        return made

    def deployment(self) -> Object:
        labels = {"gctest": "deployment"}
        template = {"metadata": {"labels": labels}, "spec": SPEC}
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
        meta = {"name": "simpletest.deployment"}
        made = self.deployments.create(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
        )
        eventually(
            lambda: [one for one in self.sets.list()["items"] if one.get("status", {}).get("replicas") == 2]
        )
        return made

    def counts(self) -> tuple[int, int, int]:
        clients = (self.deployments, self.sets, self.pods)
        return tuple(len(client.list()["items"]) for client in clients)  # type: ignore[return-value]


def delete(client: Typed, obj: Object, policy: str) -> None:
    meta = obj["metadata"]
    client.delete(meta["name"], propagationPolicy=policy, preconditions={"uid": meta["uid"]})


@pytest.fixture
def garbage(api: Any, namespace: str) -> Garbage:
    return Garbage(api, namespace)


def stays(holds: Callable[[], bool], turns: int = 5) -> None:
    """Look again while the collector has time to make a mistake: it works at once or not at all."""
    for _ in range(turns):
        assert holds()
        time.sleep(0.05)


def test_pods_go_after_their_controller(garbage: Garbage) -> None:
    owner = garbage.controller("background", 2)
    with pytest.raises(Refused) as refused:
        garbage.controllers.delete("background", preconditions={"uid": "another"})
    assert refused.value.code == 409
    delete(garbage.controllers, owner, "Background")
    eventually(lambda: not garbage.pods.list()["items"])
    assert garbage.controllers.gone("background")


def test_pods_stay_as_orphans(garbage: Garbage) -> None:
    delete(garbage.controllers, garbage.controller("orphan", REPLICAS), "Orphan")
    eventually(lambda: garbage.controllers.gone("orphan"))
    stays(lambda: len(garbage.pods.list()["items"]) == REPLICAS)
    assert not any(one["metadata"].get("ownerReferences") for one in garbage.pods.list()["items"])


def test_a_controller_waits_for_its_pods(garbage: Garbage) -> None:
    """Its finalizer holds it until the last is gone."""
    delete(garbage.controllers, garbage.controller("foreground", REPLICAS), "Foreground")
    eventually(lambda: garbage.controllers.gone("foreground"))
    assert garbage.pods.list()["items"] == []


def test_pods_with_another_owner_stay(garbage: Garbage) -> None:
    first, second = garbage.controller("to-be-deleted", REPLICAS), garbage.controller("to-stay", 0)
    meta = second["metadata"]
    owner = {"apiVersion": "v1", "kind": "ReplicationController", "name": meta["name"], "uid": meta["uid"]}
    shared = [one["metadata"]["name"] for one in garbage.pods.list()["items"]][: REPLICAS // 2]
    for name in shared:
        garbage.pods.patch(name, {"metadata": {"ownerReferences": [owner]}}, STRATEGIC)
    delete(garbage.controllers, first, "Foreground")
    eventually(lambda: garbage.controllers.gone("to-be-deleted"))
    left = garbage.pods.list()["items"]
    assert sorted(one["metadata"]["name"] for one in left) == sorted(shared)
    for one in left:
        assert "deletionTimestamp" not in one["metadata"]
        assert [ref["uid"] for ref in one["metadata"]["ownerReferences"]] == [meta["uid"]]


def test_a_circle_of_pods_goes_together(garbage: Garbage) -> None:
    made = [
        garbage.pods.create(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod{number}"}, "spec": SPEC}
        )
        for number in (1, 2, 3)
    ]
    for number, one in enumerate(made):
        before = made[number - 1]["metadata"]
        owner = {
            "apiVersion": "v1", "kind": "Pod", "name": before["name"], "uid": before["uid"],
            "controller": True, "blockOwnerDeletion": True,
        }  # fmt: skip
        garbage.pods.patch(one["metadata"]["name"], {"metadata": {"ownerReferences": [owner]}}, STRATEGIC)
    delete(garbage.pods, made[0], "Foreground")
    eventually(lambda: not garbage.pods.list()["items"])


def test_a_deployment_takes_all_with_it(garbage: Garbage) -> None:
    delete(garbage.deployments, garbage.deployment(), "Background")
    eventually(lambda: garbage.counts() == (0, 0, 0))


def test_a_deployment_leaves_its_set(garbage: Garbage) -> None:
    delete(garbage.deployments, garbage.deployment(), "Orphan")
    eventually(lambda: garbage.deployments.gone("simpletest.deployment"))
    stays(lambda: garbage.counts() == (0, 1, 2))
    (left,) = garbage.sets.list()["items"]
    assert not left["metadata"].get("ownerReferences")
