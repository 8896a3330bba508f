"""Writing a plan of EndpointSlices where namespaces go and others delete as well."""

import pytest

from tiphys.apimachinery.errors import Conflict, Forbidden
from tiphys.client.kinds import ENDPOINT_SLICES
from tiphys.controllers.endpointslice.apply import apply_plan
from tiphys.controllers.endpointslice.plan import Plan
from tiphys.controllers.owned import Writes

GOING = (
    "endpointslices is forbidden: unable to create new content in namespace d because it is being terminated"
)


def slice_(name, **more):
    return {"metadata": {"name": name, "namespace": "d"}, "addressType": "IPv4", "endpoints": [], **more}


class Noted(Writes):
    """Remembers what it was told, and waits for nothing."""

    def __init__(self):
        self.seen = []

    def wrote(self, key, obj):
        self.seen.append((key, "wrote", obj["metadata"]["name"]))

    def deleted(self, key, obj):
        self.seen.append((key, "deleted", obj["metadata"]["name"]))


async def test_each_write_is_noted(world):
    old, gone = (world.api.put(ENDPOINT_SLICES, slice_(name)) for name in ("old", "gone"))
    noted, never = Noted(), slice_("never")
    never["metadata"]["uid"] = "u"
    changed = {**old, "endpoints": [{"addresses": ["10.0.0.1"]}]}
    planned = Plan(create=[slice_("new")], update=[changed], delete=[gone, never])
    await apply_plan(world.client, noted, "d/web", planned)
    assert noted.seen == [("d/web", "wrote", "new"), ("d/web", "wrote", "old"), ("d/web", "deleted", "gone")]
    assert sorted(one["metadata"]["name"] for one in world.api.all(ENDPOINT_SLICES)) == ["new", "old"]


async def test_one_of_the_same_name_that_came_meanwhile_stays(world):
    gone = world.api.put(ENDPOINT_SLICES, slice_("gone"))
    world.api.remove(ENDPOINT_SLICES, "gone", "d")
    world.api.put(ENDPOINT_SLICES, slice_("gone"))
    with pytest.raises(Conflict):
        await apply_plan(world.client, Noted(), "d/web", Plan(create=[], update=[], delete=[gone]))
    assert len(world.api.all(ENDPOINT_SLICES)) == 1


@pytest.mark.parametrize(("why", "raises"), [(GOING, False), ("forbidden: no", True)])
async def test_a_namespace_that_is_going_takes_none(world, why, raises):
    world.api.reactors.append(lambda request: Forbidden(why))
    planned = Plan(create=[slice_("new")], update=[], delete=[])
    if raises:
        with pytest.raises(Forbidden):
            await apply_plan(world.client, Noted(), "d/web", planned)
    else:
        await apply_plan(world.client, Noted(), "d/web", planned)
