"""Which controllers run, and that a whole manager starts, works and stops."""

import asyncio

import pytest

from tiphys.client.kinds import NAMESPACES, SERVICE_ACCOUNTS
from tiphys.controllers.manager import (
    CONTROLLERS,
    OFF_BY_DEFAULT,
    ControllerManager,
    ControllerOptions,
    chosen,
)
from tiphys.controllers.names import GATES


def test_names_are_distinct():
    assert len({kind.name for kind in CONTROLLERS}) == len(CONTROLLERS)


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        (("*",), len(CONTROLLERS) - len(OFF_BY_DEFAULT) - len(GATES)),
        (("*", "-deployment-controller"), len(CONTROLLERS) - len(OFF_BY_DEFAULT) - len(GATES) - 1),
        (("deployment-controller",), 1),
    ],
)
def test_chosen(selection, count):
    assert len(chosen(selection)) == count


@pytest.mark.parametrize("elect", [False, True])
async def test_a_manager_works_until_cancelled(world, elect):
    world.api.discovery["/api"] = {"kind": "APIVersions", "versions": []}
    world.api.discovery["/apis"] = {"kind": "APIGroupList", "groups": []}
    world.api.put(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "d"}})
    manager = ControllerManager(
        world.client,
        ControllerOptions(leader_elect=elect, use_service_account_credentials=False),
        world.clock,
    )
    assert manager.checks() == {"ping": None}
    task = asyncio.ensure_future(manager.run())
    await world.settle()
    assert len(world.api.all(SERVICE_ACCOUNTS)) == 1
    first, *named = manager.checks()
    assert (first == "leaderElection") is elect
    assert set(manager.checks().values()) == {None}
    assert {"deployment-controller", "garbage-collector-controller"} < set(named)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await world.client.close()
