"""Scales of kinds that no informer watches."""

import pytest

from tiphys.controllers.disruption.scales import NoScale, Scales

REF = {"apiVersion": "boats.example/v1", "kind": "Fleet", "name": "web", "uid": "f"}
KINDS = "/apis/boats.example/v1"


def serve(world, plural, replicas, *, scales=True):
    resources = [{"name": plural, "kind": "Fleet"}]
    if scales:
        resources.append({"name": f"{plural}/scale", "kind": "Scale"})
    world.api.discovery.clear()
    world.api.discovery[KINDS] = {"kind": "APIResourceList", "resources": resources}
    scale = {"kind": "Scale", "metadata": {"name": "web", "uid": "f"}, "spec": {"replicas": replicas}}
    world.api.discovery[f"{KINDS}/namespaces/d/{plural}/web/scale"] = scale


def asked(world):
    return [path for _, path in world.api.calls if path == KINDS]


async def test_a_kind_is_asked_about_once(world):
    serve(world, "fleets", 4)
    scales = Scales(world.client)
    assert [await scales.replicas(REF, "d") for _ in range(3)] == [4, 4, 4]
    assert len(asked(world)) == 1


async def test_a_kind_that_is_defined_anew_is_found_by_its_new_name(world):
    serve(world, "fleets", 4)
    scales = Scales(world.client)
    assert await scales.replicas(REF, "d") == 4
    serve(world, "armadas", 7)
    assert [await scales.replicas(REF, "d") for _ in range(2)] == [7, 7]
    assert len(asked(world)) == 2


async def test_who_is_gone_is_not_looked_for_twice_at_one_place(world):
    serve(world, "fleets", 4)
    scales = Scales(world.client)
    await scales.replicas(REF, "d")
    assert await scales.replicas({**REF, "name": "gone"}, "d") is None
    gone = [path for _, path in world.api.calls if path.endswith("/gone/scale")]
    assert len(gone) == 1


async def test_a_kind_that_lost_its_scale_says_so(world):
    serve(world, "fleets", 4)
    scales = Scales(world.client)
    await scales.replicas(REF, "d")
    serve(world, "armadas", 7, scales=False)
    with pytest.raises(NoScale, match=r"^armadas\.boats\.example does not implement the scale subresource$"):
        await scales.replicas(REF, "d")
