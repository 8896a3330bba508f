"""Steps of upstream's tests of volumes and claims: of a driver that is not there, bound all the same."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from typed import MERGE, STRATEGIC, Object, Typed, condition, eventually


class Pair:
    """A volume and a claim of a class that is named after their namespace, and has no object."""

    def __init__(self, api: Any, namespace: str) -> None:
        self.namespace, self.label = namespace, {"e2e-pv-pool": namespace}
        self.selector = f"e2e-pv-pool={namespace}"
        self.volumes = Typed(api, "v1", "persistentvolumes")
        self.claims = Typed(api, "v1", "persistentvolumeclaims", namespace)

    def make(self) -> tuple[Object, Object]:
        """Return both as they were created; they are bound in a while."""
        source = {"driver": f"inline-driver-{self.namespace}", "volumeHandle": "e2e-conformance"}
        amount = {"storage": "2Gi"}
        volume = self.volumes.create({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"generateName": f"{self.namespace}-", "labels": self.label},
            "spec": {
                "persistentVolumeReclaimPolicy": "Retain", "capacity": amount, "csi": source,
                "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
                "storageClassName": self.namespace,
            },
        })  # fmt: skip
        claim = self.claims.create({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"generateName": "pvc-", "namespace": self.namespace},
            "spec": {
                "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
                "resources": {"requests": amount}, "storageClassName": self.namespace,
            },
        })  # fmt: skip
        return volume, claim

    def only(self) -> tuple[Object, Object]:
        """Return the one of each that a list finds."""
        (volume,) = self.volumes.list(labelSelector=self.selector)["items"]
        (claim,) = self.claims.list()["items"]
        return volume, claim


def _labelled(client: Typed, live: Object) -> None:
    """Label an object with its own name, and read it."""
    name = live["metadata"]["name"]
    patched = client.patch(name, {"metadata": {"labels": {name: "patched"}}}, STRATEGIC)
    assert patched["metadata"]["labels"][name] == "patched"
    assert int(live["metadata"]["resourceVersion"]) < int(patched["metadata"]["resourceVersion"])
    assert client.get(name)["metadata"]["uid"] == live["metadata"]["uid"]


def test_from_creation_to_deletion_twice(api: Any, namespace: str) -> None:
    """Patched and deleted one by one; a second pair updated and deleted by the labels that it got."""
    pair = Pair(api, namespace)
    pair.make()
    volume, claim = pair.only()
    _labelled(pair.volumes, volume)
    _labelled(pair.claims, claim)
    pair.claims.delete(claim["metadata"]["name"])
    eventually(lambda: pair.claims.list()["items"] == [])
    pair.volumes.delete(volume["metadata"]["name"])
    eventually(lambda: pair.volumes.list(labelSelector=pair.selector)["items"] == [])
    made = pair.make()
    volume_name, claim_name = (one["metadata"]["name"] for one in made)
    updated = pair.volumes.changed(
        volume_name, lambda live: live["metadata"]["labels"].update({volume_name: "updated"})
    )
    assert updated["metadata"]["labels"] == {**pair.label, volume_name: "updated"}
    label = {"labels": {claim_name: "updated"}}
    updated = pair.claims.changed(claim_name, lambda live: live["metadata"].update(label))
    assert updated["metadata"]["labels"] == {claim_name: "updated"}
    selector = f"{claim_name}=updated"
    assert len(pair.claims.within("").list(labelSelector=selector)["items"]) == 1
    pair.claims.delete_collection(labelSelector=selector)
    eventually(lambda: pair.claims.list(labelSelector=selector)["items"] == [])
    selector = f"{volume_name}=updated"
    pair.volumes.delete_collection(labelSelector=selector)
    eventually(lambda: pair.volumes.list(labelSelector=selector)["items"] == [])


def test_statuses_of_both(api: Any, namespace: str) -> None:
    """A client's words are there beside the controller's phase, which goes on being what it is."""
    pair = Pair(api, namespace)
    pair.make()
    volume, claim = (one["metadata"]["name"] for one in pair.only())
    assert pair.claims.as_json().get(claim, "status")["status"]["phase"] in ("Pending", "Bound")
    phase = pair.volumes.as_json().get(volume, "status")["status"]["phase"]
    assert phase in ("Pending", "Available", "Bound")
    told = {"status": "True", "message": "Set from e2e test"}
    patched = {"type": "StatusPatched", "reason": "E2E patchedStatus", **told}
    found = pair.claims.patch(claim, {"status": {"conditions": [patched]}}, MERGE, "status")
    assert patched.items() <= condition(found, "StatusPatched").items()
    words = {"message": "StatusPatched", "reason": "E2E patchStatus"}
    found = pair.volumes.patch(volume, {"status": words}, MERGE, "status")
    assert words.items() <= found["status"].items()
    updated = {"type": "StatusUpdated", "reason": "E2E updateStatus", **told}
    found = pair.claims.changed(claim, lambda live: live["status"]["conditions"].append(updated), "status")
    for one in (patched, updated):
        assert one.items() <= condition(found, one["type"]).items()
    words = {"message": "StatusUpdated", "reason": "E2E updateStatus"}
    found = pair.volumes.changed(volume, lambda live: live["status"].update(words), "status")
    assert words.items() <= found["status"].items()
    for client, name in ((pair.volumes, volume), (pair.claims, claim)):
        client.until(name, lambda live: live["status"]["phase"] == "Bound")
    pair.claims.delete(claim)
    pair.volumes.delete(volume)
