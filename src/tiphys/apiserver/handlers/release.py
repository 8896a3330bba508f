"""What is given back when an object is gone."""

from __future__ import annotations

from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.registry.objects import Cached


async def release(call: Call, last: Cached) -> None:
    """Give back what a deleted object held; ``last`` is its last state."""
    if not call.resource.group and call.resource.plural == "services":
        services = call.backend.services
        await services.unbroken.do(services.release(last.object))
