"""Groups of pods go with the last pod in them that runs."""

import pytest

from tiphys.client.kinds import POD_GROUPS, PODS
from tiphys.controllers.podgroups.controller import PodGroupProtectionController
from tiphys.controllers.podgroups.plan import FINALIZER, groups_of, without_finalizer

GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def group(**meta):
    return {"metadata": {"name": "g", "namespace": "d", "finalizers": ["x", FINALIZER], **meta}, "spec": {}}


def pod(name="a", group="g", phase="Running"):
    spec = {"schedulingGroup": {"podGroupName": group}} if group else {}
    return {"metadata": {"name": name, "namespace": "d"}, "spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("one", "keys"),
    [
        (pod(), ["d/g"]),
        (pod(phase="Pending"), ["d/g"]),
        (pod(phase="Succeeded"), []),
        (pod(phase="Failed"), []),
        (pod(group=""), []),
        ({"metadata": {"name": "a", "namespace": "d"}, "spec": {"schedulingGroup": {}}}, []),
    ],
)
def test_which_group_a_pod_holds(one, keys):
    assert groups_of(one) == keys


@pytest.mark.parametrize(
    ("one", "used", "kept"),
    [
        (group(), False, None),
        (group(**GOING), True, None),
        (group(**GOING), False, ["x"]),
        (group(**GOING, finalizers=["x"]), False, None),
    ],
    ids=["stays", "in use", "goes", "is let go already"],
)
def test_whether_a_group_may_go(one, used, kept):
    assert without_finalizer(one, used=used) == kept


async def test_a_group_goes_with_its_last_pod(world):
    world.api.put(POD_GROUPS, group(**GOING, finalizers=[FINALIZER]))
    for name in ("a", "b", "c"):
        world.api.put(PODS, pod(name))
    async with world.running(PodGroupProtectionController):
        assert world.api.get(POD_GROUPS, "g", "d") is not None
        world.api.put(PODS, pod("a", phase="Succeeded"))
        world.api.remove(PODS, "b", "d")
        await world.settle()
        assert world.api.get(POD_GROUPS, "g", "d") is not None
        replaced = pod("c", group="other")
        replaced["metadata"]["uid"] = "another"
        world.api.put(PODS, replaced)
        await world.settle()
        assert world.api.get(POD_GROUPS, "g", "d") is None
