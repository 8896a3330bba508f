"""VolumeAttributesClasses stay while somebody has them."""

import pytest

from tiphys.client.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, VOLUME_ATTRIBUTES_CLASSES
from tiphys.controllers.storageprotection.controller import AttributesClassProtectionController
from tiphys.controllers.storageprotection.plan import ATTRIBUTES_FINALIZER, attributes_of


@pytest.mark.parametrize(
    ("obj", "names"),
    [
        ({"spec": {}}, []),
        ({"spec": {"volumeAttributesClassName": "gold"}}, ["gold"]),
        (
            {
                "spec": {"volumeAttributesClassName": "gold"},
                "status": {
                    "currentVolumeAttributesClassName": "silver",
                    "modifyVolumeStatus": {"targetVolumeAttributesClassName": "iron"},
                },
            },
            ["gold", "iron", "silver"],
        ),
    ],
)
def test_whose_classes_a_claim_has(obj, names):
    assert attributes_of(obj) == names


@pytest.mark.parametrize("gvr", [PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES])
async def test_it_goes_with_its_last_user(world, gvr):
    gold = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": "gold"}}
    world.api.put(VOLUME_ATTRIBUTES_CLASSES, gold)
    namespace = "d" if gvr == PERSISTENT_VOLUME_CLAIMS else ""
    meta = {"name": "x", **({"namespace": namespace} if namespace else {})}
    user = {"apiVersion": "v1", "kind": "X", "metadata": meta, "spec": {"volumeAttributesClassName": "gold"}}
    world.api.put(gvr, user)

    def finalizers():
        return world.api.get(VOLUME_ATTRIBUTES_CLASSES, "gold")["metadata"].get("finalizers") or []

    async with world.running(AttributesClassProtectionController):
        assert finalizers() == [ATTRIBUTES_FINALIZER]
        current = world.api.get(VOLUME_ATTRIBUTES_CLASSES, "gold")
        going = {**current["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
        world.api.put(VOLUME_ATTRIBUTES_CLASSES, {**current, "metadata": going})
        await world.settle()
        assert finalizers() == [ATTRIBUTES_FINALIZER], "it is used"
        world.api.remove(gvr, "x", namespace)
        await world.settle()
        found = world.api.get(VOLUME_ATTRIBUTES_CLASSES, "gold")
        assert found is None or finalizers() == []
