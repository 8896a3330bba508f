"""Who wants a larger volume is told who makes it."""

import pytest

from tiphys.client.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from tiphys.controllers.persistentvolume.expander import EXPANDING, VolumeExpander, wants_more


def claim(asked="2Gi", has="1Gi", phase="Bound"):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "c", "namespace": "d", "uid": "u"},
        "spec": {"volumeName": "v", "resources": {"requests": {"storage": asked}}},
        "status": {"phase": phase, "capacity": {"storage": has}},
    }


def volume(uid="u", **annotations):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "v", "annotations": annotations},
        "spec": {"claimRef": {"name": "c", "namespace": "d", "uid": uid}},
    }


@pytest.mark.parametrize(
    ("found", "on", "wants"),
    [
        pytest.param(claim(), volume(), True, id="it asks for more"),
        pytest.param(claim("1Gi"), volume(), False, id="it has what it asks for"),
        pytest.param(claim("1024Mi"), volume(), False, id="the same in other words"),
        pytest.param(claim("1Gi", "2Gi"), volume(), False, id="it has more than that"),
        pytest.param(claim(phase="Pending"), volume(), False, id="it has no volume"),
        pytest.param(claim(), None, False, id="its volume is lost"),
        pytest.param(claim(), volume("other"), False, id="its volume is another's"),
        pytest.param(
            claim("1Gi"),
            volume(**{"volume.alpha.kubernetes.io/pre-resize-capacity": "1Gi"}),
            True,
            id="on its way",
        ),
    ],
)
def test_wants_more(found, on, wants):
    assert wants_more(found, on) is wants


async def test_it_is_told_once_for_each_wish(world):
    world.api.put(PERSISTENT_VOLUMES, volume())
    world.api.put(PERSISTENT_VOLUME_CLAIMS, claim("1Gi"))
    async with world.running(VolumeExpander):
        assert world.events() == []
        world.api.put(PERSISTENT_VOLUME_CLAIMS, claim())
        await world.settle()
        labelled = claim()
        labelled["metadata"]["labels"] = {"a": "b"}
        world.api.put(PERSISTENT_VOLUME_CLAIMS, labelled)
        await world.settle()
        assert world.events() == [("ExternalExpanding", EXPANDING)]
