#!/usr/bin/env python3
"""An operator on Tiphys' client: every Ship has a ConfigMap with its orders, and a status with its crew.

python operator_own.py KUBECONFIG
"""

from __future__ import annotations

import asyncio
import sys

from tiphys.apimachinery.meta import GVR, Object, object_key, owner_reference
from tiphys.client.controller import run_controller
from tiphys.client.informer import InformerSet
from tiphys.client.kinds import CONFIG_MAPS
from tiphys.client.rest import Client
from tiphys.client.workqueue import WorkQueue

SHIPS = GVR("example.com", "v1", "ships")


def plan(ship: Object) -> tuple[Object, Object]:
    """Return the ConfigMap and the status that a Ship should have. Pure: this is what tests are about."""
    meta, crew = ship["metadata"], ship["spec"]["oars"] * 2
    owner = owner_reference(ship)
    head = {"name": f"{meta['name']}-orders", "namespace": meta["namespace"], "ownerReferences": [owner]}
    orders = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": {"crew": str(crew)}}
    return orders, {"status": {"crew": crew}}


async def run(client: Client) -> None:
    """Work until cancelled. The queue carries keys: each pass looks at the whole state anew."""
    informers, queue = InformerSet(client), WorkQueue("ships")
    ships = informers.get(SHIPS)
    ships.add_handler(lambda old, new: queue.add(object_key(new or old or {})))

    async def reconcile(key: str) -> None:
        ship = ships.get(key)
        if ship is None:
            return  # the garbage collector takes the ConfigMap
        orders, status = plan(ship)
        name, namespace = orders["metadata"]["name"], orders["metadata"]["namespace"]
        await client.patch(
            CONFIG_MAPS, name, namespace, orders, type="apply", field_manager="ships", force=True
        )
        if ship.get("status") != status["status"]:
            await client.patch(SHIPS, ship["metadata"]["name"], namespace, status, subresource="status")

    async with asyncio.TaskGroup() as group:
        group.create_task(informers.run())
        group.create_task(run_controller(queue, reconcile))


if __name__ == "__main__":
    asyncio.run(run(Client.from_kubeconfig(sys.argv[1])))
