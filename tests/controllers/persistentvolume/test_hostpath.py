"""Folders of this machine as volumes: made for claims of their class, bound, removed with them."""

from pathlib import Path

import pytest
from tests.controllers.conftest import World

from tiphys.client.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from tiphys.controllers.persistentvolume.controller import PersistentVolumeController
from tiphys.controllers.persistentvolume.plan import PROVISIONER, SELECTED_NODE, plan_claim, plan_volume

CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard"},
    "provisioner": "kubernetes.io/host-path",
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "Immediate",
}
LATE = {**CLASS, "volumeBindingMode": "WaitForFirstConsumer"}
NAME = "pvc-u1"


def claim(annotations=None, **spec):
    wish = {"requests": {"storage": "1Gi"}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "c", "namespace": "d", "uid": "u1", "annotations": annotations or {}},
        "spec": {
            "storageClassName": "standard",
            "accessModes": ["ReadWriteOnce"],
            "resources": wish,
            **spec,
        },
        "status": {"phase": "Pending"},
    }


@pytest.mark.parametrize(
    ("storage_class", "root", "spec", "event"),
    [
        (CLASS, "", {}, ("Warning", "ProvisioningFailed",
         "Failed to create provisioner: provisioning in hostpath plugin is disabled")),
        (CLASS, "/r", {"volumeMode": "Block"}, ("Warning", "ProvisioningFailed",
         'Failed to provision volume with StorageClass "standard": '
         "kubernetes.io/host-path does not support block volume provisioning")),
        ({**CLASS, "mountOptions": ["ro", "sync"]}, "/r", {}, ("Warning", "ProvisioningFailed",
         "Mount options are not supported by the provisioner but "
         'StorageClass "standard" has mount options [ro sync]')),
        (LATE, "/r", {}, ("Normal", "WaitForFirstConsumer",
         "waiting for first consumer to be created before binding")),
    ],
)  # fmt: skip
def test_no_folder_is_made(storage_class, root, spec, event):
    planned = plan_claim(claim(**spec), [], {"standard": storage_class}, root=root)
    assert (planned.made, planned.event) == (None, event)


@pytest.mark.parametrize(("storage_class", "annotations"), [(CLASS, {}), (LATE, {SELECTED_NODE: "n1"})])
def test_a_folder_for_a_claim(storage_class, annotations):
    planned = plan_claim(claim(annotations), [], {"standard": storage_class}, root="/r")
    assert planned.event == (
        "Normal",
        "ProvisioningSucceeded",
        "Successfully provisioned volume pvc-u1 using kubernetes.io/host-path",
    )
    assert planned.claim["metadata"]["annotations"][PROVISIONER] == "kubernetes.io/host-path"
    spec = planned.made["spec"]
    assert spec["hostPath"]["path"] == "/r/pvc-u1"
    assert (spec["capacity"], spec["storageClassName"]) == ({"storage": "1Gi"}, "standard")
    bound = plan_claim(planned.claim, [planned.made], {"standard": storage_class}, root="/r")
    assert bound.claim["spec"]["volumeName"] == NAME
    assert bound.made is None


@pytest.mark.parametrize(
    ("case", "change", "root", "gone"),
    [
        ("its own", {}, "/r", True),
        ("kept", {"persistentVolumeReclaimPolicy": "Retain"}, "/r", False),
        ("a folder elsewhere", {"hostPath": {"path": "/etc"}}, "/r", False),
        ("a folder of another", {"hostPath": {"path": "/r/pvc-u2"}}, "/r", False),
        ("switched off since", {}, "", False),
    ],
)
def test_which_volume_goes_once_it_is_released(case, change, root, gone):
    made = plan_claim(claim(), [], {"standard": CLASS}, root="/r").made
    volume = {**made, "spec": {**made["spec"], **change}, "status": {"phase": "Bound"}}
    first = plan_volume(volume, None, root)
    assert (first.volume["status"]["phase"], first.gone) == ("Released", False)
    assert plan_volume(first.volume, None, root).gone is gone


@pytest.fixture
def folders(tmp_path):
    return tmp_path / "volumes"


async def test_a_claim_gets_a_folder_and_takes_it_along(folders):
    world = World(hostpath_root=str(folders))
    world.api.put(STORAGE_CLASSES, CLASS)
    async with world.running(PersistentVolumeController):
        stored = claim()
        del stored["metadata"]["uid"]
        world.api.put(PERSISTENT_VOLUME_CLAIMS, stored)
        await world.settle()
        while not world.api.all(PERSISTENT_VOLUMES):  # a thread makes the folder
            await world.settle()
        await world.settle()
        (volume,) = world.api.all(PERSISTENT_VOLUMES)
        (found,) = world.api.all(PERSISTENT_VOLUME_CLAIMS)
        folder = Path(volume["spec"]["hostPath"]["path"])
        assert folder.parent == folders
        assert folder.stat().st_mode & 0o777 == 0o777  # noqa: ASYNC240
        assert (found["status"]["phase"], found["spec"]["volumeName"]) == ("Bound", folder.name)
        (folder / "data").write_text("kept while it is claimed")
        await world.client.delete(PERSISTENT_VOLUME_CLAIMS, "c", "d")
        while world.api.all(PERSISTENT_VOLUMES):
            await world.settle()
        assert not folder.exists()  # noqa: ASYNC240
        assert "ProvisioningSucceeded" in dict(world.events())
