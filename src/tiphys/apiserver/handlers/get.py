"""GET of one object."""

from __future__ import annotations

from tiphys.apiserver import respond
from tiphys.apiserver.call import Call
from tiphys.wire.message import Response


async def handle(call: Call) -> Response:
    """Answer with the object as it is stored now."""
    info = call.info
    resource = call.resource
    cached = await call.backend.store.get(resource, info.namespace if resource.namespaced else "", info.name)
    return respond.respond_cached(call, cached)
