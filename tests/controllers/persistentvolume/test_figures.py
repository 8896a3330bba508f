"""How many volumes and claims are counted as what."""

import pytest
from tests.samples import Since

from tiphys.apimachinery.errors import Forbidden
from tiphys.client.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from tiphys.controllers import metrics
from tiphys.controllers.persistentvolume.controller import PersistentVolumeController
from tiphys.controllers.persistentvolume.figures import families, plugin_of


def volume(name, phase="Bound", cls="", source=None, **spec):
    source = source or {"hostPath": {"path": "/x"}}
    spec = {**spec, **({"storageClassName": cls} if cls else {}), **source}
    return {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}}


def claim(name, phase="Bound", namespace="d", **spec):
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec, "status": {"phase": phase}}


def figures(found):
    return {
        (one.name.removeprefix("pv_collector_"), *(one.labels[key] for key in sorted(one.labels))): one.value
        for family in found
        for one in family.samples
    }


def test_families():
    volumes = [
        volume("a", cls="fast"), volume("b", cls="fast"), volume("c", "Available"), volume("d", "Released"),
        volume("e", source={"csi": {"driver": "x.example.com"}}, volumeMode="Block"),
    ]  # fmt: skip
    claims = [
        claim("a", storageClassName="fast"), claim("b", "Pending"), claim("c", "Lost"),
        claim("d", namespace="e", volumeAttributesClassName="gold"),
    ]  # fmt: skip
    assert figures(families(volumes, claims)) == {
        ("total_pv_count", "kubernetes.io/host-path", "Filesystem"): 4,
        ("total_pv_count", "kubernetes.io/csi:x.example.com", "Block"): 1,
        ("bound_pv_count", "fast"): 2, ("bound_pv_count", ""): 1, ("unbound_pv_count", ""): 2,
        ("bound_pvc_count", "d", "fast", ""): 1, ("bound_pvc_count", "e", "", "gold"): 1,
        ("unbound_pvc_count", "d", "", ""): 2,
    }  # fmt: skip
    assert figures(families([], [])) == {}


@pytest.mark.parametrize(
    ("source", "plugin"),
    [
        ({"nfs": {}}, "kubernetes.io/nfs"), ({"local": {}}, "kubernetes.io/local-volume"),
        ({"glusterfs": {}}, "N/A"),
    ],
)  # fmt: skip
def test_plugins(source, plugin):
    assert plugin_of(volume("v", source=source)) == plugin


async def test_a_controller_shows_what_there_is(world):
    world.api.put(PERSISTENT_VOLUMES, volume("a", "Available", cls="only-here"))
    async with world.running(PersistentVolumeController):
        (controller,) = world.controllers
        assert controller in metrics.HELD._holders
        shown = figures(controller.collect())
        assert shown["unbound_pv_count", "only-here"] == 1
        name, labels = "pv_collector_unbound_pv_count", {"storage_class": "only-here"}
        assert metrics.REGISTRY.sample_value(name, labels) == 1


@pytest.mark.parametrize("fails", [False, True])
async def test_classes_that_came_later_are_counted(world, fails):
    since = Since(metrics.REGISTRY, "retroactive_storageclass_")
    world.api.put(PERSISTENT_VOLUME_CLAIMS, claim("late", "Pending"))
    world.api.put(PERSISTENT_VOLUME_CLAIMS, claim("own", "Pending", storageClassName="x"))
    default = {
        "metadata": {
            "name": "default", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "provisioner": "p",
    }  # fmt: skip
    async with world.running(PersistentVolumeController):
        assert (since("total"), since("errors_total")) == (0, 0)
        if fails:
            world.api.reactors.append(lambda request: Forbidden("no") if request.method == "PUT" else None)
        world.api.put(STORAGE_CLASSES, default)
        await world.settle()
    assert since("total") == (not fails)
    assert (since("errors_total") > 0) == fails
