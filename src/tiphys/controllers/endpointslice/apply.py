"""Writes a plan of EndpointSlices, for whoever keeps some: from pods, or from Endpoints."""

from __future__ import annotations

from tiphys.apimachinery.errors import Forbidden, NotFound
from tiphys.client.kinds import ENDPOINT_SLICES
from tiphys.client.rest import Client
from tiphys.controllers.endpointslice.plan import Plan
from tiphys.controllers.owned import Writes


async def apply_plan(client: Client, writes: Writes, key: str, planned: Plan) -> None:
    """Create, update, delete, and note each for ``key``. A namespace that is going takes no new slices."""
    try:
        await _apply(client, writes, key, planned)
    except Forbidden as error:
        if "because it is being terminated" not in error.message:
            raise


async def _apply(client: Client, writes: Writes, key: str, planned: Plan) -> None:
    for item in planned.create:
        writes.wrote(key, await client.create(ENDPOINT_SLICES, item))
    for item in planned.update:
        writes.wrote(key, await client.update(ENDPOINT_SLICES, item))
    for item in planned.delete:
        meta = item["metadata"]
        try:
            await client.delete(ENDPOINT_SLICES, meta["name"], meta["namespace"], uid=meta["uid"])
        except NotFound:
            continue
        writes.deleted(key, item)
